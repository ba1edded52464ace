"""What a check comes to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from runindex_server.cli.diagnosis.patient import Patient


class Level(StrEnum):
    """How grave it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found.

    Attributes:
        level: How grave it is. A problem keeps a server from starting, or from serving well.
        told: What it is and, where it is not well, the way out.
    """

    level: Level
    told: str


Check: TypeAlias = Callable[[Patient], Iterator[Finding]]
"""Looks at one thing; yields nothing when that is not there to look at."""


def ok(told: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(Level.OK, told)


def warning(told: str) -> Finding:
    """Return a finding of what will keep a server from serving well, or may."""
    return Finding(Level.WARNING, told)


def problem(told: str) -> Finding:
    """Return a finding of what keeps a server from serving."""
    return Finding(Level.PROBLEM, told)


def gravest(findings: Iterator[Finding], *, otherwise: str) -> Finding:
    """Return the gravest of some findings, the first of them; or that all is well."""
    order = list(Level)
    return max(findings, key=lambda finding: order.index(finding.level), default=ok(otherwise))
