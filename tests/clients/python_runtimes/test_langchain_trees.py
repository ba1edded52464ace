"""What LangChain and LangGraph execute is recorded as they tell it: runs, their parents, what is known."""

import asyncio
import copy
import threading
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda

from runindex import AsyncClient, Client, RunState
from runindex.langchain import RunIndexCallbackHandler
from runindex.langchain._entries import Begin, End, Entry, Node
from runindex.langchain._writer import _waves
from tests.clients.python_runtimes.graphs import (
    AGENT,
    WAYS,
    State,
    agent,
    execute,
    inputs,
    nothing,
    one_node,
    said,
)
from tests.clients.python_runtimes.trees import (
    FLUSH_S,
    Witness,
    held_up,
    named,
    recorded,
    roots,
    shape,
    text,
    whole,
)
from tests.support.server import RunningServer


@pytest.mark.parametrize("how", WAYS)
def test_a_graph_is_recorded_as_it_is_executed(
    handler: RunIndexCallbackHandler, client: Client, how: str
) -> None:
    witness = Witness()

    result = execute(how, agent(), inputs(), {"callbacks": [handler, witness]})

    assert said(result) == said(agent().invoke(inputs()))
    root = recorded(handler, client)
    assert shape(client, root) == AGENT
    assert {run.run_id: run.parent_run_id for run in whole(client, root)} == witness.parents


def test_what_is_known_of_a_run_is_its_metadata(handler: RunIndexCallbackHandler, client: Client) -> None:
    config: RunnableConfig = {
        "callbacks": [handler],
        "tags": ["mine"],
        "metadata": {"customer": 7},
        "configurable": {"thread_id": "thread-1", "password": "secret"},
    }

    agent().invoke(inputs(), config)

    runs = whole(client, recorded(handler, client))
    everywhere = {"customer": 7, "thread_id": "thread-1"}
    known = {
        name: [(set(run.tags) - {"langchain", "mine"}, run.metadata) for run in named(runs, name)]
        for name in ("agent", "GenericFakeChatModel", "add", "inner", "route")
    }
    model = {"model": "fake-1", "provider": "genericfakechatmodel", "node": "think"}
    usage = {"input_tokens": 30, "output_tokens": 4, "total_tokens": 34}
    assert known["agent"] == [({"chain"}, {"name": "agent", "kind": "chain", **everywhere})]
    assert sorted(known["GenericFakeChatModel"], key=lambda found: found[1]["step"]) == [
        (
            {"llm"},
            {**everywhere, **model, "name": "GenericFakeChatModel", "kind": "llm", "step": 1, "usage": usage},
        ),
        ({"llm"}, {**everywhere, **model, "name": "GenericFakeChatModel", "kind": "llm", "step": 3}),
    ]
    tool = {"name": "add", "kind": "tool", "node": "tools", "step": 2}
    assert known["add"] == [({"tool"}, {**everywhere, **tool})]
    node = {"name": "inner", "kind": "node", "node": "inner", "step": 1}
    assert known["inner"] == [({"node"}, {**everywhere, **node})]
    assert {kind for kinds, _ in known["route"] for kind in kinds} == {"chain"}
    assert all({"langchain", "mine"} <= set(run.tags) for run in runs)
    assert not any("secret" in str(run) for run in runs)


def test_what_was_done_in_order_is_listed_in_order(handler: RunIndexCallbackHandler, client: Client) -> None:
    """Also when it is all recorded at once, side by side."""
    names = [str(number) for number in range(10)]

    def steps(given: str) -> None:
        for name in names:
            RunnableLambda(len, name=name).invoke("four")

    with held_up(handler):
        for _ in range(2):
            RunnableLambda(steps).invoke("", {"callbacks": [handler]})

    assert handler.flush(FLUSH_S)
    for root in roots(client):
        assert [run.metadata["name"] for run in client.children(root)] == names[::-1]


def test_what_waits_for_what_in_a_batch() -> None:
    root = Node("root")
    one, two, beside = (Node(name, root, 1) for name in ("one", "two", "beside"))
    below = Node("below", one, 2)
    second, third = Node("second"), Node("third")
    batch: list[Entry] = [Begin(node, [], {}) for node in (root, one, below)]
    batch += [End(below, "COMPLETED"), End(one, "COMPLETED")]
    batch += [Begin(node, [], {}) for node in (two, beside)]
    batch += [End(node, "COMPLETED") for node in (two, beside, root)]
    batch += [Begin(node, [], {}) for node in (second, third)]

    waves = [{begin.node.run_id for begin in wave} for wave in _waves(batch)]

    assert waves == [{"root"}, {"one", "second", "third"}, {"below", "two", "beside"}]


class Shelf(BaseRetriever):
    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  # As it is called.
    ) -> list[Document]:
        return [Document(f"about {query}")]


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_a_chain_is_recorded_too(handler: RunIndexCallbackHandler, client: Client, how: str) -> None:
    prompt = ChatPromptTemplate.from_template("Sum up {docs}")
    chain = {"docs": Shelf()} | prompt | FakeListLLM(responses=["all of it"])

    assert execute(how, chain, "runs", {"callbacks": [handler], "run_name": "sums up"}) == "all of it"

    root = recorded(handler, client)
    assert shape(client, root) == text("""
        sums up COMPLETED
          ChatPromptTemplate COMPLETED
          FakeListLLM COMPLETED
          RunnableParallel<docs> COMPLETED
            Shelf COMPLETED
    """)
    kinds = {run.metadata["name"]: run.metadata["kind"] for run in whole(client, root)}
    assert (kinds["Shelf"], kinds["FakeListLLM"], kinds["sums up"]) == ("retriever", "llm", "chain")


def test_streamed_tokens_are_one_run(handler: RunIndexCallbackHandler, client: Client) -> None:
    model = FakeListChatModel(responses=["one by one"])

    assert "".join(part.content for part in model.stream("?", {"callbacks": [handler]})) == "one by one"

    assert shape(client, recorded(handler, client)) == "FakeListChatModel COMPLETED"


def test_it_is_under_the_block_around_it(handler: RunIndexCallbackHandler, client: Client) -> None:
    with client.run(metadata={"name": "outer"}) as run:
        agent().invoke(inputs(), {"callbacks": [handler]})

    root = recorded(handler, client)
    assert root.run_id == run.run_id
    assert shape(client, root) == "outer COMPLETED\n" + "\n".join(f"  {line}" for line in AGENT.splitlines())


def test_tasks_at_the_same_time_do_not_mix(
    handler: RunIndexCallbackHandler, client: Client, server: RunningServer
) -> None:
    together = asyncio.Barrier(3)

    async def wait(state: State) -> None:
        await together.wait()

    graph = one_node(wait)

    async def one(name: str) -> None:
        async with AsyncClient(server.target) as mine, mine.run(metadata={"name": name}):
            await graph.ainvoke(inputs(), {"callbacks": [handler]})

    async def all_of_them() -> None:
        await asyncio.gather(*(one(name) for name in "abc"))

    asyncio.run(all_of_them())

    assert handler.flush(FLUSH_S)
    trees = sorted(shape(client, root) for root in roots(client))
    assert trees == [f"{name} COMPLETED\n  graph COMPLETED\n    node COMPLETED" for name in "abc"]


def test_a_batch_in_threads_is_a_tree_each(handler: RunIndexCallbackHandler, client: Client) -> None:
    names: set[str] = set()

    def node(state: State) -> None:
        names.add(threading.current_thread().name)

    graph = one_node(node)

    with client.run(metadata={"name": "batch"}):
        graph.batch([inputs()] * 20, {"callbacks": [handler], "max_concurrency": 4})

    assert 1 < len(names) <= 4
    root = recorded(handler, client)
    assert Counter(shape(client, child) for child in client.children(root)) == {
        "graph COMPLETED\n  node COMPLETED": 20
    }


def test_many_handlers_share_a_thread(server: RunningServer, client: Client) -> None:
    for _ in range(20):
        mine = RunIndexCallbackHandler(server.target)
        RunnableLambda(len).invoke("four", {"callbacks": [mine]})
    assert mine.flush(FLUSH_S)

    assert len(roots(client)) == 20
    started = [
        thread for thread in threading.enumerate() if thread.name == f"runindex-recorder {server.target}"
    ]
    assert len(started) == 1


def test_a_call_within_an_unrecorded_one_is_under_the_block(
    handler: RunIndexCallbackHandler, client: Client
) -> None:
    """Its parent, as the library tells it, is on no server."""

    def node(state: State, config: RunnableConfig) -> None:
        manager = config["callbacks"].copy()
        manager.add_handler(handler)
        RunnableLambda(len).invoke("four", {"callbacks": manager})

    with client.run(metadata={"name": "block"}):
        one_node(node).invoke(inputs(), {"callbacks": [Witness()]})
    one_node(node).invoke(inputs(), {"callbacks": [Witness()]})

    assert handler.flush(FLUSH_S)
    assert [shape(client, root) for root in roots(client)] == [
        "block COMPLETED\n  len COMPLETED",
        "len COMPLETED",
    ]


def test_a_call_within_one_that_is_recorded_elsewhere_is_under_it(
    handler: RunIndexCallbackHandler, server: RunningServer, client: Client
) -> None:
    """As by another handler, or in another process."""
    other = RunIndexCallbackHandler(server.target)

    def node(state: State, config: RunnableConfig) -> None:
        manager = config["callbacks"].copy()
        manager.set_handlers([other])
        RunnableLambda(len).invoke("four", {"callbacks": manager})

    one_node(node).invoke(inputs(), {"callbacks": [handler]})

    tree = shape(client, recorded(handler, client))
    assert tree == "graph COMPLETED\n  node COMPLETED\n    len COMPLETED"


def test_what_begins_after_its_parents_end_is_still_under_it(
    handler: RunIndexCallbackHandler, client: Client
) -> None:
    async def late(config: RunnableConfig) -> None:
        await RunnableLambda(len, name="late").ainvoke("four", config)

    async def main() -> None:
        tasks = []

        async def node(state: State, config: RunnableConfig) -> None:
            tasks.append(asyncio.create_task(late({"callbacks": config["callbacks"]})))

        await one_node(node).ainvoke(inputs(), {"callbacks": [handler]})
        handler.flush(FLUSH_S)
        await asyncio.gather(*tasks)

    asyncio.run(main())

    tree = shape(client, recorded(handler, client))
    assert tree == "graph COMPLETED\n  node COMPLETED\n    late COMPLETED"


def test_an_id_that_is_taken_is_told_in_the_metadata(
    handler: RunIndexCallbackHandler, client: Client
) -> None:
    mine = uuid4()

    for _ in range(2):
        RunnableLambda(len).invoke("four", {"callbacks": [handler], "run_id": mine})

    assert handler.flush(FLUSH_S)
    first, second = roots(client)
    assert first.run_id == str(mine)
    assert "langchain_run_id" not in first.metadata
    assert second.metadata["langchain_run_id"] == str(mine)
    assert second.state is RunState.COMPLETED


def test_what_no_run_takes_is_left_out(handler: RunIndexCallbackHandler, client: Client) -> None:
    config: RunnableConfig = {
        "callbacks": [handler],
        "tags": ["fine", "a" * 129, "two\nlines", ""],
        "metadata": {
            "id": uuid4(),
            "large": 2**60,
            "none": float("nan"),
            "handle": object(),
            "_strata_retention": "forged",
            "half": "\ud800",
            "long": "x" * 100_000,
            "last": 1,
        },
    }

    RunnableLambda(len).invoke("four", config)

    root = recorded(handler, client)
    assert root.tags == ("langchain", "chain", "fine")
    assert root.metadata["name"] == "len"
    assert root.metadata["id"] == str(config["metadata"]["id"])
    assert root.metadata["large"] == str(2**60)
    assert root.metadata["none"] == "nan"
    assert root.metadata["handle"] == "<object>"
    assert root.metadata["half"] == "\\ud800"
    assert root.metadata["long"][:3] == "xxx"
    assert root.metadata["long"][-1] == "…"
    assert len(root.metadata["long"]) < 33_000
    assert not {"_strata_retention", "last"} & set(root.metadata)


def test_tags_and_metadata_for_all_runs(server: RunningServer, client: Client) -> None:
    mine = RunIndexCallbackHandler(server.target, tags=["prod"], metadata={"release": "1.2", "name": "never"})

    one_node(nothing).invoke(inputs(), {"callbacks": [mine], "metadata": {"customer": 7}})

    for run in whole(client, recorded(mine, client)):
        assert run.tags[-1] == "prod"
        assert (run.metadata["release"], run.metadata["customer"]) == ("1.2", 7)
        assert run.metadata["name"] in {"graph", "node"}


def test_metadata_that_cannot_be_made_are_done_without(
    server: RunningServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> dict[str, str]:
        return {"region": {}["none"]}

    mine = RunIndexCallbackHandler(server.target, metadata=broken)

    RunnableLambda(len).invoke("four", {"callbacks": [mine]})

    assert recorded(mine, client).metadata == {"name": "len", "kind": "chain"}
    said = [message for message in caplog.messages if message.startswith("recorded without")]
    assert said == ["recorded without the handler's metadata: KeyError: 'none'"]


def test_a_copy_is_the_same_handler(handler: RunIndexCallbackHandler) -> None:
    bound: Any = RunnableLambda(len).with_config(callbacks=[handler])

    assert copy.deepcopy(bound).config["callbacks"] == [handler]
    assert copy.copy(handler) is handler
