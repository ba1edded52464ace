"""What is to be recorded, and the calls that do it."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from google.protobuf.message import Message

from runindex._errors import RunIndexError
from runindex._metadata import data_value_of, dict_of, struct_of
from runindex._recording import tags_of
from runindex._types import MISSING, Json, Missing
from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import run_index_pb2 as pb

State = Literal["COMPLETED", "PAUSED", "FAILED", "CANCELLED"]

INPUT: Final = "input"
OUTPUT: Final = "output"
"""The keys of a run's data under which its content is recorded."""

LIBRARY_ID: Final = "langchain_run_id"
"""The key of the metadata that holds the library's id of a run, where the run has another one."""

DEEP: Final = 1_000
"""The depth of a run whose parent is not known here: all that begins with it is tried before."""


@dataclass(slots=True, eq=False)
class Node:
    """A run that is under way, or was.

    Attributes:
        run_id: Its id, as the library knows it.
        parent: The run that it is under; None for the first of a tree.
        depth: How many are above it.
        recorded_id: Its id, as the server knows it; empty before it is created, and when it is not.
        is_refused: Whether its beginning was not even put where it waits.
    """

    run_id: str
    parent: "Node | None" = None
    depth: int = 0
    recorded_id: str = ""
    is_refused: bool = False


@dataclass(slots=True, eq=False)
class Begin:
    """A run begins.

    Attributes:
        node: The run.
        tags: Its tags.
        metadata: Its metadata.
        parents: For the first of a tree: ids of runs on the server, under the first of which that exists it
            is created.
        content: What it was given, to be recorded.
        cost_bytes: What the entry costs in memory, about.
        resumes: Whether it goes on with a run of its name and its thread that is paused, if there is one.
        run_id: The id to create it under; None for one that the server makes.
        put_s: When it was put where it waits, by a clock that only goes on.
    """

    node: Node
    tags: list[str]
    metadata: dict[str, Json]
    parents: list[str] = field(default_factory=list)
    content: Json | Missing = MISSING
    cost_bytes: int = 0
    resumes: bool = False
    run_id: str | None = None
    put_s: float = field(default_factory=time.monotonic)


@dataclass(slots=True, eq=False)
class End:
    """A run ends.

    Attributes:
        node: The run.
        state: How.
        error: Why it failed; not empty when it did.
        metadata: To be merged into what it has.
        content: What it has returned, to be recorded.
        cost_bytes: What the entry costs in memory, about.
    """

    node: Node
    state: State
    error: str = ""
    metadata: dict[str, Json] = field(default_factory=dict)
    content: Json | Missing = MISSING
    cost_bytes: int = 0


Entry = Begin | End


@dataclass(slots=True, eq=False)
class Call:
    """A call, and what has come of it.

    Attributes:
        request: The request.
        response: The type of the answer.
        late_after_s: When not to try it again any more, by a clock that only goes on; None for never.
        answer: The answer; None before, and when the call was refused.
        refusal: Why there is none.
    """

    request: Message
    response: type[Message]
    late_after_s: float | None = None
    answer: Message | None = None
    refusal: RunIndexError | None = None


def creation(begin: Begin, end: End | None) -> Call:
    """Return the call that creates a run, with what its end adds if that is known."""
    run_id = begin.run_id
    metadata = struct_of(begin.metadata | (end.metadata if end else {}))
    tags = tags_of(begin.tags)
    parent = begin.node.parent.recorded_id if begin.node.parent else next(iter(begin.parents), None)
    if parent is None:
        return Call(pb.CreateRunRequest(run_id=run_id, metadata=metadata, tags=tags), pb.CreateRunResponse)
    return Call(
        pb.CreateChildRunRequest(parent_run_id=parent, run_id=run_id, metadata=metadata, tags=tags),
        pb.CreateChildRunResponse,
    )


def search(begin: Begin) -> Call | None:
    """Return the call that looks for the runs with which a run may go on; None when there can be none."""
    words = " ".join(re.findall(r"\w+", begin.metadata["thread_id"]))
    if not words:
        return None
    query = f'state:paused meta.thread_id:"{words}"'
    return Call(pb.SearchRunsRequest(query=query, page_size=100), pb.SearchRunsResponse)


def paused(begin: Begin, found: Message | None) -> str | None:
    """Return the id of the run with which a run goes on: the newest of its name and its thread."""
    if isinstance(found, pb.SearchRunsResponse):
        for run in found.runs:
            told = dict_of(run.metadata)
            if all(told.get(key) == begin.metadata[key] for key in ("thread_id", "name")):
                return run.run_id
    return None


def resumption(run_id: str) -> Call:
    """Return the call that lets a run go on."""
    return Call(pb.ResumeRunRequest(run_id=run_id), pb.ResumeRunResponse)


def addition(node: Node, metadata: dict[str, Json]) -> Call:
    """Return the call that adds to the metadata of a run."""
    request = pb.UpdateRunMetadataRequest(run_id=node.recorded_id, metadata=struct_of(metadata), merge=True)
    return Call(request, pb.UpdateRunMetadataResponse)


def contents(entry: Entry) -> Iterator[Call]:
    """Yield the call that records the content of a run, if there is any."""
    if not isinstance(entry.content, Missing):
        request = data_pb.PutValueRequest(
            run_id=entry.node.recorded_id,
            key=INPUT if isinstance(entry, Begin) else OUTPUT,
            value=data_value_of(entry.content),
        )
        yield Call(request, data_pb.PutValueResponse)


def ending(end: End) -> Call:
    """Return the call that ends a run."""
    run_id = end.node.recorded_id
    match end.state:
        case "COMPLETED":
            return Call(pb.CloseRunRequest(run_id=run_id), pb.CloseRunResponse)
        case "PAUSED":
            return Call(pb.PauseRunRequest(run_id=run_id), pb.PauseRunResponse)
        case "CANCELLED":
            return Call(pb.CancelRunRequest(run_id=run_id), pb.CancelRunResponse)
        case "FAILED":
            return Call(pb.FailRunRequest(run_id=run_id, error=end.error), pb.FailRunResponse)
