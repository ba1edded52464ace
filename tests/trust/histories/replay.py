"""All operations in the order of their revisions, through the model: every answer must be the model's.

A write's answer tells the revision that it made, so the order is known, and one pass decides. The model takes
from an answer what it cannot know: ids that the server makes, and times, which may only grow. Of writes with
an unknown outcome those took place that made the revisions which no other write made; where more than one
could have, each is a world of its own, and what does not fit ends it.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from tests.property.machine import id_made
from tests.property.model import CREATIONS
from tests.property.model_arguments import Answer, Refused, Request, canonical_id
from tests.property.model_data import DATA_COLLECTIONS
from tests.property.model_insights import ITEMS, InsightsModel
from tests.trust.histories.mix import QUERIES
from tests.trust.histories.order import Span
from tests.trust.histories.recording import Operation
from tests.trust.histories.verdict import Fault, Violation

COLLECTIONS: Final = frozenset(
    (
        *("ListRuns", "QueryRunsByState", "QueryRunsByTag", "SearchRuns", "GetChildRuns"),
        *DATA_COLLECTIONS,
        *ITEMS,
    )
)
MAY_CHANGE_NOTHING: Final = frozenset(("AddRunTags", "RemoveRunTags", "UpdateRunMetadata", "SetRunRetention"))
TIMES: Final = ("update_time", "write_time", "append_time")
WORLDS_MAX: Final = 64
"""Of writes with unknown outcomes: more cannot be told apart."""


class _Unfit(Exception):
    """An operation is not what the model says."""


@dataclass
class _World:
    """What may have happened.

    Attributes:
        unsettled: Writes with unknown outcomes that have not taken place so far.
        guessed: Revisions made by one of them, with the earliest time it can have.
        cursors: What the model knows of page tokens.
    """

    model: InsightsModel
    unsettled: tuple[Operation, ...]
    guessed: dict[int, int] = field(default_factory=dict)
    cursors: dict[tuple[str, str], Any] = field(default_factory=dict)

    def copy(self) -> "_World":
        """Return another that begins as this one."""
        return _World(deepcopy(self.model), self.unsettled, dict(self.guessed), dict(self.cursors))


class Replay:
    """A history on its way through the model.

    Attributes:
        made: The writes that made a revision, so far.
        guesses: How many revisions were made by writes with an unknown outcome, so far.
    """

    def __init__(
        self,
        operations: Iterable[Operation],
        *,
        unsettled: Mapping[Operation, Span] | None = None,
        create_us: int,
        revision: int,
    ) -> None:
        """Take a history; `violations` comes next.

        Args:
            operations: Each was decided once.
            unsettled: Writes with unknown outcomes, and which revisions each can have made.
            create_us: When the default run was created.
            revision: Of the new store.
        """
        self._operations = operations
        self._spans = dict(unsettled or {})
        model = InsightsModel(create_us=create_us, revision=revision)
        self._worlds = [_World(model, tuple(self._spans))]
        self.made: list[Operation] = []
        self.guesses = 0

    @property
    def _revision(self) -> int:
        return self._worlds[0].model.revision

    def violations(self) -> Iterator[Violation]:
        """Yield the first thing that is wrong: what comes after it means nothing."""
        placed = []
        for one in self._operations:
            if one.revision is not None:
                placed.append(one)
            elif not self._is_refused_unseen(one):
                yield Violation(Fault.NO_REVISION, 0, f"{one}: {one.outcome}")
                return
        placed.sort(key=lambda one: (one.revision, one.begin_ns))
        for revision, group in groupby(placed, key=lambda one: one.revision or 0):
            found = self._step(revision, list(group))
            if found is not None:
                yield found
                return

    def _is_refused_unseen(self, operation: Operation) -> bool:
        """Tell whether an operation was refused for its arguments, as the model refuses it."""
        if not isinstance(operation.outcome, Refused):
            return False
        return _outcome_of(deepcopy(self._worlds[0]), operation)[0] == _plain(operation.outcome)

    def _step(self, revision: int, group: list[Operation]) -> Violation | None:
        """Make a revision, and compare all that was decided at it."""
        while self._revision < revision - 1:
            missing = self._revision + 1
            if not self._guess(missing):
                return Violation(Fault.NO_WRITE, missing, f"the next operation known is {group[0]}")
        maker: Operation | None = None
        if self._revision < revision:
            certain = [one for one in group if one.is_answered and self._makes(one)]
            if len({id(one) for one in certain}) > 1 and not self._may_be_alike(certain):
                both = " and ".join(map(str, certain[:2]))
                return Violation(Fault.TWO_WRITES, revision, both)
            if not certain:
                if not self._guess(revision):
                    return Violation(Fault.NO_WRITE, revision, f"it is told by {group[0]}")
            else:
                return self._apply(revision, certain, group)
        return self._compare(revision, group, maker)

    def _makes(self, operation: Operation) -> bool:
        """Tell whether an answered operation made its revision, by its own words."""
        if not operation.is_write:
            return False
        if operation.method not in MAY_CHANGE_NOTHING:
            return True
        run_id = canonical_id(operation.request["run_id"]) or ""
        runs = [world.model.runs.get(run_id) for world in self._worlds]
        return any(run is not None and operation.outcome["version"] == run.version + 1 for run in runs)

    @staticmethod
    def _may_be_alike(certain: list[Operation]) -> bool:
        """Tell whether of several that claim a revision one made it, and the others changed nothing then."""
        kinds = [one.method in MAY_CHANGE_NOTHING for one in certain]
        return kinds.count(False) <= 1

    def _apply(self, revision: int, certain: list[Operation], group: list[Operation]) -> Violation | None:
        """Let one of the writes that claim a revision make it: the first with which the others agree."""
        surely = [one for one in certain if one.method not in MAY_CHANGE_NOTHING]
        candidates = surely or certain
        found: Violation | None = None
        for maker in candidates:
            is_last = maker is candidates[-1]
            saved = None if is_last else [_saved(world, maker) for world in self._worlds]
            found = self._compare(revision, group, maker)
            if found is None:
                self.made.append(maker)
                return None
            if saved is not None:
                self._worlds = saved
        if found is not None and len(certain) > 1:
            both = " and ".join(map(str, certain[:2]))
            return Violation(Fault.TWO_WRITES, revision, f"{both}; {found.text}")
        return found

    def _compare(self, revision: int, group: list[Operation], maker: Operation | None) -> Violation | None:
        """Compare the answers of one revision with the model's, its maker's first."""
        ordered = group if maker is None else [maker, *(one for one in group if one is not maker)]
        for one in ordered:
            differences = [_difference(world, one, revision) for world in self._worlds]
            fitting = [world for world, found in zip(self._worlds, differences, strict=True) if found is None]
            if not fitting:
                found = next(found for found in differences if found is not None)
                return Violation(found[0], revision, f"{one}\n  server: {_plain(one.outcome)}\n  {found[1]}")
            self._worlds = fitting
        return None

    def _guess(self, revision: int) -> bool:
        """Let writes with unknown outcomes make a revision, and tell whether any could have."""
        worlds = [
            other
            for world in self._worlds
            for one in world.unsettled
            if self._spans[one].may_make(revision)
            if (other := _after(world, one, revision)) is not None
        ]
        assert len(worlds) <= WORLDS_MAX, "too many writes with unknown outcomes"
        if not worlds:
            return False
        # What several worlds have in common would change for all of them.
        self._worlds = worlds if len(worlds) == 1 else [world.copy() for world in worlds]
        self.guesses += 1
        return True


def _after(world: _World, write: Operation, revision: int) -> _World | None:
    """Return a world after a write with an unknown outcome, if that makes a revision."""
    other = _saved(world, write)
    other.unsettled = tuple(rest for rest in world.unsettled if rest is not write)
    other.guessed[revision] = other.model.issued_us
    other.model.wall_us = other.model.issued_us
    try:
        other.model.call(write.method, write.request)
    except Refused:
        return None
    return other if other.model.revision == revision else None


def _saved(world: _World, write: Operation) -> _World:
    """Return a world that one of the writes can change, which may go without a request id, and no other."""
    model = copy(world.model)
    run_id = canonical_id(write.request["run_id"]) or ""
    model.runs = dict(model.runs)
    if run_id in model.runs:
        model.runs[run_id] = copy(model.runs[run_id])
    return _World(model, world.unsettled, dict(world.guessed), dict(world.cursors))


def _difference(world: _World, operation: Operation, revision: int) -> tuple[Fault, str] | None:
    """Return how an operation differs from what a world says of it, having done it there."""
    model = world.model
    answer = operation.outcome
    if isinstance(answer, dict):
        _learn_times(world, answer)
        if operation.is_write:
            time_us = _time_of(answer)
            if time_us is not None and time_us < model.issued_us and model.revision < revision:
                return Fault.TIME, f"model:  {model.issued_us} is the time of an earlier write"
            model.wall_us = model.issued_us if time_us is None else time_us
    expected, is_whole = _outcome_of(world, operation)
    if expected != _plain(answer) or not is_whole:
        return Fault.OTHER_ANSWER, f"model:  {expected}"
    return None


def _outcome_of(world: _World, operation: Operation) -> tuple[Any, bool]:
    """Return what the model answers, and whether a page ends as the answer says."""
    request = {name: value for name, value in operation.request.items() if name != "request_id"}
    try:
        if operation.method in COLLECTIONS:
            return _page(world, operation, request)
        made_id = id_made(operation.method, operation.outcome) if operation.method in CREATIONS else ""
        return world.model.call(operation.method, request, made_id=made_id), True
    except Refused as refused:
        return _plain(refused), True


def _page(world: _World, operation: Operation, request: Request) -> tuple[Any, bool]:
    """Return the model's page, with the token of the answer, and whether there should be one."""
    token = request.pop("page_token", "")
    if token and (operation.method, token) not in world.cursors:
        return f"no page at this revision or before gave the token {token!r}", False
    cursor = world.cursors[operation.method, token] if token else None
    query = QUERIES[request["query"]] if "query" in request else None
    page, following = world.model.page(operation.method, request, cursor=cursor, query=query)
    outcome = operation.outcome
    next_token = outcome.get("next_page_token", "") if isinstance(outcome, dict) else ""
    if next_token:
        page["next_page_token"] = next_token
        world.cursors[operation.method, next_token] = following
    return page, bool(next_token) == (following is not None)


def _learn_times(world: _World, answer: Answer) -> None:
    """Take the times of writes whose outcome was unknown from the first answer that shows them."""
    if not world.guessed:
        return
    for run in (*answer.get("runs", ()), *([answer["run"]] if "run" in answer else ())):
        earliest_us = world.guessed.get(run.get("revision", 0))
        there = world.model.runs.get(run["run_id"])
        if earliest_us is None or there is None or there.revision != run["revision"]:
            continue
        is_last = world.model.revision == run["revision"]
        if earliest_us <= run["update_time"] and (is_last or run["update_time"] <= world.model.issued_us):
            there.update_us = run["update_time"]
            world.model.issued_us = max(world.model.issued_us, there.update_us)
            del world.guessed[run["revision"]]


def _time_of(answer: Answer) -> int | None:
    """Return the time that a write's answer tells."""
    if "run" in answer:
        time_us: int = answer["run"]["create_time"]
        return time_us
    return next((answer[name] for name in TIMES if name in answer), None)


def _plain(outcome: Any) -> Any:
    """Return an answer or a refusal as plain values."""
    if isinstance(outcome, Refused):
        return outcome.code, outcome.reason, outcome.metadata
    return outcome
