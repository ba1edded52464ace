"""The callers' ledger against the store: nothing acknowledged is lost, applied twice, or taken back.

Judged without a model and without replaying anything, from what each caller was told and from what the store
holds when all have ended; a mistake of the replay is not a mistake of this.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter

from tests.property.model_arguments import Answer, canonical_json
from tests.trust.histories.recording import Operation

CREATIONS = ("CreateRun", "CreateChildRun")


class Loss(Enum):
    """What a ledger can show."""

    GONE = "acknowledged, and not in the store"
    BACK = "deleted, and in the store"
    TWICE = "applied twice under one request id"
    FALLING = "a version that fell"
    PENDING = "a write with a request id whose outcome was never learnt"


@dataclass(frozen=True)
class Finding:
    """Something that the ledger shows."""

    loss: Loss
    text: str

    def __str__(self) -> str:
        """Tell it."""
        return f"{self.loss.value}: {self.text}"


def check_ledger(history: Iterable[Operation], at_the_end: Iterable[Answer]) -> list[Finding]:
    """Return what is wrong with a store, by what callers were told.

    Args:
        history: What they were told.
        at_the_end: All runs that there are in the end.
    """
    operations = list(history)
    there = {run["run_id"]: run for run in at_the_end}
    return [*_pending(operations), *_twice(operations), *_falling(operations), *_gone(operations, there)]


def _pending(operations: list[Operation]) -> Iterator[Finding]:
    known = {one.request_id for one in operations if one.outcome is not None}
    for one in operations:
        if one.request_id is not None and one.request_id not in known:
            yield Finding(Loss.PENDING, str(one))


def _twice(operations: list[Operation]) -> Iterator[Finding]:
    """Yield writes that were answered differently under one request id."""
    first: dict[str, Operation] = {}
    for one in operations:
        if one.is_write and one.is_answered and one.request_id is not None:
            before = first.setdefault(one.request_id, one)
            if canonical_json(one.outcome) != canonical_json(before.outcome):
                yield Finding(Loss.TWICE, f"{before}: {before.outcome}; {one}: {one.outcome}")


def _falling(operations: list[Operation]) -> Iterator[Finding]:
    """Yield versions that were shown after a higher one of the same life of a run had been."""
    lives: defaultdict[tuple[str, int], list[tuple[int, int, int]]] = defaultdict(list)
    for one in operations:
        # Of a write, a repeated answer shows what was.
        if one.is_answered and not one.is_write:
            for run in _shown_runs(one.outcome):
                life = (run["run_id"], run["create_time"])
                lives[life].append((one.begin_ns, one.end_ns, run["version"]))
    for (run_id, _), shown in lives.items():
        ended = sorted(shown, key=lambda seen: seen[1])
        highest = position = 0
        for begin_ns, _, version in sorted(shown):
            while position < len(ended) and ended[position][1] < begin_ns:
                highest = max(highest, ended[position][2])
                position += 1
            if version < highest:
                yield Finding(Loss.FALLING, f"{run_id}: {version} after {highest}")


def _shown_runs(outcome: Answer) -> Iterator[Answer]:
    """Yield the runs of an answer that show their version."""
    for run in (*outcome.get("runs", ()), *([outcome["run"]] if "run" in outcome else ())):
        if "version" in run:
            yield run


def _gone(operations: list[Operation], there: dict[str, Answer]) -> Iterator[Finding]:
    """Yield acknowledged writes that the store does not hold, where nothing deleted them."""
    acknowledged: defaultdict[str, list[Operation]] = defaultdict(list)
    deleted_unknown = {
        one.request["run_id"] for one in operations if one.outcome is None and one.method == "DeleteRun"
    }
    for one in operations:
        if one.is_write and one.is_answered:
            acknowledged[_run_id(one)].append(one)
    for run_id, writes in acknowledged.items():
        last = max(writes, key=attrgetter("revision"))
        run = there.get(run_id)
        if last.method == "DeleteRun":
            if run is not None:
                yield Finding(Loss.BACK, f"{last}: {run}")
        elif run is None:
            # A deletion whose answer was lost, and that nobody asked about, may have taken place.
            if run_id not in deleted_unknown:
                yield Finding(Loss.GONE, f"{last}: there is no such run")
        else:
            yield from _fallen_behind(writes, run)


def _fallen_behind(writes: list[Operation], run: Answer) -> Iterator[Finding]:
    """Yield acknowledged versions of a run's last life that are later than the run itself."""
    creations = [one.revision or 0 for one in writes if one.method in CREATIONS]
    born = max(creations, default=0)
    for one in writes:
        outcome = one.outcome
        if (one.revision or 0) < born or not isinstance(outcome, dict) or "update_time" not in outcome:
            continue
        if outcome["version"] > run["version"] or outcome["update_time"] > run["update_time"]:
            yield Finding(Loss.GONE, f"{one}: {outcome}; in the store is {run}")


def _run_id(operation: Operation) -> str:
    outcome = operation.outcome
    if operation.method in CREATIONS and isinstance(outcome, dict):
        run_id: str = outcome["run"]["run_id"]
        return run_id
    chosen: str = operation.request["run_id"]
    return chosen
