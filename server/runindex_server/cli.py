"""The operator's commands: `runindex-server serve` and `health`."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
import uvloop
from pydantic import ValidationError

from runindex_server import __version__
from runindex_server.clock import SystemClock
from runindex_server.kv.guard import StoreRefused
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.logs import configure_logs, get_logger
from runindex_server.rpc.address import InvalidAddress, is_loopback
from runindex_server.rpc.health_check import check_health
from runindex_server.rpc.server import AddressInUse, Server, start_server
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema.header import StorageVersionUnknown
from runindex_server.settings import Settings

EXIT_REFUSED: Final = 1
"""The server could not start: the store, the address or a setting is refused."""

EXIT_FATAL: Final = 70
"""The disk failed during a commit: start again and find out what was kept."""

EXIT_INSECURE: Final = 78
"""It would have listened where other machines reach it, without being told so."""

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

app = typer.Typer(
    name="runindex-server",
    help="RunIndex: an execution index, served by gRPC.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


def _flag(field: str) -> Any:  # noqa: ANN401  # What typer takes as a default.
    """Return the option of a setting: what it is, its environment variable, its default."""
    described = Settings.model_fields[field]
    help_text = f"{described.description} Also RUNINDEX_{field.upper()}. Default: {described.default}."
    return typer.Option(help=help_text)


@app.command()
def serve(  # noqa: PLR0913  # One argument for each setting; a test holds them equal.
    *,
    address: Annotated[str | None, _flag("address")] = None,
    data_dir: Annotated[Path | None, _flag("data_dir")] = None,
    insecure_allow_remote: Annotated[bool | None, _flag("insecure_allow_remote")] = None,
    map_bytes: Annotated[int | None, _flag("map_bytes")] = None,
    search_budget_records: Annotated[int | None, _flag("search_budget_records")] = None,
    request_id_retention_s: Annotated[int | None, _flag("request_id_retention_s")] = None,
    drain_s: Annotated[float | None, _flag("drain_s")] = None,
    log_level: Annotated[str | None, _flag("log_level")] = None,
    log_format: Annotated[str | None, _flag("log_format")] = None,
) -> None:
    """Serve a store until it is told to stop (SIGTERM or Ctrl-C), then drain and exit 0."""
    flags = {name: value for name, value in locals().items() if value is not None}
    try:
        settings = Settings(**flags)
        remote = not is_loopback(settings.address)
    except ValidationError as error:
        _exit("\n".join(_setting_fault(fault) for fault in error.errors()), EXIT_REFUSED)
    except InvalidAddress as error:
        _exit(str(error), EXIT_REFUSED)
    if remote and not settings.insecure_allow_remote:
        _exit(REMOTE_REFUSED.format(address=settings.address), EXIT_INSECURE)
    os.umask(0o077)
    configure_logs(settings.log_level, settings.log_format)
    try:
        code = uvloop.run(_serve(settings))
    except (StoreRefused, StorageVersionUnknown, AddressInUse) as error:
        _exit(str(error), EXIT_REFUSED)
    raise typer.Exit(code)


@app.command()
def health(
    address: Annotated[str, typer.Option(help="Where the server listens.")] = "127.0.0.1:50051",
) -> None:
    """Ask a server whether it serves; exits 0 when it does, else 1."""
    status = check_health(address)
    typer.echo(status)
    raise typer.Exit(0 if status == "SERVING" else EXIT_REFUSED)


@app.command()
def version() -> None:
    """Print the server's version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line."""
    app()


async def _serve(settings: Settings) -> int:
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
        server = await start_server(
            store,
            address=settings.address,
            clock=clock,
            search_budget_records=settings.search_budget_records,
            request_id_retention_s=settings.request_id_retention_s,
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


def _setting_fault(fault: Mapping[str, Any]) -> str:
    """Return what is wrong with a setting, by its flag and its environment variable."""
    name = str(fault["loc"][0])
    flag = name.replace("_", "-")
    return f"--{flag} (RUNINDEX_{name.upper()}): {fault['msg']}, not {fault['input']!r}"


def _exit(message: str, code: int) -> NoReturn:
    """Tell why the command ends, and end it."""
    typer.echo(message.rstrip(), err=True)
    raise typer.Exit(code)
