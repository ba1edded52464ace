"""Trees of runs as text, and what a runtime tells of its own runs, to be compared with them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from textwrap import dedent
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from runindex import Client, Run
from runindex.langchain import RunIndexCallbackHandler

FLUSH_S = 20.0


def roots(client: Client) -> list[Run]:
    """Return the runs that are under no other, the default run left out, oldest first."""
    found = [run for run in client.runs() if run.parent_run_id is None and run.run_id != DEFAULT]
    return found[::-1]


DEFAULT = "default"


def whole(client: Client, root: Run | str) -> list[Run]:
    """Return a run and all that are under it."""
    tree = client.insights.tree(root, max_depth=100, max_runs=1_000)
    assert not tree.truncated
    return [node.run for node in (tree.root, *tree.descendants)]


def shape(client: Client, root: Run | str) -> str:
    """Return a tree as text: a line for each run, with its name and state, and those under it sorted."""
    runs = whole(client, root)
    return "\n".join(_lines(runs[0], runs))


def _lines(run: Run, runs: list[Run]) -> Iterator[str]:
    yield f"{run.metadata.get('name', '-')} {run.state}"
    below = [list(_lines(child, runs)) for child in runs if child.parent_run_id == run.run_id]
    for lines in sorted(below):
        yield from (f"  {line}" for line in lines)


def text(expected: str) -> str:
    """Return an expected tree without its margin."""
    return dedent(expected).strip()


def recorded(handler: RunIndexCallbackHandler, client: Client) -> Run:
    """Return the only tree that was recorded."""
    assert handler.flush(FLUSH_S)
    (root,) = roots(client)
    return root


@contextmanager
def held_up(handler: RunIndexCallbackHandler) -> Iterator[None]:
    """Let what is to be recorded wait until all of it is there."""
    recorder = handler._recorder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "_start", lambda: False)
        yield
    with recorder._condition:
        recorder._is_running = recorder._start()


def named(runs: Iterable[Run], name: str) -> list[Run]:
    """Return the runs of a name."""
    return [run for run in runs if run.metadata.get("name") == name]


def warnings(caplog: pytest.LogCaptureFixture, address: str) -> list[str]:
    """Return what was said of a server, and not of those of other tests, which may still be tried."""
    return [message.replace(address, "SERVER") for message in caplog.messages if address in message]


class Witness(BaseCallbackHandler):
    """Keeps what the library tells of its runs: their ids, and those of their parents."""

    run_inline = True

    def __init__(self) -> None:
        self.parents: dict[str, str | None] = {}

    def _see(self, *_: Any, run_id: UUID, parent_run_id: UUID | None = None, **__: Any) -> None:
        self.parents[str(run_id)] = str(parent_run_id) if parent_run_id else None

    on_chain_start = on_tool_start = on_retriever_start = on_llm_start = on_chat_model_start = _see
