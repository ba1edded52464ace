"""`doctor`: what keeps a server from serving well, and the way out. It changes nothing."""

import inspect
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

from runindex_server.cli.diagnosis.access import (
    check_audit_log,
    check_certificate,
    check_settings_fit,
    check_tokens,
)
from runindex_server.cli.diagnosis.finding import Check, Finding, Level, problem
from runindex_server.cli.diagnosis.folder import check_disk, check_file_system, check_lock, check_rights
from runindex_server.cli.diagnosis.machine import check_limits, check_software
from runindex_server.cli.diagnosis.network import check_address, check_metrics_address, check_server
from runindex_server.cli.diagnosis.patient import Patient
from runindex_server.cli.diagnosis.store import check_clock, check_map, check_store, check_version
from runindex_server.cli.exits import EXIT_PROBLEM
from runindex_server.cli.options import load_settings
from runindex_server.cli.serve import serve
from runindex_server.cli.words import plain
from runindex_server.clock import Clock, SystemClock
from runindex_server.settings import Settings

CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "software": check_software,
        "settings": check_settings_fit,
        "limits": check_limits,
        "file system": check_file_system,
        "disk": check_disk,
        "rights": check_rights,
        "lock": check_lock,
        "store": check_store,
        "version": check_version,
        "map": check_map,
        "clock": check_clock,
        "certificate": check_certificate,
        "tokens": check_tokens,
        "audit log": check_audit_log,
        "address": check_address,
        "metrics": check_metrics_address,
        "server": check_server,
    }
)
"""What is looked at, in the order in which it is told."""

_LEVEL_CHARACTERS: Final = 9
_NAME_CHARACTERS: Final = 13

AsJson = Annotated[bool, typer.Option("--json", help="Print it for programs: what was found as JSON.")]


def examine(settings: Settings, clock: Clock) -> Iterator[tuple[str, Finding]]:
    """Look at everything, and yield what is found, a finding for each check that has something to look at."""
    patient = Patient(settings, clock)
    for name, check in CHECKS.items():
        try:
            for finding in check(patient):
                yield name, finding
        except OSError as error:
            where = "" if error.filename is None else f"{error.filename}: "
            yield name, problem(f"cannot be looked at: {where}{error.strerror or error}")


def doctor(*, as_json: AsJson = False, **flags: Any) -> None:  # noqa: ANN401  # Those of `serve`.
    """Tell what keeps a server from serving a folder well, and the way out; exits 1 when it finds a problem.

    Takes the settings that `serve` takes. Changes nothing, and works beside a running server.
    """
    found = list(examine(load_settings(flags), SystemClock()))
    counts = Counter(finding.level for _, finding in found)
    if as_json:
        told = [{"check": name, "level": finding.level, "told": _told(finding)} for name, finding in found]
        typer.echo(json.dumps({"checks": told}, indent=2))
    else:
        for name, finding in found:
            typer.echo(
                f"{finding.level:<{_LEVEL_CHARACTERS}}{name:<{_NAME_CHARACTERS}}{plain(_told(finding))}"
            )
    raise typer.Exit(EXIT_PROBLEM if counts[Level.PROBLEM] else 0)


def _told(finding: Finding) -> str:
    """Return what was found, as one line that does not end as a sentence does."""
    return finding.told.rstrip(".")


# It takes each setting as `serve` does, by the same words.
vars(doctor)["__signature__"] = inspect.Signature(
    [*inspect.signature(serve).parameters.values(), inspect.signature(doctor).parameters["as_json"]]
)
