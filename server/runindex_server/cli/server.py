"""The commands of the server itself: `serve`, `health` and `version`."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop

from runindex_server import __version__
from runindex_server.cli.exits import EXIT_FATAL, EXIT_INSECURE, EXIT_REFUSED, exit_with
from runindex_server.cli.faults import fault_text
from runindex_server.cli.options import DEFAULT_ADDRESS, Address, flag, load_settings
from runindex_server.clock import SystemClock
from runindex_server.errors import StoreCorrupt, StoreFull
from runindex_server.kv.guard import StoreRefused
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.logs import configure_logs, get_logger
from runindex_server.rpc.address import InvalidAddress, is_loopback
from runindex_server.rpc.health_check import check_health
from runindex_server.rpc.server import AddressInUse, Options, Server, start_server
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema.header import StorageVersionUnknown
from runindex_server.schema.migrations import migrate
from runindex_server.schema.policy_text import PolicyRefused, parse_policy
from runindex_server.schema.run import RetentionPolicy
from runindex_server.settings import Settings

REMOTE_REFUSED: Final = """\
{address} can be reached by other machines, and this server does not ask callers who they are: whoever
reaches it can read, change and delete every run. Listen on loopback (--address 127.0.0.1:50051), or say that
you mean it: --insecure-allow-remote (RUNINDEX_INSECURE_ALLOW_REMOTE=true), on a network that you trust.
"""

WELCOME: Final = """\
RunIndex {version} listens on {address}; its store is in {data_dir}. Ctrl-C stops it.

  grpcurl -plaintext {address} list
  grpcurl -plaintext -d '{{"tags": ["hello"]}}' {address} runindex.v1.RunIndex/CreateRun
  grpcurl -plaintext {address} runindex.v1.RunIndex/ListRuns
"""


def serve(  # noqa: PLR0913  # One argument for each setting; a test holds them equal.
    *,
    address: Annotated[str | None, flag("address")] = None,
    data_dir: Annotated[Path | None, flag("data_dir")] = None,
    insecure_allow_remote: Annotated[bool | None, flag("insecure_allow_remote")] = None,
    map_bytes: Annotated[int | None, flag("map_bytes")] = None,
    search_budget_records: Annotated[int | None, flag("search_budget_records")] = None,
    request_id_retention_s: Annotated[int | None, flag("request_id_retention_s")] = None,
    default_retention: Annotated[str | None, flag("default_retention")] = None,
    retention_interval_s: Annotated[int | None, flag("retention_interval_s")] = None,
    drain_s: Annotated[float | None, flag("drain_s")] = None,
    log_level: Annotated[str | None, flag("log_level")] = None,
    log_format: Annotated[str | None, flag("log_format")] = None,
) -> None:
    """Serve a store until it is told to stop (SIGTERM or Ctrl-C), then drain and exit 0."""
    settings = load_settings(locals())
    try:
        remote = not is_loopback(settings.address)
        policy = parse_policy(settings.default_retention)
    except InvalidAddress as error:
        exit_with(str(error))
    except PolicyRefused as error:
        exit_with(f"--default-retention (RUNINDEX_DEFAULT_RETENTION): {error}")
    if remote and not settings.insecure_allow_remote:
        exit_with(REMOTE_REFUSED.format(address=settings.address), EXIT_INSECURE)
    os.umask(0o077)
    configure_logs(settings.log_level, settings.log_format)
    try:
        code = uvloop.run(_serve(settings, policy))
    except (StoreRefused, StorageVersionUnknown, StoreCorrupt, StoreFull, AddressInUse) as error:
        exit_with(fault_text(settings.data_dir, error))
    raise typer.Exit(code)


def health(address: Address = DEFAULT_ADDRESS) -> None:
    """Ask a server whether it serves; exits 0 when it does, else 1."""
    status = check_health(address)
    typer.echo(status)
    raise typer.Exit(0 if status == "SERVING" else EXIT_REFUSED)


def version() -> None:
    """Print the server's version."""
    typer.echo(__version__)


async def _serve(settings: Settings, default_retention: RetentionPolicy) -> int:
    """Serve until a signal or a fatal fault; return the exit code."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(code: int) -> None:
        if not stopped.done():
            stopped.set_result(code)
        elif code == 0:  # A second signal does not wait for anything.
            os._exit(EXIT_FATAL)

    def stop_fatally() -> None:
        loop.call_soon_threadsafe(stop, EXIT_FATAL)

    clock = SystemClock()
    store = open_lmdb(
        settings.data_dir,
        clock=clock,
        map_bytes=settings.map_bytes,
        initialise=initialise,
        on_fatal=stop_fatally,
    )
    try:
        await migrate(store, progress=get_logger(__name__).info)
        server = await start_server(
            store,
            address=settings.address,
            clock=clock,
            options=Options(
                search_budget_records=settings.search_budget_records,
                request_id_retention_s=settings.request_id_retention_s,
                default_retention=default_retention,
                retention_interval_s=settings.retention_interval_s,
            ),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, 0)
        _welcome(server, settings)
        code = await stopped
        await server.stop(settings.drain_s)
    finally:
        await store.close()
    get_logger(__name__).info("stopped", code=code)
    return code


def _welcome(server: Server, settings: Settings) -> None:
    """Say where the server listens: to a person how to call it, and to the log."""
    typer.echo(
        WELCOME.format(version=__version__, address=server.address, data_dir=settings.data_dir.resolve())
    )
    get_logger(__name__).info("serving", address=server.address, version=__version__)
    if not is_loopback(settings.address):
        get_logger(__name__).warning("reachable by other machines, without authentication")
