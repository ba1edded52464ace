"""The verdict on a history: request ids, the replay through the model, and real time."""

from collections.abc import Collection
from dataclasses import dataclass, field

from tests.trust.histories.order import out_of_order, spans
from tests.trust.histories.recording import Operation
from tests.trust.histories.replay import Replay
from tests.trust.histories.requests import settled
from tests.trust.histories.verdict import Violation


@dataclass(frozen=True)
class Beginning:
    """The store before the first operation.

    Attributes:
        create_us: When its default run was created.
        revision: Its own.
    """

    create_us: int
    revision: int


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        violations: What is wrong; none for a history that is strictly serialisable.
        figures: What was looked at, by name.
    """

    violations: list[Violation]
    figures: dict[str, int] = field(default_factory=dict)


def judge(history: Collection[Operation], beginning: Beginning) -> Verdict:
    """Return the verdict on a history.

    Args:
        history: All operations, in any order.
        beginning: The store before them.
    """
    once = settled(history)
    replay = Replay(
        once.operations,
        unsettled=spans(once.operations, once.unsettled),
        create_us=beginning.create_us,
        revision=beginning.revision,
    )
    found = [*once.violations, *replay.violations()]
    found += out_of_order(once.operations, replay.made)
    figures = {
        "operations": sum(one.outcome is not None for one in history),
        "writes": len(replay.made),
        "refusals": sum(one.outcome is not None and not one.is_answered for one in history),
        "answered again": once.repeated,
        "lost and settled by request id": once.resolved,
        "lost without request id": len(once.unsettled),
        "of which took place": replay.guesses,
    }
    return Verdict(found, figures)
