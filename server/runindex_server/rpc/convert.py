"""Answers: from what the methods return to response messages, or to their wire form where runs are in them.

Runs come from the store in the wire form of `runindex.v1.Run` and are joined as they are.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from runindex.v1 import run_index_pb2 as pb
from runindex_server.runs.paging import Page
from runindex_server.schema.answers import Answer
from runindex_server.schema.records import field_head, length_delimited, timestamp
from runindex_server.schema.run import RetentionPolicy, RunId, RunState, run_id_text

_RUN_FIELD: Final = 1
"""The number of `run` and `runs` in every response that has them; a test holds it."""

ChangeResponse = TypeVar(
    "ChangeResponse",
    pb.UpdateRunMetadataResponse,
    pb.CloseRunResponse,
    pb.PauseRunResponse,
    pb.ResumeRunResponse,
    pb.FailRunResponse,
    pb.CancelRunResponse,
    pb.ArchiveRunResponse,
    pb.AddRunTagsResponse,
    pb.RemoveRunTagsResponse,
    pb.SetRunRetentionResponse,
)
PageResponse = TypeVar(
    "PageResponse",
    pb.ListRunsResponse,
    pb.QueryRunsByStateResponse,
    pb.QueryRunsByTagResponse,
    pb.SearchRunsResponse,
    pb.GetChildRunsResponse,
)


def run_response(run: bytes, revision: int) -> bytes:
    """Return the wire form of a response with one run."""
    return length_delimited(_RUN_FIELD, run) + pb.GetRunResponse(revision=revision).SerializeToString()


def page_response(response: PageResponse, page: Page) -> bytes:
    """Return the wire form of a page of runs, the rest of the response behind them."""
    return joined(_RUN_FIELD, page.runs, response)


def joined(field_number: int, items: Sequence[bytes], response: Message) -> bytes:
    """Return the wire form of a response: items in their wire form, and the rest of it behind them."""
    heads = map(partial(field_head, field_number), map(len, items))
    fields = chain.from_iterable(zip(heads, items, strict=True))
    return b"".join([*fields, response.SerializeToString()])


def change_response(response_class: type[ChangeResponse], answer: Answer) -> ChangeResponse:
    """Return the answer to a change of a run."""
    return response_class(
        version=answer.version, update_time=timestamp(answer.update_us), revision=answer.revision
    )


def delete_response(answer: Answer) -> pb.DeleteRunResponse:
    """Return the answer to a delete."""
    receipt = answer.receipt
    assert receipt is not None, "every delete has a receipt"
    return pb.DeleteRunResponse(
        receipt=pb.DeleteReceipt(
            kv_keys=receipt.kv_keys,
            events=receipt.events,
            state_cells=receipt.state_cells,
            documents=receipt.documents,
            bytes=receipt.bytes,
            orphaned_children=receipt.orphaned_children,
        ),
        revision=answer.revision,
    )


def count_response(counts: Mapping[RunState, int], revision: int) -> pb.CountRunsResponse:
    """Return counts by state and in total."""
    rows = [pb.StateCount(state=_state(state), count=count) for state, count in counts.items()]
    return pb.CountRunsResponse(count=sum(counts.values()), by_state=rows, revision=revision)


def parent_response(parent: RunId | None, revision: int) -> pb.GetParentRunResponse:
    """Return a parent's id; unset for a root."""
    text = None if parent is None else run_id_text(parent)
    return pb.GetParentRunResponse(parent_run_id=text, revision=revision)


def retention_response(policy: RetentionPolicy, revision: int) -> pb.GetRunRetentionResponse:
    """Return a retention policy."""
    return pb.GetRunRetentionResponse(policy=retention_policy(policy), revision=revision)


def retention_policy(policy: RetentionPolicy) -> pb.RetentionPolicy:
    """Return a retention policy as the contract has it."""
    if policy.keep_latest_n is not None:
        return pb.RetentionPolicy(keep_latest_n=policy.keep_latest_n)
    if policy.keep_duration_us is not None:
        return pb.RetentionPolicy(keep_duration=duration(policy.keep_duration_us))
    if policy.delete_after_us is not None:
        return pb.RetentionPolicy(delete_after=duration(policy.delete_after_us))
    return pb.RetentionPolicy(keep_all=pb.KeepAll())


def duration(us: int) -> Duration:
    """Return a duration of microseconds as protobuf's."""
    seconds, micros = divmod(us, 1_000_000)
    return Duration(seconds=seconds, nanos=micros * 1_000)


def _state(state: RunState) -> Any:  # noqa: ANN401  # The generated enum's type is not a class at run time.
    """Return a state as the contract has it: the same number."""
    return state.value
