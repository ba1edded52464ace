"""Graphs that wait for somebody, or were asked to stop, are paused, and go on as the same run."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphDrained
from langgraph.graph import START, StateGraph
from langgraph.runtime import RunControl
from langgraph.types import Command, interrupt

from runindex import Client
from runindex.langchain import RunIndexCallbackHandler
from tests.clients.python_runtimes.graphs import (
    INTERRUPTED,
    WAYS,
    State,
    agent,
    execute,
    inputs,
    nothing,
    one_node,
)
from tests.clients.python_runtimes.trees import FLUSH_S, named, recorded, roots, shape, text, whole
from tests.support.server import RunningServer


def on(thread: str, *handlers: RunIndexCallbackHandler) -> RunnableConfig:
    """Return the config of a thread."""
    return {"callbacks": list(handlers), "configurable": {"thread_id": thread}}


def transitions(client: Client, run: Any) -> list[str]:
    """Return the states that a run has been in."""
    return [change.to_state for change in client.insights.history(run)]


@pytest.mark.parametrize("how", WAYS)
def test_an_interrupted_graph_is_paused_and_goes_on(
    handler: RunIndexCallbackHandler, server: RunningServer, client: Client, how: str
) -> None:
    graph = agent(InMemorySaver())

    execute(how, graph, inputs("ask"), on("thread-1", handler))

    root = recorded(handler, client)
    assert shape(client, root) == INTERRUPTED
    assert [bool(run.metadata.get("interrupted")) for run in named(whole(client, root), "inner")] == [True]

    # Another handler, as in another process.
    later = RunIndexCallbackHandler(server.target)
    result = execute(how, graph, Command(resume="Yes."), on("thread-1", later))

    assert sorted(result["notes"]) == ["Yes.", "left"]
    root = recorded(later, client)
    lines = shape(client, root).splitlines()
    assert lines[0] == "agent COMPLETED"
    assert sorted(
        line.strip() for line in lines if line.strip().partition(" ")[0] in {"right", "below", "inner"}
    ) == [f"{name} {state}" for name in ("below", "inner", "right") for state in ("CANCELLED", "COMPLETED")]
    assert transitions(client, root) == ["ACTIVE", "PAUSED", "ACTIVE", "COMPLETED"]
    assert len(later._tree) == 0


def test_a_graph_may_be_interrupted_again_and_fail(handler: RunIndexCallbackHandler, client: Client) -> None:
    def node(state: State) -> None:
        raise LookupError(interrupt("one") + interrupt("two"))

    graph = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    compiled = graph.compile(checkpointer=InMemorySaver(), name="graph")

    compiled.invoke(inputs(), on("t", handler))
    compiled.invoke(Command(resume="1"), on("t", handler))
    with pytest.raises(LookupError, match="12"):
        compiled.invoke(Command(resume="2"), on("t", handler))

    root = recorded(handler, client)
    assert transitions(client, root) == ["ACTIVE", "PAUSED", "ACTIVE", "PAUSED", "ACTIVE", "FAILED"]
    assert shape(client, root) == text("""
        graph FAILED
          node CANCELLED
          node CANCELLED
          node FAILED
    """)


def test_a_breakpoint_pauses_too(handler: RunIndexCallbackHandler, client: Client) -> None:
    graph = StateGraph(State)
    graph.add_node("node", nothing)
    graph.add_edge(START, "node")
    compiled = graph.compile(checkpointer=InMemorySaver(), interrupt_before=["node"], name="graph")

    compiled.invoke(inputs(), on("t", handler))
    assert shape(client, recorded(handler, client)) == "graph PAUSED"
    compiled.invoke(None, on("t", handler))

    assert shape(client, recorded(handler, client)) == "graph COMPLETED\n  node COMPLETED"


def test_a_graph_that_is_drained_is_paused(handler: RunIndexCallbackHandler, client: Client) -> None:
    control = RunControl()

    def first(state: State) -> None:
        control.request_drain("deploy")

    graph = StateGraph(State)
    graph.add_node("first", first)
    graph.add_node("second", nothing)
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    compiled = graph.compile(checkpointer=InMemorySaver(), name="graph")

    with pytest.raises(GraphDrained):
        compiled.invoke(inputs(), on("t", handler), control=control)
    assert shape(client, recorded(handler, client)) == "graph PAUSED\n  first COMPLETED"
    compiled.invoke(None, on("t", handler))

    assert shape(client, recorded(handler, client)) == text("""
        graph COMPLETED
          first COMPLETED
          second COMPLETED
    """)


@pytest.mark.parametrize("threads", [("a-1", "a 1"), ("x", "x y"), ('"quoted"', "quoted"), ("!", "?")])
def test_each_thread_goes_on_with_its_own_run(
    handler: RunIndexCallbackHandler, client: Client, threads: tuple[str, str]
) -> None:
    graph = agent(InMemorySaver())
    other = agent(InMemorySaver())

    for each, compiled in zip(threads, (graph, other), strict=True):
        compiled.invoke(inputs("ask"), on(each, handler))
    graph.invoke(Command(resume="Yes."), on(threads[0], handler))

    assert handler.flush(FLUSH_S)
    found = {(run.metadata["thread_id"], str(run.state)) for run in roots(client)}
    if threads == ("!", "?"):  # Nothing in them can be looked for.
        assert found == {("!", "PAUSED"), ("?", "PAUSED"), ("!", "COMPLETED")}
    else:
        assert found == {(threads[0], "COMPLETED"), (threads[1], "PAUSED")}


@pytest.mark.parametrize("meddle", [Client.cancel, Client.resume, Client.delete])
def test_a_run_that_nobody_left_paused_does_not_go_on(
    handler: RunIndexCallbackHandler, client: Client, meddle: Callable[[Client, Any], Any]
) -> None:
    graph = agent(InMemorySaver())
    graph.invoke(inputs("ask"), on("t", handler))
    meddle(client, recorded(handler, client))
    before = len(roots(client))

    graph.invoke(Command(resume="Yes."), on("t", handler))

    assert handler.flush(FLUSH_S)
    assert [shape(client, root).splitlines()[0] for root in roots(client)[before:]] == ["agent COMPLETED"]


def test_only_a_paused_run_goes_on(handler: RunIndexCallbackHandler, client: Client) -> None:
    graph = agent(InMemorySaver())
    graph.invoke(inputs("ask"), on("t", handler))
    waiting = recorded(handler, client)
    newer = client.create(metadata={"name": "agent", "thread_id": "t"})

    graph.invoke(Command(resume="Yes."), on("t", handler))

    assert handler.flush(FLUSH_S)
    assert [run.run_id for run in roots(client)] == [waiting.run_id, newer.run_id]
    assert transitions(client, waiting)[-1] == "COMPLETED"


def test_only_a_whole_graph_goes_on(handler: RunIndexCallbackHandler, client: Client) -> None:
    """What is executed within it, without an input too, has begun with it."""
    waiting = client.create(metadata={"name": "step", "thread_id": "t"})
    client.pause(waiting)

    def node(state: State) -> None:
        RunnableLambda(str, name="step").invoke(None)

    one_node(node).invoke(inputs(), on("t", handler))

    assert handler.flush(FLUSH_S)
    assert [shape(client, root) for root in roots(client)] == [
        "step PAUSED",
        "graph COMPLETED\n  node COMPLETED\n    step COMPLETED",
    ]
