"""Trees of runs asked for in tests, and an oracle that looks at every run."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.limits import (
    TREE_DEPTH_DEFAULT,
    TREE_DEPTH_MAX,
    TREE_RUNS_DEFAULT,
    TREE_RUNS_MAX,
)
from tests.support.calls import (
    Stub,
    create,
)
from tests.support.data_calls import revision_of
from tests.support.insight_methods import Insights

FULL, BASIC, ID_ONLY = index_pb.RUN_VIEW_FULL, index_pb.RUN_VIEW_BASIC, index_pb.RUN_VIEW_ID_ONLY


def tree(insights: Insights, run_id: str, **fields: Any) -> pb.GetRunTreeResponse:
    """Return a run with its relatives."""
    return insights.GetRunTree(pb.GetRunTreeRequest(run_id=run_id, **fields))


def whole(insights: Insights, run_id: str, **fields: Any) -> pb.GetRunTreeResponse:
    """Return a run with all its relatives."""
    answer = tree(insights, run_id, max_depth=TREE_DEPTH_MAX, max_runs=TREE_RUNS_MAX, **fields)
    assert not answer.truncated
    assert not answer.ancestors_truncated
    return answer


def ids(nodes: Iterable[pb.TreeNode]) -> list[str]:
    """Return the ids of nodes, in their order."""
    return [node.run.run_id for node in nodes]


def levels(nodes: Iterable[pb.TreeNode]) -> list[tuple[str, int]]:
    """Return the ids of nodes with their levels, in their order."""
    return [(node.run.run_id, node.level) for node in nodes]


def marked(answer: pb.GetRunTreeResponse, mark: str) -> list[str]:
    """Return the ids of all nodes that have a mark, an ancestor that is a descendant too twice."""
    return ids(node for node in (answer.run, *answer.ancestors, *answer.descendants) if getattr(node, mark))


def states_of(node: pb.TreeNode) -> list[tuple[int, int]]:
    """Return the states of a node's children, with how many there are in each."""
    return [(row.state, row.count) for row in node.children]


def chain(stub: Stub, length: int, *, below: str | None = None, **fields: Any) -> list[str]:
    """Create runs, each the child of the one before; return their ids."""
    made: list[str] = []
    for _ in range(length):
        made.append(create(stub, parent=below, **fields).run_id)
        below = made[-1]
    return made


# An oracle that reads all runs, and looks at the parent of each.


@dataclass(frozen=True)
class Forest:
    """All runs.

    Attributes:
        runs: The runs, by id.
        below: The children of each, newest first; of deleted runs, too.
    """

    runs: Mapping[str, index_pb.Run]
    below: Mapping[str, list[index_pb.Run]]

    def descendants(self, run_id: str, *, include_archived: bool) -> list[tuple[str, int]]:
        """Return all descendants of a run, with their levels."""
        found: dict[str, int] = {}
        nearer, level = [run_id], 0
        while nearer:
            level += 1
            nearer = [
                run.run_id
                for parent in nearer
                for run in self.below.get(parent, [])
                if run.run_id != run_id and (include_archived or run.state != index_pb.RUN_STATE_ARCHIVED)
            ]
            assert not found.keys() & set(nearer)
            found |= dict.fromkeys(nearer, level)
        return list(found.items())

    def ancestors(self, run_id: str) -> list[tuple[str, int]]:
        """Return all ancestors of a run, with their levels."""
        found: dict[str, int] = {}
        parent = self.runs[run_id].parent_run_id
        while parent in self.runs and parent not in {run_id, *found}:
            found[parent] = len(found) + 1
            parent = self.runs[parent].parent_run_id
        return list(found.items())

    def children(self, run_id: str) -> list[tuple[int, int]]:
        """Return how many children a run has in each state."""
        return sorted(Counter(run.state for run in self.below.get(run_id, [])).items())


def forest(stub: Stub) -> Forest:
    """Return all runs, which must go on one page."""
    answer = stub.ListRuns(index_pb.ListRunsRequest(include_archived=True, page_size=1_000))
    assert not answer.next_page_token
    below: dict[str, list[index_pb.Run]] = {}
    for run in answer.runs:
        below.setdefault(run.parent_run_id, []).append(run)
    return Forest({run.run_id: run for run in answer.runs}, below)


def check_tree(stub: Stub, insights: Insights, run_id: str, **fields: Any) -> pb.GetRunTreeResponse:
    """Check a tree against the oracle, node by node, and return it."""
    answer, known = tree(insights, run_id, **fields), forest(stub)
    reachable = known.descendants(run_id, include_archived=fields.get("include_archived", False))
    depth = fields.get("max_depth") or TREE_DEPTH_DEFAULT
    expected = [(each, level) for each, level in reachable if level <= depth]
    expected = expected[: fields.get("max_runs") or TREE_RUNS_DEFAULT]
    assert levels(answer.descendants) == expected
    assert answer.truncated == (len(expected) < len(reachable))
    assert levels(answer.ancestors) == known.ancestors(run_id)
    assert not answer.ancestors_truncated
    assert (answer.run.run.run_id, answer.run.level) == (run_id, 0)
    assert answer.revision == revision_of(stub)
    check_nodes(known, answer)
    return answer


def check_nodes(known: Forest, answer: pb.GetRunTreeResponse) -> None:
    """Check what each node tells of its run, its children and its way on."""
    up, down = [answer.run, *answer.ancestors], [answer.run, *answer.descendants]
    for node in (*up, *down):
        assert node.run == known.runs[node.run.run_id]
        assert states_of(node) == known.children(node.run.run_id)
        parent = node.run.parent_run_id
        assert node.is_orphan == (bool(parent) and parent not in known.runs)
    for node in up:
        assert node.is_circular == (node is up[-1] and node.run.parent_run_id in ids(up))
    for node in down[1:]:
        assert node.is_circular == (answer.run.run.parent_run_id == node.run.run_id)
