"""Real time: what began after something had ended was decided after it.

One sweep over begins and ends. A read may see the revision that the other had, a write must make a later one;
that no read tells of a write which began only after it follows from the same, applied to the write.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from tests.trust.histories.recording import Operation
from tests.trust.histories.verdict import Fault, Violation


def out_of_order(operations: Collection[Operation], made: Collection[Operation] = ()) -> Iterable[Violation]:
    """Yield what was decided before something that had ended before it began.

    Args:
        operations: All that were decided, each once.
        made: Those that made their revision.
    """
    placed = [one for one in operations if one.revision is not None]
    makers = {id(one) for one in made}
    ended = sorted(placed, key=lambda one: one.end_ns)
    latest: Operation | None = None
    position = 0
    for one in sorted(placed, key=lambda one: one.begin_ns):
        while position < len(ended) and ended[position].end_ns < one.begin_ns:
            other = ended[position]
            latest = other if latest is None or _revision(other) > _revision(latest) else latest
            position += 1
        if latest is not None and _revision(one) - (id(one) in makers) < _revision(latest):
            text = f"{one} began after the end of {latest}, decided at {_revision(latest)}"
            yield Violation(Fault.OUT_OF_ORDER, _revision(one), text)


LATE_NS: Final = 15 * 1_000_000_000
"""How long after it was lost a write can take place. A process that was killed does nothing more, but one
that ends because its supervisor was killed cuts its connections before it commits for the last time."""


@dataclass(frozen=True)
class Span:
    """Between which revisions a write with an unknown outcome can have taken place.

    Attributes:
        after: What had ended before it began was decided at this one at the latest.
        until: What began long after it was lost was decided at this one at the earliest; None for nothing.
    """

    after: int
    until: int | None

    def may_make(self, revision: int) -> bool:
        """Tell whether it can have made a revision."""
        return self.after < revision and (self.until is None or revision <= self.until)


def spans(operations: Collection[Operation], unsettled: Collection[Operation]) -> dict[Operation, Span]:
    """Return between which revisions each of the writes with unknown outcomes can have taken place."""
    placed = [one for one in operations if one.revision is not None]
    by_end = sorted(placed, key=lambda one: one.end_ns)
    by_begin = sorted(placed, key=lambda one: one.begin_ns)
    ends, begins = [one.end_ns for one in by_end], [one.begin_ns for one in by_begin]
    latest = [0, *accumulate(map(_revision, by_end), max)]
    earliest = list(accumulate(map(_revision, reversed(by_begin)), min))[::-1]
    found = {}
    for one in unsettled:
        later = bisect_right(begins, one.end_ns + LATE_NS)
        until = earliest[later] if later < len(earliest) else None
        found[one] = Span(latest[bisect_left(ends, one.begin_ns)], until)
    return found


def _revision(operation: Operation) -> int:
    assert operation.revision is not None
    return operation.revision
