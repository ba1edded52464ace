"""Every bound that a call can reach, at one below, at, and one above."""

from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from runindex_server import limits
from tests.support.calls import (
    DEFAULT,
    Stub,
    add_tags,
    by_tag,
    check_refused,
    create,
    create_many,
    fail,
    get,
    ids,
    remove_tags,
    struct,
    update,
)
from tests.support.methods import COLLECTIONS, MUTATIONS, build, call, target
from tests.support.stores import IN_MEMORY

AROUND: Final = (-1, 0, 1)
"""Offsets from a bound; the last is refused."""


def test_the_bounds_are_those_of_the_contract() -> None:
    """What the comments of the contract say in words."""
    assert limits.REQUEST_BYTES_MAX == 1024**2
    assert limits.REQUEST_ID_BYTES_MAX == 64
    assert limits.METADATA_BYTES_MAX == 64 * 1024
    assert limits.METADATA_DEPTH_MAX == 20
    assert limits.METADATA_NODES_MAX == 5_000
    assert limits.TAG_BYTES_MAX == 128
    assert limits.TAGS_MAX == 64
    assert limits.ERROR_BYTES_MAX == 16 * 1024
    assert limits.QUERY_BYTES_MAX == 1024
    assert limits.PAGE_SIZE_DEFAULT == 100
    assert limits.SEARCH_PAGE_SIZE_DEFAULT == 10
    assert limits.PAGE_SIZE_MAX == 1_000
    assert limits.PAGE_BYTES_MAX == 2 * 1024**2
    assert limits.SKIP_MAX == 100_000
    assert limits.RETENTION_COUNT_MAX == 2**53


def text_of(size: int, char: str) -> str:
    """Return text of a number of bytes, made of a character and filled with `x`."""
    width = len(char.encode())
    return char * (size // width) + "x" * (size % width)


@IN_MEMORY
@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.parametrize("over", AROUND)
def test_request_id_bytes(stub: Stub, name: str, over: int) -> None:
    """A request id has at most 64 bytes, in whatever characters."""
    for char in "xü🚀":
        request_id = text_of(limits.REQUEST_ID_BYTES_MAX + over, char)
        request = build(name, target(stub, name), request_id=request_id)
        if over <= 0:
            call(stub, name, request)
        else:
            check_refused(
                lambda request=request: call(stub, name, request),
                Code.INVALID_ARGUMENT,
                "INVALID_FIELD",
                field="request_id",
            )


@pytest.mark.parametrize("name", MUTATIONS)
def test_request_id_is_not_empty(stub: Stub, name: str) -> None:
    """One byte is enough; present but empty is refused."""
    empty = build(name, target(stub, name), request_id="")
    check_refused(lambda: call(stub, name, empty), Code.INVALID_ARGUMENT, "INVALID_FIELD", field="request_id")

    call(stub, name, build(name, target(stub, name), request_id="x"))


def sized_metadata(size: int) -> Struct:
    """Return metadata of exactly so many bytes, encoded; above 32 KiB, where all lengths take 3 bytes."""
    overhead = struct({"k": "x" * 40_000}).ByteSize() - 40_000
    metadata = struct({"k": "x" * (size - overhead)})
    assert metadata.ByteSize() == size
    return metadata


def deep_metadata(levels: int, *, lists: bool) -> Struct:
    """Return metadata of so many levels, the object itself being the first, with a number in the deepest."""
    value = Value(number_value=1)
    for _ in range(levels - 1):
        if lists:
            value = Value(list_value=ListValue(values=[value]))
        else:
            value = Value(struct_value=Struct(fields={"k": value}))
    return Struct(fields={"k": value})


def wide_metadata(values: int, *, nested: bool) -> Struct:
    """Return metadata with so many values, containers counted."""
    if not nested:
        return Struct(fields={str(place): Value(bool_value=True) for place in range(values)})
    inner = [Value(bool_value=True)] * (values - 1)
    return Struct(fields={"k": Value(list_value=ListValue(values=inner))})


METADATA: Final[dict[str, Any]] = {
    "bytes": lambda over: sized_metadata(limits.METADATA_BYTES_MAX + over),
    "levels of objects": lambda over: deep_metadata(limits.METADATA_DEPTH_MAX + over, lists=False),
    "levels of lists": lambda over: deep_metadata(limits.METADATA_DEPTH_MAX + over, lists=True),
    "values": lambda over: wide_metadata(limits.METADATA_NODES_MAX + over, nested=False),
    "values in a list": lambda over: wide_metadata(limits.METADATA_NODES_MAX + over, nested=True),
}


@pytest.mark.parametrize("name", ["CreateRun", "CreateChildRun", "UpdateRunMetadata"])
@pytest.mark.parametrize("over", AROUND)
@pytest.mark.parametrize("kind", METADATA)
def test_metadata(stub: Stub, name: str, kind: str, over: int) -> None:
    """At most 64 KiB encoded, 20 levels and 5,000 values; what is taken comes back whole."""
    run_id = create(stub).run_id
    request = build(name, run_id, metadata=METADATA[kind](over))

    if over <= 0:
        answer = call(stub, name, request)
        changed = run_id if name == "UpdateRunMetadata" else answer.run.run_id
        assert get(stub, changed).metadata == request.metadata
    else:
        check_refused(
            lambda: call(stub, name, request), Code.INVALID_ARGUMENT, "INVALID_METADATA", field="metadata"
        )


@pytest.mark.parametrize("over", AROUND)
def test_merged_metadata_bytes(stub: Stub, over: int) -> None:
    """The merged object is held to the bound of bytes, each part being within it."""
    there = sized_metadata(limits.METADATA_BYTES_MAX - 1_000)
    run_id = stub.CreateRun(pb.CreateRunRequest(metadata=there)).run.run_id
    patch = struct({"patch": ""})
    merged = struct({"k": there["k"], "patch": "x" * 500})
    patch["patch"] = "x" * (500 + limits.METADATA_BYTES_MAX - merged.ByteSize() + over)

    check_merge(stub, run_id, patch, over, maximum=limits.METADATA_BYTES_MAX)


@pytest.mark.parametrize("over", AROUND)
def test_merged_metadata_values(stub: Stub, over: int) -> None:
    """The merged object is held to the bound of values."""
    there = Struct(fields={"a": Value(list_value=ListValue(values=[Value(bool_value=True)] * 3_000))})
    run_id = stub.CreateRun(pb.CreateRunRequest(metadata=there)).run.run_id
    rest = limits.METADATA_NODES_MAX - 3_001 - 1 + over
    patch = Struct(fields={"b": Value(list_value=ListValue(values=[Value(bool_value=True)] * rest))})

    check_merge(stub, run_id, patch, over, maximum=limits.METADATA_NODES_MAX)


def check_merge(stub: Stub, run_id: str, patch: Struct, over: int, *, maximum: int) -> None:
    """Merge a patch that brings a run's metadata near a bound, and check on which side it is."""
    before = get(stub, run_id)
    request = pb.UpdateRunMetadataRequest(run_id=run_id, metadata=patch, merge=True)

    if over <= 0:
        assert stub.UpdateRunMetadata(request).version == 2
    else:
        refusal = check_refused(
            lambda: stub.UpdateRunMetadata(request),
            Code.FAILED_PRECONDITION,
            "LIMIT_EXCEEDED",
            runId=run_id,
            maximum=str(maximum),
        )
        assert refusal.metadata["limit"]
        assert refusal.revision == before.revision
        assert get(stub, run_id) == before


def test_a_policy_does_not_count_as_metadata(stub: Stub) -> None:
    """64 KiB are the caller's, whatever is reserved beside them."""
    run_id = create(stub).run_id
    stub.SetRunRetention(
        pb.SetRunRetentionRequest(run_id=run_id, policy=pb.RetentionPolicy(keep_latest_n=2**53))
    )

    stub.UpdateRunMetadata(
        pb.UpdateRunMetadataRequest(run_id=run_id, metadata=sized_metadata(limits.METADATA_BYTES_MAX))
    )


@pytest.mark.parametrize("char", ["x", "ü", "🚀"])
@pytest.mark.parametrize("over", AROUND)
def test_tag_bytes(stub: Stub, char: str, over: int) -> None:
    """A tag has at most 128 bytes, wherever it is given."""
    tag = text_of(limits.TAG_BYTES_MAX + over, char)
    run_id = create(stub).run_id
    uses = (
        lambda: create(stub, tags=[tag]),
        lambda: create(stub, tags=[tag], parent=DEFAULT),
        lambda: add_tags(stub, run_id, tag),
        lambda: by_tag(stub, tag),
        lambda: remove_tags(stub, run_id, tag),
    )
    for use in uses:
        if over <= 0:
            use()
        else:
            check_refused(use, Code.INVALID_ARGUMENT, "INVALID_TAG", tagBytesMax="128", tagsMax="64")


@pytest.mark.parametrize("over", AROUND)
def test_tags_of_a_request(stub: Stub, over: int) -> None:
    """A request has at most 64 tags."""
    tags = [f"tag-{place}" for place in range(limits.TAGS_MAX + over)]
    run_id = create(stub).run_id
    for use in (
        lambda: create(stub, tags=tags),
        lambda: create(stub, tags=tags, parent=DEFAULT),
        lambda: add_tags(stub, run_id, *tags),
        lambda: remove_tags(stub, run_id, *tags),
    ):
        if over <= 0:
            use()
        else:
            check_refused(use, Code.INVALID_ARGUMENT, "INVALID_TAG", field="tags", tagsMax="64")


@pytest.mark.parametrize("over", AROUND)
def test_tags_of_a_run(stub: Stub, over: int) -> None:
    """A run has at most 64 tags, those that it has and those that are added together; repeated ones not."""
    run = create(stub, tags=[f"tag-{place}" for place in range(40)])
    added = [f"tag-{place}" for place in range(30, limits.TAGS_MAX + over)]

    if over <= 0:
        add_tags(stub, run.run_id, *added)
        assert len(get(stub, run.run_id).tags) == limits.TAGS_MAX + over
    else:
        check_refused(
            lambda: add_tags(stub, run.run_id, *added),
            Code.FAILED_PRECONDITION,
            "LIMIT_EXCEEDED",
            runId=run.run_id,
            maximum=str(limits.TAGS_MAX),
        )
        assert get(stub, run.run_id) == run


def test_a_run_full_of_tags_takes_those_that_it_has(stub: Stub) -> None:
    """Nothing is added, so no bound is passed; and room can be made."""
    tags = [f"tag-{place}" for place in range(limits.TAGS_MAX)]
    run_id = create(stub, tags=tags).run_id

    assert add_tags(stub, run_id, *tags).version == 1
    remove_tags(stub, run_id, "tag-0")
    assert list(get(stub, run_id).tags) == tags[1:]
    add_tags(stub, run_id, "new")
    assert list(get(stub, run_id).tags) == [*tags[1:], "new"]


@pytest.mark.parametrize("char", ["x", "ü", "🚀"])
@pytest.mark.parametrize("over", AROUND)
def test_error_bytes(stub: Stub, char: str, over: int) -> None:
    """An error text has at most 16 KiB, and comes back whole."""
    error = text_of(limits.ERROR_BYTES_MAX + over, char)
    run_id = create(stub).run_id

    if over <= 0:
        fail(stub, run_id, error)
        assert get(stub, run_id).error == error
    else:
        check_refused(
            lambda: fail(stub, run_id, error), Code.INVALID_ARGUMENT, "INVALID_FIELD", field="error"
        )


@pytest.mark.parametrize("char", ["x", "ü", "🚀"])
@pytest.mark.parametrize("over", AROUND)
def test_query_bytes(stub: Stub, char: str, over: int) -> None:
    """A query has at most 1 KiB."""
    request = pb.SearchRunsRequest(query="x " + text_of(limits.QUERY_BYTES_MAX - 2 + over, char))

    if over <= 0:
        assert ids(stub.SearchRuns(request)) == []
    else:
        check_refused(lambda: stub.SearchRuns(request), Code.INVALID_ARGUMENT, "INVALID_FIELD", field="query")


@IN_MEMORY
@pytest.mark.parametrize("opening", ["(", "-(", "-"])
@pytest.mark.parametrize("over", AROUND)
def test_query_depth(stub: Stub, opening: str, over: int) -> None:
    """Parentheses and negations stand inside each other 32 deep at most."""
    depth = (limits.QUERY_DEPTH_MAX + over) // len(opening)
    request = pb.SearchRunsRequest(query=opening * depth + "x" + ")" * (depth if "(" in opening else 0))

    if over <= 0 or depth * len(opening) <= limits.QUERY_DEPTH_MAX:
        stub.SearchRuns(request)
    else:
        refusal = check_refused(lambda: stub.SearchRuns(request), Code.INVALID_ARGUMENT, "INVALID_QUERY")
        assert int(refusal.metadata["position"]) >= 0


@IN_MEMORY
@pytest.mark.parametrize("name", COLLECTIONS)
def test_page_size(stub: Stub, name: str) -> None:
    """0 is the default, above 1,000 is 1,000; a token tells that there is more."""
    query = {"query": "tag:old"} if name == "SearchRuns" else {}
    default = limits.SEARCH_PAGE_SIZE_DEFAULT if name == "SearchRuns" else limits.PAGE_SIZE_DEFAULT
    made = create_many(stub, limits.PAGE_SIZE_MAX + 1, tags=["old"])

    for size in (0, 1, 999, 1_000, 1_001, 2**31 - 1):
        answer = call(stub, name, build(name, DEFAULT, page_size=size, view=pb.RUN_VIEW_ID_ONLY, **query))
        held = min(size or default, limits.PAGE_SIZE_MAX)
        assert ids(answer) == made[: -held - 1 : -1]
        assert answer.next_page_token


@IN_MEMORY
@pytest.mark.parametrize("name", COLLECTIONS)
def test_page_size_is_not_negative(stub: Stub, name: str) -> None:
    """A negative size is a mistake, and shown back."""
    for size in (-1, -1_000, -(2**31)):
        check_refused(
            lambda size=size: call(stub, name, build(name, DEFAULT, page_size=size)),
            Code.INVALID_ARGUMENT,
            "INVALID_PAGE_SIZE",
            field="page_size",
            value=str(size),
        )


def test_skip(stub: Stub) -> None:
    """At most 100,000 runs are passed over; past the end there is nothing, and no next page."""
    for skip in (0, 1, limits.SKIP_MAX - 1, limits.SKIP_MAX):
        answer = stub.ListRuns(pb.ListRunsRequest(skip=skip))
        assert ids(answer) == ([DEFAULT] if skip == 0 else [])
        assert answer.next_page_token == ""
    for skip in (limits.SKIP_MAX + 1, 2**31 - 1, -1, -(2**31)):
        check_refused(
            lambda skip=skip: stub.ListRuns(pb.ListRunsRequest(skip=skip)),
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            field="skip",
        )


def test_the_largest_run(stub: Stub) -> None:
    """All bounds at once: a record of that size is kept, listed and searched."""
    tags = [text_of(limits.TAG_BYTES_MAX - 2, "ü") + f"{place:02}" for place in range(limits.TAGS_MAX)]
    metadata = sized_metadata(limits.METADATA_BYTES_MAX)
    run = stub.CreateRun(pb.CreateRunRequest(tags=tags, metadata=metadata)).run
    fail(stub, run.run_id, text_of(limits.ERROR_BYTES_MAX, "🚀"))

    shown = get(stub, run.run_id)

    assert (list(shown.tags), shown.metadata) == (tags, metadata)
    assert ids(stub.ListRuns(pb.ListRunsRequest())) == [run.run_id, DEFAULT]
    assert by_tag(stub, tags[-1]) == [run.run_id]
    assert update(stub, run.run_id, {"k": 1}).version == 3
