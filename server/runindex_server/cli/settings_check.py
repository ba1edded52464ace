"""What is refused of settings before a server starts, whatever it finds then."""

from runindex_server.cli.access_check import check_access
from runindex_server.rpc.address import InvalidAddress, split_address
from runindex_server.schema.policy_text import PolicyRefused, parse_policy
from runindex_server.settings import Settings


class SettingRefused(ValueError):
    """A setting makes no sense: the sentence names it."""


def check_settings(settings: Settings) -> None:
    """Check settings without looking at any file.

    Raises:
        AccessRefused, Insecure: As `check_access`.
        InvalidAddress: The address to listen on is none.
        SettingRefused: Another one makes no sense.
    """
    check_access(settings)
    try:
        parse_policy(settings.default_retention)
    except PolicyRefused as error:
        msg = f"--default-retention (RUNINDEX_DEFAULT_RETENTION): {error}"
        raise SettingRefused(msg) from error
    if settings.metrics_address is not None:
        _check_metrics_address(settings.metrics_address, settings.workers)
    if settings.traces:
        _check_traces()


def _check_traces() -> None:
    """Refuse traces that cannot be sent."""
    from runindex_server.rpc.tracing import TracesRefused, exporter_module  # noqa: PLC0415  # Loads gRPC.

    try:
        exporter_module()
    except TracesRefused as error:
        raise SettingRefused(str(error)) from error


def _check_metrics_address(address: str, workers: int) -> None:
    """Refuse an address that is none, or after whose port there are too few for the workers."""
    try:
        _, port = split_address(address)
    except InvalidAddress as error:
        msg = f"--metrics-address (RUNINDEX_METRICS_ADDRESS): {error}"
        raise SettingRefused(msg) from error
    if port + workers - 1 > 0xFFFF:
        msg = (
            f"--metrics-address (RUNINDEX_METRICS_ADDRESS): {address} leaves no port for each of "
            f"{workers} workers"
        )
        raise SettingRefused(msg)
