"""The commands of the server itself: `serve`, `health` and `version`."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer
import uvloop

from runindex_server import __version__
from runindex_server.cli.access import AccessRefused, Insecure
from runindex_server.cli.channel import ChannelRefused
from runindex_server.cli.exits import EXIT_FATAL, EXIT_INSECURE, EXIT_REFUSED, exit_with
from runindex_server.cli.faults import fault_text
from runindex_server.cli.health_check import check_health
from runindex_server.cli.options import DEFAULT_ADDRESS, Address, flag, load_settings
from runindex_server.cli.serving import FAULTS, Part, Stopping, serve_until_asked
from runindex_server.cli.settings_check import SettingRefused, check_settings
from runindex_server.clock import SystemClock
from runindex_server.greeting import greet
from runindex_server.kv.lmdb_store import LmdbStore, open_lmdb
from runindex_server.logs import configure_logs
from runindex_server.rpc.address import InvalidAddress, is_loopback
from runindex_server.rpc.server import Server
from runindex_server.runs.bootstrap import initialise
from runindex_server.settings import Settings


def serve(  # noqa: PLR0913  # One argument for each setting; a test holds them equal.
    *,
    address: Annotated[str | None, flag("address")] = None,
    data_dir: Annotated[Path | None, flag("data_dir")] = None,
    workers: Annotated[int | None, flag("workers")] = None,
    insecure_allow_remote: Annotated[bool | None, flag("insecure_allow_remote")] = None,
    tls_cert: Annotated[Path | None, flag("tls_cert")] = None,
    tls_key: Annotated[Path | None, flag("tls_key")] = None,
    tls_client_ca: Annotated[Path | None, flag("tls_client_ca")] = None,
    certificate_roles: Annotated[str | None, flag("certificate_roles")] = None,
    tokens_file: Annotated[Path | None, flag("tokens_file")] = None,
    audit_log: Annotated[Path | None, flag("audit_log")] = None,
    calls_per_s: Annotated[float | None, flag("calls_per_s")] = None,
    metrics_address: Annotated[str | None, flag("metrics_address")] = None,
    traces: Annotated[bool | None, flag("traces")] = None,
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
        check_settings(settings)
    except Insecure as error:
        exit_with(str(error), EXIT_INSECURE)
    except (AccessRefused, InvalidAddress, SettingRefused) as error:
        exit_with(str(error))
    if settings.workers > 1:
        _become_supervisor(settings)
    os.umask(0o077)
    configure_logs(settings.log_level, settings.log_format)
    try:
        code = uvloop.run(_serve(settings))
    except FAULTS as error:
        exit_with(fault_text(settings.data_dir, error))
    raise typer.Exit(code)


def health(address: Address = DEFAULT_ADDRESS) -> None:
    """Ask a server whether it serves; exits 0 when it does, else 1."""
    try:
        status = check_health(address)
    except ChannelRefused as error:
        exit_with(str(error))
    typer.echo(status)
    raise typer.Exit(0 if status == "SERVING" else EXIT_REFUSED)


def version() -> None:
    """Print the server's version."""
    typer.echo(__version__)


def _become_supervisor(settings: Settings) -> NoReturn:
    """Go on as the supervisor, in the same process but without what this one has loaded."""
    command = [sys.executable, "-P", "-m", "runindex_server.supervisor"]
    os.execve(command[0], command, {**os.environ, **settings.as_environment()})  # noqa: S606  # None is needed.


async def _serve(settings: Settings) -> int:
    """Serve until a signal or a fatal fault; return the exit code."""
    stopping = Stopping()

    def open_store(on_fatal: Callable[[], None]) -> LmdbStore:
        return open_lmdb(
            settings.data_dir,
            clock=SystemClock(),
            map_bytes=settings.map_bytes,
            initialise=initialise,
            on_fatal=on_fatal,
        )

    def on_signal() -> None:
        if stopping.is_asked:  # A second signal does not wait for anything.
            os._exit(EXIT_FATAL)
        stopping.ask()

    def on_ready(server: Server) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        greet(server.address, settings, is_remote=not is_loopback(settings.address))

    return await serve_until_asked(open_store, settings, Part(address=settings.address), stopping, on_ready)
