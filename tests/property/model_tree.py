"""A run with its relatives, as the model has them: by looking through all runs for the children of one."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from tests.property.model_arguments import Answer, Request
from tests.property.model_figures import states_that_occur
from tests.property.model_run import ARCHIVED, ModelRun, shown

DEPTH_DEFAULT: Final = 10
DEPTH_MAX: Final = 100
RUNS_DEFAULT: Final = 100
RUNS_MAX: Final = 1_000
ANCESTORS_MAX: Final = 100

Runs = Mapping[str, ModelRun]


class Placed(NamedTuple):
    """A run, and how many levels it stands below or above the one that was asked for."""

    run: ModelRun
    level: int


def tree(runs: Runs, run: ModelRun, args: Request) -> Answer:
    """Return what is told of a run and its relatives."""
    view, hidden = args.get("view", 0), () if args.get("include_archived") else (ARCHIVED,)
    below, above = _descendants(runs, run, hidden), _ancestors(runs, run)
    depth = min(args.get("max_depth", 0) or DEPTH_DEFAULT, DEPTH_MAX)
    size = min(args.get("max_runs", 0) or RUNS_DEFAULT, RUNS_MAX)
    told = [placed for placed in below if placed.level <= depth][:size]
    answer: Answer = {"run": _node(runs, Placed(run, 0), view)}
    if above:
        answer["ancestors"] = [_node(runs, placed, view) for placed in above[:ANCESTORS_MAX]]
        if above[-1].run.parent in (run.run_id, *(placed.run.run_id for placed in above)):
            answer["ancestors"][-1]["is_circular"] = True
    if told:
        answer["descendants"] = [_node(runs, placed, view) for placed in told]
        for node, placed in zip(answer["descendants"], told, strict=True):
            # No other run can come again.
            if run.parent == placed.run.run_id:
                node["is_circular"] = True
    if len(told) < len(below):
        answer["truncated"] = True
    if len(above) > ANCESTORS_MAX:
        answer["ancestors_truncated"] = True
    return answer


def _children(runs: Runs, run: ModelRun, hidden: Collection[int] = ()) -> list[ModelRun]:
    """Return the children of a run, newest first."""
    children = [other for other in runs.values() if other.parent == run.run_id and other.state not in hidden]
    return sorted(children, key=lambda child: -child.ordinal)


def _descendants(runs: Runs, run: ModelRun, hidden: Collection[int]) -> list[Placed]:
    """Return all that is below a run, level by level."""
    found, level = [Placed(run, 0)], [run]
    while level:
        children = [child for parent in level for child in _children(runs, parent, hidden)]
        level = [child for child in children if child.run_id != run.run_id]
        found += [Placed(child, found[-1].level + 1) for child in level]
    return found[1:]


def _ancestors(runs: Runs, run: ModelRun) -> list[Placed]:
    """Return all that is above a run, until there is no more, or a run comes again."""
    found: list[Placed] = []
    seen = {run.run_id}
    parent = runs.get(run.parent or "")
    while parent is not None and parent.run_id not in seen:
        found.append(Placed(parent, len(found) + 1))
        seen.add(parent.run_id)
        parent = runs.get(parent.parent or "")
    return found


def _node(runs: Runs, placed: Placed, view: int) -> Answer:
    run = placed.run
    node: Answer = {"run": shown(run, view)}
    if placed.level:
        node["level"] = placed.level
    if children := states_that_occur(_children(runs, run)):
        node["children"] = children
    if run.parent is not None and run.parent not in runs:
        node["is_orphan"] = True
    return node
