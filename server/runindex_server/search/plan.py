"""A query on its way to the postings: terms are named, prefixes expanded, ids and times looked up.

A plan belongs to one snapshot. `planner` makes it, `bounds` evaluates it.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

ORDINAL_END: Final = 1 << 64
"""Above every ordinal."""


@dataclass(frozen=True, slots=True)
class Having:
    """Runs that have one of some terms.

    Attributes:
        terms: Any number of them.
        are_words: Whether a partial run may match without having them.
    """

    terms: tuple[bytes, ...]
    are_words: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """Runs with ordinals in `[start, end)`."""

    start: int = 0
    end: int = ORDINAL_END


@dataclass(frozen=True, slots=True)
class Among:
    """Runs with one of some ordinals, each of which is a run's."""

    ordinals: frozenset[int]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Runs that match something wider than what is asked for, and have yet to be checked."""

    wider: "Plan"


@dataclass(frozen=True, slots=True)
class Every:
    """Runs that match each of some plans, of which there is one at least. The first ones are the cheapest."""

    plans: tuple["Plan", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """Runs that match one of some plans."""

    plans: tuple["Plan", ...]


@dataclass(frozen=True, slots=True)
class Except:
    """Runs that do not match a plan."""

    plan: "Plan"


Plan: TypeAlias = Having | Between | Among | Candidates | Every | Either | Except

EVERYTHING: Final = Between()


def cost(plan: Plan) -> int:
    """Return about how many postings a plan reads in a block."""
    match plan:
        case Among():
            return 0
        case Between():
            return 1
        case Having(terms, are_words):
            return len(terms) + are_words
        case Candidates(inner) | Except(inner):
            return cost(inner) + 1
        case Every(plans) | Either(plans):
            return sum(map(cost, plans))
