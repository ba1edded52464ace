"""What contract tests do to what runs hold: write it, read it back whole, and check what every answer has."""

from collections.abc import Sequence
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

from runindex.v1 import run_data_pb2 as pb
from runindex.v1 import run_data_pb2_grpc as pb_grpc
from runindex.v1 import run_index_pb2 as index_pb
from tests.support.calls import UNKNOWN_ID, Stub

Data = pb_grpc.RunDataStub

PAGE_MAX: Final = 1_000


def json_value(held: Any) -> Value:
    """Return JSON as the contract carries it."""
    value = Value()
    json_format.ParseDict(held, value)
    return value


def value(held: Any) -> pb.DataValue:
    """Return a value: bytes as such, anything else as JSON."""
    return pb.DataValue(binary=held) if isinstance(held, bytes) else pb.DataValue(json=json_value(held))


def deep(levels: int, *, lists: bool = False) -> Any:
    """Return JSON of so many levels, the outermost being the first, with a number in the deepest."""
    held: Any = 1
    for _ in range(levels):
        held = [held] if lists else {"k": held}
    return held


def draft(stream: str, held: Any) -> pb.EventDraft:
    """Return an event to append."""
    return pb.EventDraft(stream=stream, value=value(held))


def revision_of(stub: Stub) -> int:
    """Return the store's revision."""
    return stub.RunExists(index_pb.RunExistsRequest(run_id=UNKNOWN_ID)).revision


def written(answer: Any) -> Any:
    """Check what the answer to every write has, and return it."""
    time = "append_time" if isinstance(answer, pb.AppendEventsResponse) else "write_time"
    assert answer.HasField(time)
    assert answer.revision > 0
    if time == "write_time":
        assert answer.version > 0
    return answer


def put(data: Data, run_id: str, key: str, held: Any, **fields: Any) -> pb.PutValueResponse:
    """Write a value under a key."""
    return written(data.PutValue(pb.PutValueRequest(run_id=run_id, key=key, value=value(held), **fields)))


def get_value(data: Data, run_id: str, key: str, version: int | None = None) -> pb.KeyValue:
    """Return a version of the value under a key."""
    item = data.GetValue(pb.GetValueRequest(run_id=run_id, key=key, version=version)).item
    assert (item.key, item.deleted) == (key, not item.HasField("value"))
    assert version in {None, item.version}
    return item


def delete_value(data: Data, run_id: str, key: str, **fields: Any) -> pb.DeleteValueResponse:
    """Delete the value under a key."""
    return written(data.DeleteValue(pb.DeleteValueRequest(run_id=run_id, key=key, **fields)))


def values(data: Data, run_id: str, prefix: str = "") -> list[pb.KeyValue]:
    """Return the keys that hold a value, which must go on one page."""
    answer = data.ListValues(pb.ListValuesRequest(run_id=run_id, prefix=prefix, page_size=PAGE_MAX))
    assert answer.next_page_token == ""
    assert not any(item.deleted for item in answer.items)
    return list(answer.items)


def history(data: Data, run_id: str, key: str) -> list[pb.KeyValue]:
    """Return the kept versions of a key, which must go on one page."""
    answer = data.GetValueHistory(pb.GetValueHistoryRequest(run_id=run_id, key=key, page_size=PAGE_MAX))
    assert answer.next_page_token == ""
    assert all(item.key == key for item in answer.items)
    return list(answer.items)


def append(data: Data, run_id: str, *events: pb.EventDraft, **fields: Any) -> pb.AppendEventsResponse:
    """Append events."""
    return written(data.AppendEvents(pb.AppendEventsRequest(run_id=run_id, events=events, **fields)))


def append_many(data: Data, run_id: str, stream: str, count: int) -> None:
    """Append events that hold their number, a thousand at a time."""
    for start in range(0, count, PAGE_MAX):
        append(data, run_id, *(draft(stream, n) for n in range(start, min(start + PAGE_MAX, count))))


def events(data: Data, run_id: str, **fields: Any) -> list[pb.Event]:
    """Return events, which must go on one page."""
    answer = data.ReadEvents(pb.ReadEventsRequest(run_id=run_id, page_size=PAGE_MAX, **fields))
    assert answer.next_page_token == ""
    return list(answer.events)


def sequences(data: Data, run_id: str, **fields: Any) -> list[int]:
    """Return the sequences of events, which must go on one page."""
    return [event.sequence for event in events(data, run_id, **fields)]


def count_events(data: Data, run_id: str, stream: str | None = None) -> tuple[int, int]:
    """Return how many events there are, and the sequence of the next."""
    answer = data.CountEvents(pb.CountEventsRequest(run_id=run_id, stream=stream))
    return answer.count, answer.next_sequence


def set_state(data: Data, run_id: str, cell: str, held: Any, **fields: Any) -> pb.SetStateResponse:
    """Set a state cell."""
    return written(data.SetState(pb.SetStateRequest(run_id=run_id, cell=cell, value=value(held), **fields)))


def get_state(data: Data, run_id: str, cell: str, version: int | None = None) -> pb.StateCell:
    """Return a version of a state cell."""
    item = data.GetState(pb.GetStateRequest(run_id=run_id, cell=cell, version=version)).item
    assert (item.cell, item.HasField("value")) == (cell, True)
    assert version in {None, item.version}
    return item


def swap(data: Data, run_id: str, cell: str, expected: Any, held: Any) -> pb.CompareAndSetStateResponse:
    """Set a state cell while it holds an expected value, as JSON or bytes."""
    request = pb.CompareAndSetStateRequest(
        run_id=run_id, cell=cell, expected=value(expected), value=value(held)
    )
    return written(data.CompareAndSetState(request))


def set_first(data: Data, run_id: str, cell: str, held: Any) -> pb.CompareAndSetStateResponse:
    """Set a state cell while it was never set."""
    request = pb.CompareAndSetStateRequest(run_id=run_id, cell=cell, value=value(held))
    return written(data.CompareAndSetState(request))


def states(data: Data, run_id: str, prefix: str = "") -> list[pb.StateCell]:
    """Return the state cells, which must go on one page."""
    answer = data.ListStates(pb.ListStatesRequest(run_id=run_id, prefix=prefix, page_size=PAGE_MAX))
    assert answer.next_page_token == ""
    return list(answer.items)


def set_document(
    data: Data, run_id: str, document: str, held: Any, pointer: str = "", **fields: Any
) -> pb.SetDocumentResponse:
    """Write a document, or a place in it."""
    request = pb.SetDocumentRequest(
        run_id=run_id, document=document, pointer=pointer, value=json_value(held), **fields
    )
    return written(data.SetDocument(request))


def get_document(
    data: Data, run_id: str, document: str, pointer: str = "", version: int | None = None
) -> pb.Document:
    """Return a version of a document, or a place in it."""
    request = pb.GetDocumentRequest(run_id=run_id, document=document, pointer=pointer, version=version)
    item = data.GetDocument(request).item
    assert (item.document, item.deleted) == (document, not item.HasField("value"))
    assert version in {None, item.version}
    return item


def merge_document(
    data: Data, run_id: str, document: str, patch: Any, **fields: Any
) -> pb.MergeDocumentResponse:
    """Merge a patch into a document."""
    request = pb.MergeDocumentRequest(run_id=run_id, document=document, patch=json_value(patch), **fields)
    return written(data.MergeDocument(request))


def delete_document(
    data: Data, run_id: str, document: str, pointer: str = "", **fields: Any
) -> pb.DeleteDocumentResponse:
    """Delete a document, or a place in it."""
    request = pb.DeleteDocumentRequest(run_id=run_id, document=document, pointer=pointer, **fields)
    return written(data.DeleteDocument(request))


def documents(data: Data, run_id: str, prefix: str = "") -> list[pb.Document]:
    """Return the documents, which must go on one page."""
    answer = data.ListDocuments(pb.ListDocumentsRequest(run_id=run_id, prefix=prefix, page_size=PAGE_MAX))
    assert answer.next_page_token == ""
    assert not any(item.deleted for item in answer.items)
    return list(answer.items)


def held_by(data: Data, run_id: str, *, keys: Sequence[str] = ("k", "gone")) -> list[Any]:
    """Return all that a caller can see of what a run holds, apart from the store's revision.

    Args:
        data: The stub.
        run_id: The run.
        keys: Keys whose history is looked at, those among them that hold nothing any more.
    """
    return [
        values(data, run_id),
        [history(data, run_id, key) for key in keys],
        events(data, run_id),
        [count_events(data, run_id, stream) for stream in (None, "s", "t")],
        states(data, run_id),
        documents(data, run_id),
    ]


NOTHING_HELD: Final[list[Any]] = [[], [[], []], [], [(0, 0)] * 3, [], []]
"""What `held_by` returns for a run that holds nothing."""


def fill(data: Data, run_id: str, *, mark: str = "x") -> index_pb.DeleteReceipt:
    """Give an empty run something of every kind, superseded versions and deletions among it.

    Args:
        data: The stub.
        run_id: The run.
        mark: What tells these values from others.

    Returns:
        The receipt of its deletion.
    """
    kept = [value(held) for held in (mark, {"mark": mark}, mark.encode(), [mark, None])]
    put(data, run_id, "k", mark)
    put(data, run_id, "k", {"mark": mark})
    put(data, run_id, "gone", mark.encode())
    delete_value(data, run_id, "gone")
    put(data, run_id, "é", [mark, None])
    kept += [value(held) for held in (mark, 1, mark.encode())]
    append(data, run_id, draft("s", mark), draft("t", 1), draft("s", mark.encode()))
    kept += [value(held) for held in (mark, mark.encode(), True)]
    set_state(data, run_id, "c", mark)
    set_state(data, run_id, "c", mark.encode())
    set_state(data, run_id, "other", held=True)
    texts: list[Any] = [{"mark": mark}, {"mark": [mark]}, [mark]]
    set_document(data, run_id, "d", texts[0])
    set_document(data, run_id, "d", [mark], "/mark")
    set_document(data, run_id, "gone", texts[2])
    delete_document(data, run_id, "gone")
    held_bytes = sum(each.ByteSize() for each in kept) + sum(json_value(each).ByteSize() for each in texts)
    return index_pb.DeleteReceipt(kv_keys=2, events=3, state_cells=2, documents=1, bytes=held_bytes)
