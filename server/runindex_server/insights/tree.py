"""A run with its relatives: upwards one by one, downwards level by level.

Each run has one parent at most. So going down never meets a run twice, but for the one that was asked for:
when its own parent is among its descendants, which takes an id that was deleted and created again below them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from itertools import chain, islice
from typing import Final, NamedTuple, TypeAlias

from runindex_server import limits
from runindex_server.errors import RunNotFound
from runindex_server.kv.api import ReadTxn, decode_counter
from runindex_server.runs.paging import RUNS_AT_ONCE, PageRequest, Row, cut_rows, newest_first, take
from runindex_server.schema import insight_keys, keys, records
from runindex_server.schema.run import Run, RunId, RunState, RunView, run_id_text

NODE_ROOM_BYTES: Final = 256 * 1024
"""What the nodes of a tree take beside their runs at most: 1,101 of them, of 80 bytes, and some to spare."""

ANSWER_BYTES_MAX: Final = 2 * limits.PAGE_BYTES_MAX - NODE_ROOM_BYTES
"""All runs of a tree, so that the answer is one that every gRPC client takes by default."""

_STATES: Final = tuple(RunState)

StateCounts: TypeAlias = tuple[tuple[RunState, int], ...]
"""How many runs there are in each state that occurs, in the order of the enum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRequest:
    """Which relatives of a run, and how much of each.

    Attributes:
        max_depth: Levels of descendants at most; 1 to limits.TREE_DEPTH_MAX.
        max_runs: Descendants at most; 1 to limits.TREE_RUNS_MAX.
        include_archived: Whether to go down to, and on from, archived ones.
        view: How much of each run.
    """

    max_depth: int
    max_runs: int
    include_archived: bool
    view: RunView


class TreeNode(NamedTuple):
    """A run in a tree. A tuple, because a tree has many.

    Attributes:
        run: The wire form of `runindex.v1.Run`.
        level: How many levels below the run that was asked for; above, for its ancestors.
        children: How many children it has in each state.
        is_orphan: Whether its parent is gone.
        is_circular: Whether the way on leads to a run that it has been at before.
    """

    run: bytes
    level: int
    children: StateCounts
    is_orphan: bool = False
    is_circular: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A run with its relatives.

    Attributes:
        run: The run.
        ancestors: The nearest first.
        descendants: Level by level, the children of each node together, newest first.
        truncated: Whether there are further descendants.
        ancestors_truncated: Whether there are further ancestors.
    """

    run: TreeNode
    ancestors: Sequence[TreeNode]
    descendants: Sequence[TreeNode]
    truncated: bool
    ancestors_truncated: bool


class _Top(Enum):
    """Why a way upwards ends: at a root, below a run that is gone, in a circle, or at a bound."""

    ROOT = auto()
    ORPHAN = auto()
    CIRCLE = auto()
    BOUND = auto()


def get_run_tree(txn: ReadTxn, run_id: RunId, request: TreeRequest) -> Tree:
    """Return a run with its ancestors and its descendants, as deep and as many as are asked for. Read-only.

    Raises:
        RunNotFound: No run has this id.
        StoreCorrupt: A row is damaged, or a listing leads to a record that is missing.
    """
    key = keys.run(run_id)
    value = txn.get(key)
    if value is None:
        raise RunNotFound(run_id_text(run_id))
    run, message = records.decode_run(key, value), records.view_message(key, value, request.view)
    descent = _Descent(txn, run, request)
    descendants = descent.nodes()
    room_bytes = ANSWER_BYTES_MAX - len(message) - sum(len(node.run) for node in descendants)
    above, top = _climb(txn, run, request.view, min(room_bytes, limits.PAGE_BYTES_MAX))
    lineage = _lineage(txn, {run_id: message, **above}, top)
    return Tree(
        run=lineage[0],
        ancestors=lineage[1:],
        descendants=descendants,
        truncated=descent.is_truncated,
        ancestors_truncated=top is _Top.BOUND,
    )


def _climb(txn: ReadTxn, run: Run, view: RunView, room_bytes: int) -> tuple[dict[RunId, bytes], _Top]:
    """Return the ancestors of a run, the nearest first, as far as there is room, and why they end."""
    above: dict[RunId, bytes] = {}
    parent = run.parent
    while parent is not None:
        if parent in above or parent == run.run_id:
            return above, _Top.CIRCLE
        key = keys.run(parent)
        value = txn.get(key)
        if value is None:
            return above, _Top.ORPHAN
        message = records.view_message(key, value, view)
        room_bytes -= len(message)
        if len(above) == limits.TREE_DEPTH_MAX or room_bytes < 0:
            return above, _Top.BOUND
        above[parent] = message
        parent = records.decode_run(key, value).parent
    return above, _Top.ROOT


def _lineage(txn: ReadTxn, messages: Mapping[RunId, bytes], top: _Top) -> list[TreeNode]:
    """Return the nodes of a run and its ancestors. How they end is told by the last."""
    children, last = _children_of(txn, list(messages)), len(messages) - 1
    return [
        TreeNode(
            run=message,
            level=level,
            children=children[run_id],
            is_orphan=top is _Top.ORPHAN and level == last,
            is_circular=top is _Top.CIRCLE and level == last,
        )
        for level, (run_id, message) in enumerate(messages.items())
    ]


def _children_of(txn: ReadTxn, run_ids: Sequence[RunId]) -> dict[RunId, StateCounts]:
    """Return how many children runs have in each state."""
    found: dict[RunId, StateCounts] = {}
    remaining = iter(run_ids)
    while batch := list(islice(remaining, RUNS_AT_ONCE)):
        values = txn.get_many(list(chain.from_iterable(map(insight_keys.child_counts, batch))))
        for place, run_id in enumerate(batch):
            of_run = values[place * len(_STATES) : (place + 1) * len(_STATES)]
            # Most have none. A counter at 0 has no row.
            found[run_id] = _counted(of_run) if any(of_run) else ()
    return found


def _counted(values: Sequence[bytes | None]) -> StateCounts:
    """Return the counts in the counters of all states, those of 0 left out."""
    return tuple(
        (state, decode_counter(value)) for state, value in zip(_STATES, values, strict=True) if value
    )


class _Descent:
    """The way down from a run.

    Attributes:
        is_truncated: Whether there are descendants beside those that `nodes` has returned.
    """

    def __init__(self, txn: ReadTxn, run: Run, request: TreeRequest) -> None:
        self._txn = txn
        self._run = run
        self._request = request
        self._met: list[tuple[RunId, int]] = []
        self._children: dict[RunId, StateCounts] = {}
        self.is_truncated = False

    def nodes(self) -> list[TreeNode]:
        """Return the descendants, as many as fit."""
        request = self._request
        cut = partial(cut_rows, self._txn, view=request.view)
        runs = take(self._rows(), request.max_runs, cut=cut).items
        met = self._met[: len(runs)]
        self._count_children([run_id for run_id, _ in met if run_id not in self._children])
        self.is_truncated = self._reachable(run_id for run_id, _ in met) > len(runs)
        return [
            TreeNode(
                run=message,
                level=level,
                children=self._children[run_id],
                is_circular=run_id == self._run.parent,
            )
            for (run_id, level), message in zip(met, runs, strict=True)
        ]

    def _rows(self) -> Iterator[Row]:
        """Yield the rows of the listings that lead to the descendants, level by level, and note them down."""
        above = [self._run.run_id]
        for level in range(1, self._request.max_depth + 1):
            self._count_children(above)
            below: list[RunId] = []
            for row in chain.from_iterable(map(self._rows_below, above)):
                run_id = RunId(row[1])
                if run_id != self._run.run_id:
                    self._met.append((run_id, level))
                    below.append(run_id)
                    yield row
            above = below

    def _rows_below(self, parent: RunId) -> Iterator[Row]:
        """Yield the rows of the listings of a run's children, newest first: as many as can be wanted."""
        visible = self._visible(parent)
        if not visible:
            return iter(())
        archived = {state is RunState.ARCHIVED for state, _ in visible}
        listings = [keys.by_parent_range(parent, archived=flag) for flag in archived]
        # A scan reads as many rows together as are asked of it, also those of the next parent.
        count = sum(count for _, count in visible)
        return newest_first(self._txn, listings, PageRequest(size=min(count, self._request.max_runs)))

    def _count_children(self, run_ids: Sequence[RunId]) -> None:
        """Note down how many children runs have."""
        self._children |= _children_of(self._txn, run_ids)

    def _visible(self, run_id: RunId) -> StateCounts:
        """Return a run's children, without those that are not asked for."""
        counts = self._children[run_id]
        if self._request.include_archived:
            return counts
        return tuple((state, count) for state, count in counts if state is not RunState.ARCHIVED)

    def _reachable(self, descendants: Iterable[RunId]) -> int:
        """Return how many descendants can be reached from the run and some descendants by one step."""
        below = set(descendants)
        parents = [self._run.run_id, *below]
        steps = sum(count for run_id in parents for _, count in self._visible(run_id))
        # The last step around a circle leads to no descendant.
        is_seen = self._request.include_archived or not self._run.is_archived
        return steps - (is_seen and self._run.parent in below)
