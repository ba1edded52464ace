"""Which runs are under way, and which of them are under which."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID
from weakref import ref

from runindex.langchain._entries import DEEP, Node


@dataclass(slots=True, eq=False)
class Open:
    """A run that is under way.

    Attributes:
        run_id: The library's id of it.
        node: What is recorded of it.
        parent: The run that it is under; None when that is not under way here.
        task: The task in which it began; None outside of tasks.
        thread: The thread in which it began.
        children: The runs under it that are under way, in the order in which they began.
        is_interrupted: Whether the library has told that it waits for somebody.
    """

    run_id: UUID
    node: Node
    parent: "Open | None"
    task: "ref[asyncio.Task[Any]] | None"
    thread: int
    children: "dict[UUID, Open]" = field(default_factory=dict)
    is_interrupted: bool = False

    def is_left_by(self, around: "Open") -> bool:
        """Tell whether it can't be under way any more, now that a run above it has ended.

        The library does not tell the end of a model, a tool or a retriever that is cancelled. It is over when
        its task is, or goes on with the run above. A task of its own, or a thread, may outlive that run.
        """
        if self.task is None:
            return around.task is None and around.thread == self.thread
        return self.is_over() or (around.task is not None and self.task() is around.task())

    def is_over(self) -> bool:
        """Tell whether the task is over in which it began."""
        task = self.task() if self.task is not None else None
        return self.task is not None and (task is None or task.done())


class Tree:
    """The runs under way of one handler, told of by any thread. A run is forgotten with its end."""

    def __init__(self) -> None:
        """Begin with none."""
        # Re-entrant, for the end of a run may be told by the garbage collector, at any place: it closes the
        # generator of a stream that nobody reads any more.
        self._lock = threading.RLock()
        self._open: dict[UUID, Open] = {}
        self._outliving: dict[UUID, Open] = {}
        """Those that all runs above them have left behind, and that may go on."""

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, run_id: UUID, parent_id: UUID | None) -> Node:
        """Add a run, and return it. It is the first of a tree when its parent is not under way here."""
        task = _current_task()
        with self._lock:
            parent = self._open.get(parent_id) if parent_id is not None else None
            if parent is None:
                node = Node(str(run_id), depth=0 if parent_id is None else DEEP)
            else:
                node = Node(str(run_id), parent.node, parent.node.depth + 1)
            begun = Open(run_id, node, parent, ref(task) if task else None, threading.get_ident())
            self._open[run_id] = begun
            if parent is not None:
                parent.children[run_id] = begun
            return node

    def interrupt(self, run_id: UUID) -> None:
        """Mark a run as one that waits for somebody."""
        with self._lock:
            if found := self._open.get(run_id):
                found.is_interrupted = True

    def end(self, run_id: UUID) -> tuple[Open, list[Node]] | None:
        """Remove a run, and those that it leaves behind; return it, and them, the deepest first.

        Returns:
            None when it is not under way: it began before it was observed, or was left behind.
        """
        with self._lock:
            ended = self._open.get(run_id)
            if ended is None:
                return None
            self._forget(ended)
            left: list[Node] = []
            self._leave(ended, ended, left)
            if ended.parent is None:
                for run in [each for each in self._outliving.values() if each.is_over()]:
                    self._forget(run)
                    left.append(run.node)
            return ended, left[::-1]

    def end_all(self) -> list[Node]:
        """Remove all runs, and return them, those that began last first."""
        with self._lock:
            left = [each.node for each in self._open.values()]
            self._open.clear()
            self._outliving.clear()
            return left[::-1]

    def _leave(self, run: Open, ended: Open, left: list[Node]) -> None:
        """Remove the runs below one that are over; those that are not are now under the one above."""
        for child in list(run.children.values()):
            if child.is_left_by(ended):
                self._forget(child)
                left.append(child.node)
                self._leave(child, ended, left)
            elif ended.parent is not None:
                child.parent = ended.parent
                ended.parent.children[child.run_id] = child
            else:
                child.parent = None
                self._outliving[child.run_id] = child

    def _forget(self, run: Open) -> None:
        self._open.pop(run.run_id, None)
        self._outliving.pop(run.run_id, None)
        if run.parent is not None:
            run.parent.children.pop(run.run_id, None)


def _current_task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # No loop runs here.
        return None
