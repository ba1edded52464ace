"""What LangChain and LangGraph tell of a run, in the words of RunIndex."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult

from runindex._outcome import End as Ending
from runindex._outcome import error_text, outcome_of
from runindex._types import Json
from runindex.langchain._content import Budget, json_of
from runindex.langchain._entries import State
from runindex.langchain._langgraph import COMMANDS, DRAINS, INTERRUPTS, JUMPS

Kind = Literal["chain", "node", "tool", "llm", "retriever"]

METADATA_BYTES_MAX: Final = 32 * 1024
"""Half of what the contract takes."""

STEP_TAG: Final = re.compile(r"(graph|seq):step:\d+|map:key:.*")
"""Tags that the library makes for itself; there are as many as steps."""

NODE_TAG: Final = "graph:step:"

RENAMED: Final[Mapping[str, str]] = {
    "thread_id": "thread_id",
    "langgraph_node": "node",
    "langgraph_step": "step",
    "ls_provider": "provider",
    "ls_model_name": "model",
}
"""What the library adds to metadata, and what it is called here."""

LEFT_OUT: Final = ("__", "_strata_", "checkpoint_", "langgraph_", "lc_", "ls_")
"""How keys begin that are the library's own, or reserved."""

STATES: Final[Mapping[Ending, State]] = {"close": "COMPLETED", "fail": "FAILED", "cancel": "CANCELLED"}

MODEL_KEYS: Final = ("model", "model_name", "model_id")
TOKEN_KEYS: Final = ("input_tokens", "output_tokens", "total_tokens")


def kind_of(kind: Kind, tags: Iterable[str]) -> Kind:
    """Return the kind of a run: nodes of graphs are told from other chains by their tag."""
    return "node" if kind == "chain" and any(tag.startswith(NODE_TAG) for tag in tags) else kind


def name_of(told: object, serialized: Mapping[str, Any] | None, kind: Kind) -> str:
    """Return the name of a run: as it was called, or what it is made of."""
    if isinstance(told, str) and told:
        return told
    about = serialized or {}
    path = about.get("id") or [kind]
    return str(about.get("name") or path[-1])


def tags_of(kind: Kind, told: Iterable[str]) -> list[str]:
    """Return the tags of a run: what it is, and those that the program gave it."""
    return ["langchain", kind, *(tag for tag in told if not STEP_TAG.fullmatch(tag))]


def metadata_of(
    own: Mapping[str, Json], told: Mapping[str, Any], facts: Mapping[str, Json]
) -> dict[str, Json]:
    """Return the metadata of a run within its bound; what is known of it has precedence over what was given.

    Args:
        own: What the handler was given for all runs.
        told: What the library says, the program's own metadata among it.
        facts: What is known beside; None is left out.
    """
    given = {key: value for key, value in told.items() if not (key in RENAMED or key.startswith(LEFT_OUT))}
    known = {RENAMED[key]: value for key, value in told.items() if key in RENAMED}
    if "thread_id" in known:  # A program may use what is no text; it is looked for by its text.
        known["thread_id"] = str(known["thread_id"])
    found = {key: value for key, value in facts.items() if value is not None}
    # The facts come first, so that it is not they that a bound leaves out.
    bounded: dict[str, Json] = json_of(
        {**found, **known, **own, **given, **known, **found}, Budget(METADATA_BYTES_MAX)
    )
    return bounded


def model_of(told: Mapping[str, Any]) -> str | None:
    """Return the model that a call of one names among its parameters; None when it names none."""
    return next((told[key] for key in MODEL_KEYS if isinstance(told.get(key), str)), None)


def is_resumption(inputs: object, told: Mapping[str, Any]) -> bool:
    """Tell whether a chain is a graph that goes on where it was interrupted, as LangGraph tells it.

    It then gets a command, or nothing, for its input. A chain within a graph is none: it begins anew.
    """
    is_graph = bool(COMMANDS) and "thread_id" in told and "langgraph_node" not in told
    return is_graph and (inputs is None or isinstance(inputs, COMMANDS))


def state_after(fault: BaseException) -> State:
    """Return how a run ends that has raised: as a block of `client.run` does, but for LangGraph's own.

    What LangGraph raises to find its way is no failure: a jump to another graph completes a node, what was
    interrupted begins anew when the graph goes on, and a graph that was asked to stop can go on.
    """
    if isinstance(fault, DRAINS):
        return "PAUSED"
    if isinstance(fault, INTERRUPTS):
        return "CANCELLED"
    return "COMPLETED" if isinstance(fault, JUMPS) else STATES[outcome_of(fault).end]


def metadata_after(fault: BaseException) -> dict[str, Json]:
    """Return what is to be told of a run that has raised, beside its state and its error."""
    return {"interrupted": True} if isinstance(fault, INTERRUPTS) else {}


def error_after(fault: BaseException) -> str:
    """Return what an exception says, which is never nothing."""
    return error_text(fault) or type(fault).__qualname__


def usage_of(response: LLMResult) -> dict[str, Json]:
    """Return what a model's answer tells of itself: its model and its tokens, as far as it does."""
    found: dict[str, Json] = {}
    messages = [each for each in map(_message_of, response.generations) if each is not None]
    tokens: Counter[str] = Counter()
    for message in messages:
        tokens.update(_tokens_of(getattr(message, "usage_metadata", None)))
        if model := model_of(message.response_metadata):
            found["model"] = model
    about = response.llm_output or {}
    if model := model_of(about):
        found["model"] = model
    if usage := dict(tokens) or _tokens_of(about.get("token_usage")):
        found["usage"] = usage
    return found


def said_by(response: LLMResult) -> list[object]:
    """Return what a model has answered to each prompt: messages, or text."""
    return [
        _message_of(each) or getattr(next(iter(each), None), "text", None) for each in response.generations
    ]


def _message_of(generations: Iterable[object]) -> BaseMessage | None:
    """Return the message of the first of several answers to one prompt; None when it is no message."""
    message = getattr(next(iter(generations), None), "message", None)
    return message if isinstance(message, BaseMessage) else None


def _tokens_of(usage: object) -> dict[str, int]:
    if not isinstance(usage, Mapping):
        return {}
    # Before all agreed, models said "prompt" for input and "completion" for output.
    told = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        **usage,
    }
    return {key: told[key] for key in TOKEN_KEYS if isinstance(told.get(key), int)}
