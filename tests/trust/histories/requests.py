"""Operations under one request id: one of them was applied, the others were answered as it was.

What is remembered for request ids has no revision of its own, so it is judged apart from the model: all that
was answered under one id becomes one operation, which was applied somewhere between the earliest begin and
the earliest answer; the model then sees each effect once, and no request id.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.property.model_arguments import Refused, canonical_json
from tests.trust.histories.recording import Operation
from tests.trust.histories.verdict import Fault, Violation

REUSED: Final = "REQUEST_ID_REUSED"


@dataclass(frozen=True)
class Settled:
    """What is left of a history.

    Attributes:
        operations: Each was decided once, at its revision.
        unsettled: Writes without a request id that were lost: applied, each once, or not at all.
        violations: What is wrong with operations under one request id.
        repeated: How many answers were given again.
        resolved: How many lost writes were settled by a request id.
    """

    operations: list[Operation]
    unsettled: list[Operation]
    violations: list[Violation]
    repeated: int
    resolved: int


def settled(history: Iterable[Operation]) -> Settled:
    """Return a history in which each operation was decided once."""
    operations: list[Operation] = []
    unsettled: list[Operation] = []
    groups: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        if operation.is_write and operation.request_id is not None:
            groups[operation.request_id].append(operation)
        elif operation.outcome is None:
            unsettled.append(operation)
        else:
            operations.append(operation)
    violations: list[Violation] = []
    repeated = resolved = 0
    for request_id, group in groups.items():
        known = [one for one in group if one.outcome is not None]
        answered = [one for one in known if one.is_answered]
        resolved += len(group) - len(known)
        repeated += max(0, len(answered) - 1)
        violations += _judged(request_id, known, answered)
        operations += [one for one in known if _is_refused_by_the_store(one)]
        if answered:
            operations.append(_merged(group, answered))
    return Settled(operations, unsettled, violations, repeated, resolved)


def _is_refused_by_the_store(operation: Operation) -> bool:
    return isinstance(operation.outcome, Refused) and operation.outcome.reason != REUSED


def _merged(group: list[Operation], answered: list[Operation]) -> Operation:
    """Return the one that was applied: no earlier than the first call, no later than the first answer."""
    same = [one for one in group if one.body == answered[0].body]
    request = {field: value for field, value in answered[0].request.items() if field != "request_id"}
    begin_ns = min(one.begin_ns for one in same)
    return replace(
        answered[0], request=request, begin_ns=begin_ns, end_ns=min(one.end_ns for one in answered)
    )


def _judged(request_id: str, known: list[Operation], answered: list[Operation]) -> Iterable[Violation]:
    """Yield what is wrong with what is known of a request id."""
    refused = [one for one in known if isinstance(one.outcome, Refused)]
    reused = [one for one in refused if one.outcome.reason == REUSED]
    if not answered:
        for one in reused:
            yield _misplaced(request_id, one, None)
        return
    first = answered[0]
    for one in answered[1:]:
        if (one.body, _text(one)) != (first.body, _text(first)):
            text = f"{request_id!r}: {first} was answered {_text(first)}, {one} was answered {_text(one)}"
            yield Violation(Fault.TWICE, one.revision or 0, text)
    at = first.revision or 0
    for one in refused:
        is_late = one.revision is not None and one.revision > at
        is_early = one.revision is None or one.revision < at
        is_reuse = one in reused
        if (is_reuse and (is_early or one.body == first.body)) or (not is_reuse and is_late):
            yield _misplaced(request_id, one, first)


def _misplaced(request_id: str, refused: Operation, first: Operation | None) -> Violation:
    text = f"{request_id!r}: {refused} was refused: {refused.outcome}; answered was {first}"
    return Violation(Fault.MISPLACED, refused.revision or 0, text)


def _text(operation: Operation) -> str:
    outcome: Any = operation.outcome
    return canonical_json(outcome)
