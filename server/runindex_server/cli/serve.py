"""`serve`: runs a server."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from runindex_server.cli.access_check import AccessRefused, Insecure
from runindex_server.cli.exits import EXIT_INSECURE, exit_with
from runindex_server.cli.options import flag, load_settings
from runindex_server.cli.settings_check import SettingRefused, check_settings
from runindex_server.logs import configure_logs
from runindex_server.rpc.address import InvalidAddress
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
    configure_logs(settings.log_level, settings.log_format)
    raise typer.Exit(_way_to_serve(settings)(settings))


def _way_to_serve(settings: Settings) -> Callable[[Settings], int]:
    """Return what serves by as many processes as are set, and load what it needs: most of a start.

    What is loaded stays for good. To look through it for garbage takes a twentieth of the start, time
    afterwards, and in forks a copy of it.
    """
    gc.disable()
    try:
        if settings.workers > 1:
            from runindex_server.cli.supervising import supervise  # noqa: PLC0415  # Only when it serves.

            return supervise
        from runindex_server.cli.alone import serve_alone  # noqa: PLC0415  # Only when it serves.

        return serve_alone
    finally:
        gc.freeze()
        gc.enable()
