"""What runs are given and what they return: nothing of it unless it is asked for, and then within a bound."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import Generation, LLMResult
from langchain_core.runnables import RunnableLambda

from runindex import Client
from runindex.langchain import RunIndexCallbackHandler
from runindex.langchain._content import Budget, json_of
from runindex.langchain._facts import usage_of
from tests.clients.python_runtimes.graphs import agent, inputs
from tests.clients.python_runtimes.trees import named, recorded, whole
from tests.support.server import RunningServer


def contents(client: Client, run: Any) -> dict[str, Any]:
    return {item.name: item.value for item in client.data(run).items()}


def test_nothing_of_it_is_recorded_by_itself(handler: RunIndexCallbackHandler, client: Client) -> None:
    agent().invoke(inputs("a word"), {"callbacks": [handler]})

    for run in whole(client, recorded(handler, client)):
        assert contents(client, run) == {}
        assert not {"a word", "It is 3.", "What is 1 + 2?"} & set(json.dumps(run.metadata).split('"'))


def test_it_is_data_of_the_runs_when_asked_for(server: RunningServer, client: Client) -> None:
    mine = RunIndexCallbackHandler(server.target, content_bytes_max=10_000)

    agent().invoke(inputs(), {"callbacks": [mine]})

    runs = whole(client, recorded(mine, client))
    (tool,) = named(runs, "add")
    assert contents(client, tool) == {
        "input": {"a": 1, "b": 2},
        "output": {"type": "tool", "content": "3", "name": "add"},
    }
    model = next(run for run in named(runs, "GenericFakeChatModel") if run.metadata["step"] == 1)
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "call-1", "type": "tool_call"}
    assert contents(client, model) == {
        "input": [[{"type": "human", "content": "What is 1 + 2?"}]],
        "output": [{"type": "ai", "content": "I add.", "tool_calls": [call]}],
    }
    (left,) = named(runs, "left")
    assert contents(client, left)["output"] == {"notes": ["left"]}
    assert contents(client, runs[0])["output"]["notes"] == ["left", "inner"]


def test_text_of_a_model_without_messages(server: RunningServer, client: Client) -> None:
    mine = RunIndexCallbackHandler(server.target, content_bytes_max=10_000)

    FakeListLLM(responses=["said"]).invoke("asked", {"callbacks": [mine]})

    assert contents(client, recorded(mine, client)) == {"input": ["asked"], "output": ["said"]}


def test_it_is_cut_to_its_bound(server: RunningServer, client: Client) -> None:
    mine = RunIndexCallbackHandler(server.target, content_bytes_max=131_072)

    RunnableLambda(lambda given: [given] * 10).invoke("\N{SNOWMAN}" * 1_000_000, {"callbacks": [mine]})

    found = contents(client, recorded(mine, client))
    for value in (found["input"], found["output"][0]):
        assert value[:2] + value[-1:] == "\N{SNOWMAN}\N{SNOWMAN}…"
        assert 130_000 < len(value.encode()) <= 131_072
    assert found["output"][1:] == ["…"]


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    up: "Point | None" = None


class Secretive:
    def __repr__(self) -> str:
        msg = "not yours"
        raise ValueError(msg)


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (2**53, 2**53),
        (2**53 + 1, str(2**53 + 1)),
        (10**5_000, "<int of 16610 bits>"),
        (float("inf"), "inf"),
        (b"bytes", "<bytes>"),
        (Secretive(), "<Secretive>"),
        (Colour.RED, "red"),
        (Point(1, Point(2)), {"x": 1, "up": {"x": 2, "up": None}}),
        (Point, "<type>"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-22 00:00:00+00:00"),
        (Decimal("1.10"), "1.10"),
        (Path("a/b"), "a/b"),
        ({1: "one", None: "none"}, {"1": "one", "None": "none"}),
        ((1, [2], {3}), [1, [2], [3]]),
        (iter([1]), "<list_iterator>"),
        (HumanMessage("hi", name="me"), {"type": "human", "content": "hi", "name": "me"}),
        (AIMessage("hi"), {"type": "ai", "content": "hi"}),
        (
            Document("page", metadata={"a": 1}),
            {"id": None, "metadata": {"a": 1}, "page_content": "page", "type": "Document"},
        ),
        ("a\ud800", "a\\ud800"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_is_told_as_json(value: Any, expected: Any) -> None:
    found = json_of(value, Budget(1_000))

    assert found == expected
    assert json.loads(json.dumps(found)) == found


def test_what_contains_itself_has_an_end() -> None:
    found, levels = json_of(LOOP, Budget(10_000)), 0
    while found != "…":
        (found,), levels = found, levels + 1

    assert levels == 12


@pytest.mark.parametrize("bytes_max", [0, 1, 16, 17, 100, 1_000])
@pytest.mark.parametrize(
    "value",
    ["x" * 5_000, ["xyz"] * 5_000, {f"key {n}": n for n in range(5_000)}, [[[["\N{SNOWMAN}" * 99]]]] * 50],
    ids=["text", "array", "object", "nested"],
)
def test_a_budget_bounds_what_is_told(value: Any, bytes_max: int) -> None:
    budget = Budget(bytes_max)

    found = json_of(value, budget)

    # Brackets, quotes and what stands for the rest, at each level that was entered.
    assert len(json.dumps(found, ensure_ascii=False).encode()) <= bytes_max + 40
    assert budget.used_bytes <= bytes_max


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({}, {}),
        (None, {}),
        ({"token_usage": "many"}, {}),
        (
            {
                "model_name": "old",
                "token_usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            },
            {"model": "old", "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}},
        ),
    ],
)
def test_usage_of_models_before_messages_had_it(
    about: dict[str, Any] | None, expected: Mapping[str, Any]
) -> None:
    assert usage_of(LLMResult(generations=[[Generation(text="said")]], llm_output=about)) == expected
