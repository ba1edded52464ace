"""Graphs and chains that tests execute: real ones of LangGraph, around models that LangChain ships."""

import asyncio
import operator
from collections.abc import Callable
from typing import Annotated, Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Checkpointer, interrupt

from tests.clients.python_runtimes.trees import text

Graph = CompiledStateGraph[Any, Any, Any, Any]


class State(MessagesState):
    notes: Annotated[list[str], operator.add]
    mode: str


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def inputs(mode: str = "") -> Any:
    """Return what the agent is asked; the mode says what its innermost node does."""
    return {"messages": [HumanMessage("What is 1 + 2?")], "mode": mode, "notes": []}


def replies() -> list[AIMessage]:
    """Return what the model says: it calls the tool, and then has the answer."""
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "call-1"}
    usage = {"input_tokens": 30, "output_tokens": 4, "total_tokens": 34}
    told = {"model_name": "fake-1"}
    return [
        AIMessage("I add.", tool_calls=[call], usage_metadata=usage, response_metadata=told),
        AIMessage("It is 3.", response_metadata=told),
    ]


def inner(state: State) -> dict[str, list[str]]:
    """Do as the mode says."""
    if state["mode"] == "ask":
        return {"notes": [interrupt("Is it 3?")]}
    if state["mode"] == "boom":
        msg = "no notes today"
        raise ValueError(msg)
    if state["mode"] == "stop":
        raise KeyboardInterrupt
    return {"notes": ["inner"]}


def agent(checkpointer: Checkpointer = None) -> Graph:
    """Return a graph with a model, a tool, a conditional edge, two branches side by side, and a subgraph."""
    model = GenericFakeChatModel(messages=iter(replies()))

    def think(state: State) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    def route(state: State) -> list[str]:
        return ["tools"] if getattr(state["messages"][-1], "tool_calls", None) else ["left", "right"]

    def left(state: State) -> dict[str, list[str]]:
        return {"notes": ["left"]}

    below = StateGraph(State)
    below.add_node("inner", inner)
    below.add_edge(START, "inner")

    graph = StateGraph(State)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([add]))
    graph.add_node("left", left)
    graph.add_node("right", below.compile(name="below"))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", route, ["tools", "left", "right"])
    graph.add_edge("tools", "think")
    return graph.compile(checkpointer=checkpointer, name="agent")


def nothing(state: State) -> None:
    """Do nothing."""


AGENT = text("""
    agent COMPLETED
      left COMPLETED
      right COMPLETED
        below COMPLETED
          inner COMPLETED
      think COMPLETED
        GenericFakeChatModel COMPLETED
        route COMPLETED
      think COMPLETED
        GenericFakeChatModel COMPLETED
        route COMPLETED
      tools COMPLETED
        add COMPLETED
""")
"""The runs of the agent, when nothing is in its way."""

INTERRUPTED = AGENT.replace("agent COMPLETED", "agent PAUSED")
for _name in ("right", "below", "inner"):
    INTERRUPTED = INTERRUPTED.replace(f"{_name} COMPLETED", f"{_name} CANCELLED")


def one_node(node: Callable[..., Any], name: str = "node", **options: Any) -> Graph:
    """Return a graph of one node."""
    graph = StateGraph(State)
    graph.add_node(name, node, **options)
    graph.add_edge(START, name)
    return graph.compile(name="graph")


def said(result: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Return what a graph has come to, without ids, which are new each time."""
    return [message.content for message in result["messages"]], result["notes"]


def execute(how: str, graph: Graph, given: Any, config: Any) -> Any:
    """Execute a graph in one of the ways in which it can be."""

    async def collect() -> list[Any]:
        return [part async for part in graph.astream(given, config, stream_mode="values")]

    match how:
        case "invoke":
            return graph.invoke(given, config)
        case "ainvoke":
            return asyncio.run(graph.ainvoke(given, config))
        case "stream":
            return list(graph.stream(given, config, stream_mode="values"))[-1]
        case _:
            return asyncio.run(collect())[-1]


WAYS = ("invoke", "ainvoke", "stream", "astream")
