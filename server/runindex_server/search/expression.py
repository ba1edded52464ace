"""A search query as a tree. `query` reads it from text; `match` tells what it means on one run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from runindex_server.schema.run import RunId, RunState


@dataclass(frozen=True, slots=True)
class Interval:
    """Microseconds in `[start_us, end_us)`; None is no bound."""

    start_us: int | None = None
    end_us: int | None = None

    def __contains__(self, us: int) -> bool:
        return (self.start_us is None or self.start_us <= us) and (self.end_us is None or us < self.end_us)


@dataclass(frozen=True, slots=True)
class Times:
    """Times, as an interval of times since 1970, or of ages.

    Attributes:
        interval: Of either.
        is_age: Whether it is of ages, which count back from the time of the search.
    """

    interval: Interval
    is_age: bool = False

    def at(self, now_us: int) -> Interval:
        """Return them as an interval of times since 1970, for a search at a time."""
        if not self.is_age:
            return self.interval
        youngest_us, oldest_end_us = self.interval.start_us, self.interval.end_us
        # An age in [a, b) is a time in (now - b, now - a].
        return Interval(
            None if oldest_end_us is None else now_us - oldest_end_us + 1,
            None if youngest_us is None else now_us - youngest_us + 1,
        )


@dataclass(frozen=True, slots=True)
class Text:
    """`word`, `prefix*`, `"a phrase"`, `meta.a.b:word`: words that stand together in one field.

    Attributes:
        words: At least one, case-folded.
        is_prefix: Whether the last is the beginning of a word.
        path: The path of a metadata value; None for any field.
    """

    words: tuple[str, ...]
    is_prefix: bool = False
    path: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """`state:failed`."""

    state: RunState


@dataclass(frozen=True, slots=True)
class Outcome:
    """`outcome:failed`: the state in which a run finished, archived or not."""

    state: RunState


@dataclass(frozen=True, slots=True)
class Tag:
    """`tag:prod`."""

    tag: str


@dataclass(frozen=True, slots=True)
class Parent:
    """`parent:<id>`."""

    run_id: RunId


@dataclass(frozen=True, slots=True)
class Id:
    """`id:<id>`, or a word that is an id."""

    run_id: RunId


@dataclass(frozen=True, slots=True)
class IdPrefix:
    """`id:0192f3*`, or a word that may begin an id. The default run's id begins with no digits.

    Attributes:
        digits: 1 to 32 hex digits, in lower case, without hyphens.
    """

    digits: str


@dataclass(frozen=True, slots=True)
class Created:
    """`created>2026-01-01`, `created<1h`."""

    times: Times


@dataclass(frozen=True, slots=True)
class Updated:
    """`updated>2026-01-01`, `updated<1h`."""

    times: Times


@dataclass(frozen=True, slots=True)
class Duration:
    """`duration>5m`: a run that has not ended has none."""

    interval: Interval


@dataclass(frozen=True, slots=True)
class Not:
    """`-term`."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class And:
    """Terms side by side."""

    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """`a OR b`."""

    operands: tuple["Expression", ...]


Expression: TypeAlias = (
    Text | State | Outcome | Tag | Parent | Id | IdPrefix | Created | Updated | Duration | Not | And | Or
)

ARCHIVED: Expression = State(RunState.ARCHIVED)


def visible(expression: Expression, *, include_archived: bool) -> Expression:
    """Return what a query finds: archived runs only when they are included, or asked for without negation."""
    if include_archived or ARCHIVED in _asserted(expression):
        return expression
    return And((expression, Not(ARCHIVED)))


def _asserted(expression: Expression) -> Iterator[Expression]:
    """Yield the parts of a query that stand under no negation."""
    yield expression
    if isinstance(expression, And | Or):
        for operand in expression.operands:
            yield from _asserted(operand)
