"""How a run is drawn with its relatives."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import typer

import runindex
from runindex.cli.answers import STYLES, echo_styled
from runindex.cli.session import Session
from runindex.cli.words import count_text, duration_text, tags_text

Line = list[tuple[str, str]]
"""Parts of a line, each with its style."""


def echo_tree(session: Session, tree: "runindex.RunTree") -> None:
    """Print a run below its ancestors and above its descendants, a line each."""
    if tree.root.is_orphan or (tree.ancestors and tree.ancestors[-1].is_orphan):
        typer.echo("The topmost run had a parent, which was deleted.", err=True)
    if tree.ancestors_truncated:
        typer.echo("There are more ancestors than these.", err=True)
    for depth, node in enumerate(reversed(tree.ancestors)):
        echo_styled(session, [(_indent(depth), "dim"), *_told(node)])
    below: dict[str | None, list[runindex.TreeNode]] = defaultdict(list)
    for node in tree.descendants:
        below[node.run.parent_run_id].append(node)
    depth = len(tree.ancestors)
    echo_styled(session, [(_indent(depth), "dim"), *_told(tree.root, is_asked=depth > 0)])
    margin = "   " * depth
    for line in _branches(tree.root, below, margin):
        echo_styled(session, line)
    if tree.truncated:
        typer.echo("There are more descendants than these: see --depth and --limit.", err=True)


def _indent(depth: int) -> str:
    return "   " * (depth - 1) + "└─ " if depth else ""


def _branches(
    node: "runindex.TreeNode",
    below: "Mapping[str | None, Sequence[runindex.TreeNode]]",
    margin: str,
) -> Iterator[Line]:
    """Yield the lines of all descendants of a run."""
    children = below.get(node.run.run_id, ())
    left_out = sum(node.children.values()) - len(children)
    for index, child in enumerate(children):
        is_last = index == len(children) - 1 and not left_out
        yield [(f"{margin}{'└─ ' if is_last else '├─ '}", "dim"), *_told(child)]
        yield from _branches(child, below, f"{margin}{'   ' if is_last else '│  '}")
    if left_out:
        yield [(f"{margin}└─ {count_text(left_out, 'child', 'children')} not shown", "dim")]


def _told(node: "runindex.TreeNode", *, is_asked: bool = False) -> Line:
    """Return what is told of a run in a tree."""
    run = node.run
    state = run.state.lower()
    took = "" if run.duration is None else f"  {duration_text(run.duration)}"
    tags = f"  {tags_text(run.tags)}" if run.tags else ""
    circular = "  (below itself)" if node.is_circular else ""
    return [
        (run.run_id, "bold" if is_asked else ""),
        ("  ", ""),
        (state, STYLES.get(state, "")),
        (f"{took}{tags}{circular}", ""),
    ]
