"""How large pages of RunData are: in items, and in bytes."""

from itertools import pairwise
from typing import Any, Final

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from runindex_server.limits import DATA_VALUE_BYTES_MAX, PAGE_BYTES_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from tests.support.calls import CALLS_AT_ONCE, Stub, check_refused, create
from tests.support.data_calls import Data, append_many, json_value, put, value
from tests.support.data_methods import COLLECTIONS, LISTS, build, call
from tests.support.stores import IN_MEMORY


def write_of(name: str, run_id: str, n: int, held: Any) -> tuple[str, Any]:
    """Return the write of the n-th item of a collection; of a history, the n-th version."""
    if name == "ListDocuments":
        request = pb.SetDocumentRequest(run_id=run_id, document=f"{n:05}", value=json_value(held))
        return "SetDocument", request
    if name == "ListStates":
        return "SetState", pb.SetStateRequest(run_id=run_id, cell=f"{n:05}", value=value(held))
    if name == "ReadEvents":
        event = pb.EventDraft(stream=f"{n:05}", value=value(held))
        return "AppendEvents", pb.AppendEventsRequest(run_id=run_id, events=[event])
    key = "k" if name == "GetValueHistory" else f"{n:05}"
    return "PutValue", pb.PutValueRequest(run_id=run_id, key=key, value=value(held))


def fill(data: Data, name: str, run_id: str, count: int) -> None:
    """Write so many items of a collection, many at a time."""
    if name == "ReadEvents":
        append_many(data, run_id, "s", count)
        return
    for start in range(0, count, CALLS_AT_ONCE):
        writes = [write_of(name, run_id, n, n) for n in range(start, min(start + CALLS_AT_ONCE, count))]
        calls = [getattr(data, method).future(request) for method, request in writes]
        for each in calls:
            each.result()


def items_of(answer: Any) -> list[Any]:
    """Return the items of a page."""
    return list(answer.events if hasattr(answer, "events") else answer.items)


def fields_of(name: str) -> dict[str, Any]:
    """Return what a request needs beside the run and the page."""
    return {"key": "k"} if name == "GetValueHistory" else {}


@IN_MEMORY
@pytest.mark.parametrize("name", COLLECTIONS)
def test_page_size(stub: Stub, data: Data, name: str) -> None:
    """0 is 100, above 1,000 is 1,000; a token tells that there is more."""
    run_id = create(stub).run_id
    fill(data, name, run_id, PAGE_SIZE_MAX + 1)

    for size in (0, 1, 99, 100, 101, 999, 1_000, 1_001, 2**31 - 1):
        answer = call(data, name, build(name, run_id, page_size=size, **fields_of(name)))
        held = min(size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        assert len(items_of(answer)) == held
        assert answer.next_page_token
    last = build(name, run_id, page_size=1_001, page_token=answer.next_page_token, **fields_of(name))
    answer = call(data, name, last)
    assert (len(items_of(answer)), answer.next_page_token) == (1, "")


@IN_MEMORY
@pytest.mark.parametrize("name", COLLECTIONS)
@pytest.mark.parametrize("size", [-1, -1_000, -(2**31)])
def test_page_size_is_not_negative(stub: Stub, data: Data, name: str, size: int) -> None:
    """A negative size is a mistake, and shown back."""
    run_id = create(stub).run_id

    check_refused(
        lambda: call(data, name, build(name, run_id, page_size=size)),
        Code.INVALID_ARGUMENT,
        "INVALID_PAGE_SIZE",
        field="page_size",
        value=str(size),
    )


@pytest.mark.parametrize("name", COLLECTIONS)
def test_an_empty_collection_has_no_next_page(stub: Stub, data: Data, name: str) -> None:
    """Nor has one that fills a page exactly."""
    run_id = create(stub).run_id
    for count in range(3):
        answer = call(data, name, build(name, run_id, page_size=max(count, 1), **fields_of(name)))
        assert len(items_of(answer)) == count
        assert answer.next_page_token == ""
        method, request = write_of(name, run_id, count, count)
        call(data, method, request)


LIGHT_BYTES: Final = 233_000
"""An item of which nine and a little are a page."""


@pytest.mark.parametrize("name", COLLECTIONS)
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_page_ends_at_2_mib_of_items(stub: Stub, data: Data, name: str, over: int) -> None:
    """It takes the item that fills it to the byte, and ends before the one that would pass it."""
    run_id = create(stub).run_id
    sizes = [LIGHT_BYTES] * 8
    sizes.append(PAGE_BYTES_MAX - sum(sizes) + over)
    time = put(data, create(stub).run_id, "k", 1).write_time
    for n, size in enumerate(sizes):
        # Lengths within the item take 3 bytes each, whichever of these sizes it has.
        overhead = item_of(name, n, "x" * LIGHT_BYTES, time).ByteSize() - LIGHT_BYTES
        method, request = write_of(name, run_id, n, "x" * (size - overhead))
        call(data, method, request)

    first = call(data, name, build(name, run_id, page_size=1_000, **fields_of(name)))

    found = [item.ByteSize() for item in items_of(first)]
    in_order = sizes[::-1] if name == "GetValueHistory" else sizes
    assert found == (in_order if over <= 0 else in_order[:8])
    assert bool(first.next_page_token) == (over > 0)
    if over > 0:
        request = build(name, run_id, page_token=first.next_page_token, **fields_of(name))
        rest = call(data, name, request)
        assert [item.ByteSize() for item in items_of(rest)] == in_order[8:]
        assert rest.next_page_token == ""


def item_of(name: str, n: int, held: Any, time: Timestamp) -> Message:
    """Return the n-th item of a collection as it comes back."""
    match name:
        case "ListValues":
            return pb.KeyValue(key=f"{n:05}", value=value(held), version=1, write_time=time)
        case "GetValueHistory":
            return pb.KeyValue(key="k", value=value(held), version=n + 1, write_time=time)
        case "ListStates":
            return pb.StateCell(cell=f"{n:05}", value=value(held), version=1, write_time=time)
        case "ListDocuments":
            return pb.Document(document=f"{n:05}", value=json_value(held), version=1, write_time=time)
        case _:
            return pb.Event(sequence=n, stream=f"{n:05}", value=value(held), append_time=time)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_pages_cut_by_bytes_join_to_the_whole(stub: Stub, data: Data, name: str) -> None:
    """Every default client can read each of the largest items, and a list of names is not cut."""
    run_id = create(stub).run_id
    held = b"x" * DATA_VALUE_BYTES_MAX if name != "ListDocuments" else "x" * (DATA_VALUE_BYTES_MAX - 4)
    for n in range(20):
        method, request = write_of(name, run_id, n, held)
        call(data, method, request)

    answers, token = [], ""
    for _ in range(20):
        page = build(name, run_id, page_size=1_000, page_token=token, **fields_of(name))
        answers.append(call(data, name, page))
        token = answers[-1].next_page_token
        if not token:
            break

    assert [len(items_of(answer)) for answer in answers] == [7, 7, 6]
    for answer, following in pairwise(answers):
        size = sum(item.ByteSize() for item in items_of(answer))
        assert size <= PAGE_BYTES_MAX < size + items_of(following)[0].ByteSize()
    if name in LISTS:
        bare = call(data, name, build(name, run_id, page_size=1_000, names_only=True))
        assert (len(items_of(bare)), bare.next_page_token) == (20, "")


@pytest.mark.parametrize("backwards", [False, True])
def test_pages_of_a_stream_cut_by_bytes(stub: Stub, data: Data, *, backwards: bool) -> None:
    """The other streams' events do not count."""
    run_id = create(stub).run_id
    held = b"x" * DATA_VALUE_BYTES_MAX
    for n in range(20):
        event = pb.EventDraft(stream="st"[n % 2], value=value(held))
        data.AppendEvents(pb.AppendEventsRequest(run_id=run_id, events=[event]))

    first = pb.ReadEventsRequest(run_id=run_id, stream="t", backwards=backwards, page_size=1_000)
    answer = data.ReadEvents(first)
    first.page_token = answer.next_page_token
    rest = data.ReadEvents(first)

    found = [event.sequence for event in (*answer.events, *rest.events)]
    assert found == sorted(range(1, 20, 2), reverse=backwards)
    assert (len(answer.events), len(rest.events), rest.next_page_token) == (7, 3, "")
