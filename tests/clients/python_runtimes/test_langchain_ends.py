"""How runs of LangChain and LangGraph end: failed, cancelled, left behind, paused, and going on."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy

from runindex import Client, RunState
from runindex.langchain import RunIndexCallbackHandler
from tests.clients.python_runtimes.graphs import (
    AGENT,
    WAYS,
    State,
    agent,
    execute,
    inputs,
    nothing,
    one_node,
)
from tests.clients.python_runtimes.trees import FLUSH_S, recorded, roots, shape, text, warnings, whole
from tests.support.server import WAIT_S, RunningServer


def failing(tree: str, state: str) -> str:
    """Return the agent's tree when its innermost node ends it."""
    for name in ("agent", "right", "below", "inner"):
        tree = tree.replace(f"{name} COMPLETED", f"{name} {state}")
    return tree


@pytest.mark.parametrize("how", WAYS)
def test_an_exception_fails_the_runs_around_it(
    handler: RunIndexCallbackHandler, client: Client, how: str
) -> None:
    with pytest.raises(ValueError, match="no notes today"):
        execute(how, agent(), inputs("boom"), {"callbacks": [handler]})

    root = recorded(handler, client)
    # The branch beside it is cancelled, or was complete before.
    tree = shape(client, root).replace("left CANCELLED", "left COMPLETED")
    assert tree == failing(AGENT, "FAILED")
    assert {run.error.splitlines()[0] for run in whole(client, root) if run.state is RunState.FAILED} == {
        "ValueError: no notes today"
    }


class Torn(BaseRetriever):
    fault: BaseException

    def _get_relevant_documents(
        self,
        query: str,  # noqa: ARG002  # As it is called.
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  # As it is called.
    ) -> list[Document]:
        raise self.fault


@tool
def divide(a: int, b: int) -> float:
    """Divide two numbers."""
    return a / b


@pytest.mark.parametrize(
    ("fails", "given", "error"),
    [
        (divide, {"a": 1, "b": 0}, "ZeroDivisionError: division by zero"),
        (Torn(fault=LookupError("page")), "", "LookupError: page"),
        (FakeListChatModel(responses=[]), "", "IndexError: list index out of range"),
        (FakeListLLM(responses=[]), "", "IndexError: list index out of range"),
    ],
    ids=["tool", "retriever", "chat model", "model"],
)
@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_whatever_fails_tells_why(
    handler: RunIndexCallbackHandler, client: Client, fails: Any, given: Any, error: str, how: str
) -> None:
    with pytest.raises(Exception, match=error.partition(" ")[2]):
        execute(how, fails, given, {"callbacks": [handler]})

    root = recorded(handler, client)
    assert root.state is RunState.FAILED
    assert root.error is not None
    assert root.error.splitlines()[0] == error


def test_what_the_library_leaves_behind_is_cancelled(
    handler: RunIndexCallbackHandler, client: Client
) -> None:
    """It tells nothing of the end of a retriever that is interrupted."""
    torn = Torn(fault=KeyboardInterrupt())

    def node(state: State) -> dict[str, list[str]]:
        with pytest.raises(KeyboardInterrupt):
            torn.invoke("")
        return {"notes": ["on"]}

    one_node(node).invoke(inputs(), {"callbacks": [handler]})

    tree = shape(client, recorded(handler, client))
    assert tree == "graph COMPLETED\n  node COMPLETED\n    Torn CANCELLED"


def test_what_the_library_leaves_behind_in_a_task_is_cancelled(
    handler: RunIndexCallbackHandler, client: Client
) -> None:
    """Also when the task goes on that it was in."""

    class Patient(Torn):
        async def _aget_relevant_documents(self, _: str, *, run_manager: Any) -> list[Document]:
            wait = Wait()
            wait.then = lambda: limit.reschedule(0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    await wait.tool.ainvoke({}, {"callbacks": run_manager.get_child()})
            return []

    asyncio.run(Patient(fault=LookupError()).ainvoke("", {"callbacks": [handler]}))

    tree = shape(client, recorded(handler, client))
    assert tree == "Patient COMPLETED\n  wait CANCELLED"


def test_an_end_without_a_beginning_is_passed_over(handler: RunIndexCallbackHandler, client: Client) -> None:
    handler.on_chain_end({}, run_id=uuid4())

    assert handler.flush(FLUSH_S)
    assert roots(client) == []


def test_an_interrupt_from_the_keyboard_cancels(handler: RunIndexCallbackHandler, client: Client) -> None:
    def stop(state: State) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one_node(stop).invoke(inputs(), {"callbacks": [handler]})

    assert shape(client, recorded(handler, client)) == "graph CANCELLED\n  node CANCELLED"


@pytest.mark.parametrize(("code", "state"), [(0, "COMPLETED"), (3, "FAILED")])
def test_an_exit_of_the_program_ends_as_its_code_says(
    handler: RunIndexCallbackHandler, client: Client, code: int, state: str
) -> None:
    def leave(given: str) -> None:
        raise SystemExit(code)

    with pytest.raises(SystemExit):
        RunnableLambda(leave).invoke("", {"callbacks": [handler]})

    assert shape(client, recorded(handler, client)) == f"leave {state}"


class Wait:
    """A tool that waits until it is cancelled, and tells when it has begun."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.then: Callable[[], Any] = lambda: None

        @tool
        async def wait() -> str:
            """Wait."""
            self.begun.set()
            self.then()
            await asyncio.Event().wait()
            return "never"

        self.tool = wait


def test_a_cancelled_task_cancels_its_runs(handler: RunIndexCallbackHandler, client: Client) -> None:
    async def main() -> None:
        wait = Wait()

        async def node(state: State) -> None:
            await wait.tool.ainvoke({})

        graph = StateGraph(State)
        graph.add_node("waits", node)
        graph.add_node("done", nothing)
        graph.add_edge(START, "waits")
        graph.add_edge(START, "done")
        task = asyncio.create_task(graph.compile(name="graph").ainvoke(inputs(), {"callbacks": [handler]}))
        await asyncio.wait_for(wait.begun.wait(), WAIT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert shape(client, recorded(handler, client)) == text("""
        graph CANCELLED
          done COMPLETED
          waits CANCELLED
            wait CANCELLED
    """)


def test_a_tool_that_takes_too_long_is_cancelled(handler: RunIndexCallbackHandler, client: Client) -> None:
    """The library tells nothing of its end, and the node around it goes on."""

    async def node(state: State) -> dict[str, list[str]]:
        in_a_task = Wait()
        task = asyncio.create_task(in_a_task.tool.ainvoke({}))
        await in_a_task.begun.wait()
        task.cancel()
        await asyncio.wait([task])

        in_time = Wait()
        in_time.then = lambda: limit.reschedule(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                await in_time.tool.ainvoke({})
        return {"notes": ["too long"]}

    result = asyncio.run(one_node(node).ainvoke(inputs(), {"callbacks": [handler]}))

    assert result["notes"] == ["too long"]
    assert shape(client, recorded(handler, client)) == text("""
        graph COMPLETED
          node COMPLETED
            wait CANCELLED
            wait CANCELLED
    """)


def test_a_task_that_outlives_its_graph_ends_by_itself(
    handler: RunIndexCallbackHandler, client: Client
) -> None:
    async def main() -> None:
        may_end = asyncio.Event()
        tasks = []

        async def slow(given: str) -> None:
            await may_end.wait()

        async def node(state: State) -> None:
            tasks.append(asyncio.create_task(RunnableLambda(slow).ainvoke("")))
            await asyncio.sleep(0)

        await one_node(node).ainvoke(inputs(), {"callbacks": [handler]})
        handler.flush(FLUSH_S)
        assert shape(client, roots(client)[0]) == "graph COMPLETED\n  node COMPLETED\n    slow ACTIVE"
        may_end.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())

    assert shape(client, recorded(handler, client)) == "graph COMPLETED\n  node COMPLETED\n    slow COMPLETED"


def test_a_task_that_outlives_its_graph_and_is_dropped_is_cancelled(
    handler: RunIndexCallbackHandler, client: Client
) -> None:
    async def main() -> None:
        wait = Wait()
        tasks = []

        async def node(state: State) -> None:
            tasks.append(asyncio.create_task(wait.tool.ainvoke({})))
            await wait.begun.wait()

        await one_node(node).ainvoke(inputs(), {"callbacks": [handler]})
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert len(handler._tree) == 1
    RunnableLambda(len).invoke("four", {"callbacks": [handler]})

    assert handler.flush(FLUSH_S)
    assert shape(client, roots(client)[0]) == "graph COMPLETED\n  node COMPLETED\n    wait CANCELLED"


def test_a_stream_that_nobody_reads_to_its_end_is_cancelled(
    handler: RunIndexCallbackHandler, client: Client
) -> None:
    stream: Any = agent().stream(inputs(), {"callbacks": [handler]})

    assert "think" in next(stream)
    stream.close()

    assert recorded(handler, client).state is RunState.CANCELLED


def test_each_attempt_of_a_node_is_a_run(handler: RunIndexCallbackHandler, client: Client) -> None:
    attempts = []

    def flaky(state: State) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError

    one_node(flaky, retry_policy=RetryPolicy(initial_interval=0, jitter=False)).invoke(
        inputs(), {"callbacks": [handler]}
    )

    root = recorded(handler, client)
    assert shape(client, root) == text("""
        graph COMPLETED
          node COMPLETED
          node FAILED
          node FAILED
    """)
    errors = [run.error.splitlines()[0] for run in whole(client, root) if run.error]
    assert errors == ["ConnectionError", "ConnectionError"]


def test_a_jump_to_the_graph_around_is_no_failure(handler: RunIndexCallbackHandler, client: Client) -> None:
    def jump(state: State) -> Command[str]:
        return Command(goto="after", graph=Command.PARENT)

    def after(state: State) -> dict[str, list[str]]:
        return {"notes": ["after"]}

    graph = StateGraph(State)
    graph.add_node("before", one_node(jump))
    graph.add_node("after", after)
    graph.add_edge(START, "before")

    result = graph.compile(name="around").invoke(inputs(), {"callbacks": [handler]})

    assert result["notes"] == ["after"]
    assert shape(client, recorded(handler, client)) == text("""
        around COMPLETED
          after COMPLETED
          before COMPLETED
            graph COMPLETED
              node COMPLETED
    """)


def test_what_somebody_else_has_ended_stays_as_it_is(
    handler: RunIndexCallbackHandler,
    server: RunningServer,
    client: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def node(state: State, config: RunnableConfig) -> None:
        assert handler.flush(FLUSH_S)
        client.cancel(roots(client)[0])

    one_node(node).invoke(inputs(), {"callbacks": [handler]})

    assert shape(client, recorded(handler, client)) == "graph CANCELLED\n  node COMPLETED"
    assert warnings(caplog, server.target) == []
