"""Runs from templates: what comes from the template, what from the request, and what becomes of both."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import Struct
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import templates_pb2
from runindex_server.limits import METADATA_BYTES_MAX, METADATA_DEPTH_MAX, METADATA_NODES_MAX, TAGS_MAX
from tests.support.calls import (
    DEFAULT,
    UNKNOWN_ID,
    Stub,
    archive,
    by_tag,
    check_refused,
    children,
    count,
    create,
    get,
    get_retention,
    list_ids,
    micros,
    search_ids,
    struct,
)
from tests.support.clock import MINUTE_US, SECOND_US, ManualClock
from tests.support.consistency import check_store
from tests.support.data_calls import deep, revision_of
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import IN_MEMORY
from tests.support.template_methods import (
    KEEP_2,
    KEEP_ALL,
    MERGES,
    Templates,
    create_from,
    delete,
    everything,
    put,
)


@pytest.fixture(autouse=True)
def sound(loop: LoopThread, server: RunningServer) -> Iterator[None]:
    """Check the store after each test."""
    yield
    loop.run(check_store(server.store))


def test_a_run_begins_with_what_the_template_has(
    stub: Stub, templates: Templates, clock: ManualClock
) -> None:
    """ACTIVE, version 1, now; the answer tells id, time and revision, and GetRun all of it."""
    put(templates, tags=["b", "a"], metadata={"k": {"n": 1}}, retention=KEEP_2)
    now_us = clock.advance(SECOND_US)

    answer = create_from(templates)

    run = get(stub, answer.run_id)
    assert run == pb.Run(
        run_id=answer.run_id,
        state=pb.RUN_STATE_ACTIVE,
        version=1,
        create_time=answer.create_time,
        update_time=answer.create_time,
        activity_time=run.activity_time,
        tags=["b", "a"],
        revision=answer.revision,
        metadata=struct({"k": {"n": 1}}),
    )
    assert micros(run.activity_time) == now_us - now_us % MINUTE_US
    assert micros(answer.create_time) >= now_us
    assert answer.revision == revision_of(stub)
    assert get_retention(stub, answer.run_id) == KEEP_2


def test_a_run_from_a_bare_template(stub: Stub, templates: Templates) -> None:
    """Is as bare as one that was created without anything."""
    put(templates)

    run = get(stub, create_from(templates).run_id)

    assert list(run.tags) == []
    assert not run.HasField("metadata")
    assert not run.HasField("parent_run_id")
    assert not run.HasField("cloned_from")
    assert get_retention(stub, run.run_id) == KEEP_ALL


def test_a_run_from_a_template_is_found_by_all_that_it_has(stub: Stub, templates: Templates) -> None:
    """It is in every listing, counted, and searched by."""
    put(templates, tags=["of template"], metadata={"k": "template_word"})
    run_id = create_from(
        templates, metadata={"j": "request_word"}, tags=["of request"], parent_run_id=DEFAULT
    ).run_id

    assert list_ids(stub) == [run_id, DEFAULT]
    assert count(stub) == 2
    assert by_tag(stub, "of template") == by_tag(stub, "of request") == [run_id]
    assert children(stub, DEFAULT) == [run_id]
    for query in ("template_word", "request_word", 'tag:"of template"', f"parent:{DEFAULT}"):
        assert search_ids(stub, query) == [run_id]


# Metadata.


@pytest.mark.parametrize(("of_template", "patch", "merged"), MERGES, ids=str)
def test_metadata_is_merged_into_the_templates(
    stub: Stub, templates: Templates, of_template: Any, patch: Any, merged: Any
) -> None:
    """By RFC 7396; the template stays as it is."""
    put(templates, metadata=of_template)
    before = everything(stub, templates)[-1]

    run = get(stub, create_from(templates, metadata=patch).run_id)

    assert run.HasField("metadata") == (merged is not None)
    assert run.metadata == struct(merged or {})
    assert everything(stub, templates)[-1] == before


def sized(key: str, size: int) -> Struct:
    """Return an object with one key, of exactly so many bytes encoded, above 20,000."""
    overhead = struct({key: "x" * 20_000}).ByteSize() - 20_000
    made = struct({key: "x" * (size - overhead)})
    assert made.ByteSize() == size
    return made


MERGED: Final[dict[str, tuple[str, int, Any]]] = {
    "bytes": (
        "bytes of metadata",
        METADATA_BYTES_MAX,
        lambda over: (sized("a", METADATA_BYTES_MAX // 2), sized("b", METADATA_BYTES_MAX // 2 + over)),
    ),
    "values": (
        "values of metadata",
        METADATA_NODES_MAX,
        lambda over: (
            struct({"a": [1] * (METADATA_NODES_MAX - 11)}),
            struct({"b": [1] * (9 + over)}),
        ),
    ),
}
"""Of each bound its words, the bound, and an object with a patch of it that come to the bound, or over it."""


@IN_MEMORY
@pytest.mark.parametrize("kind", MERGED)
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_bounds_of_merged_metadata(stub: Stub, templates: Templates, kind: str, over: int) -> None:
    """Template and request are within theirs each; the run must be, too. A refusal creates nothing."""
    limit, maximum, parts = MERGED[kind]
    of_template, patch = parts(over)
    templates.PutTemplate(templates_pb2.PutTemplateRequest(name="t", metadata=of_template))
    request = templates_pb2.CreateRunFromTemplateRequest(name="t", metadata=patch, run_id=UNKNOWN_ID)
    before = everything(stub, templates)

    if over <= 0:
        templates.CreateRunFromTemplate(request)
        assert set(get(stub, UNKNOWN_ID).metadata.fields) == {"a", "b"}
        return
    check_refused(
        lambda: templates.CreateRunFromTemplate(request),
        Code.FAILED_PRECONDITION,
        "LIMIT_EXCEEDED",
        runId=UNKNOWN_ID,
        limit=limit,
        maximum=str(maximum),
    )
    assert everything(stub, templates) == before


def test_the_deepest_metadata_can_come_from_both(stub: Stub, templates: Templates) -> None:
    """A merge makes nothing deeper than what is merged."""
    put(templates, metadata={"a": deep(METADATA_DEPTH_MAX - 1)})

    run_id = create_from(templates, metadata={"b": deep(METADATA_DEPTH_MAX - 1)}).run_id

    assert set(get(stub, run_id).metadata.fields) == {"a", "b"}


# Tags.


@pytest.mark.parametrize(
    ("of_template", "of_request", "united"),
    [
        (["b", "a"], [], ["b", "a"]),
        ([], ["d", "c"], ["d", "c"]),
        (["b", "a"], ["d", "c"], ["b", "a", "d", "c"]),
        (["b", "a"], ["a", "c", "b", "c"], ["b", "a", "c"]),
        (["a"], ["a"], ["a"]),
    ],
)
def test_the_tags_of_both(
    stub: Stub, templates: Templates, of_template: list[str], of_request: list[str], united: list[str]
) -> None:
    """The template's first, each once."""
    put(templates, tags=of_template)

    run_id = create_from(templates, tags=of_request).run_id

    assert list(get(stub, run_id).tags) == united


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_how_many_tags_both_may_have(stub: Stub, templates: Templates, over: int) -> None:
    """As many as a run; what both have counts once. A refusal creates nothing."""
    half = TAGS_MAX // 2
    put(templates, tags=["both", *(f"template {number}" for number in range(half - 1))])
    tags = ["both", *(f"request {number}" for number in range(half + over))]
    before = everything(stub, templates)

    if over <= 0:
        run_id = create_from(templates, tags=tags).run_id
        assert len(get(stub, run_id).tags) == TAGS_MAX + over
        return
    check_refused(
        lambda: create_from(templates, tags=tags, run_id=UNKNOWN_ID),
        Code.FAILED_PRECONDITION,
        "LIMIT_EXCEEDED",
        runId=UNKNOWN_ID,
        limit="tags",
        maximum=str(TAGS_MAX),
    )
    assert everything(stub, templates) == before


# Ids and parents.


def test_the_id_of_the_run(stub: Stub, templates: Templates) -> None:
    """The given one in its canonical form, or one that the server makes."""
    put(templates)

    assert create_from(templates, run_id=UNKNOWN_ID.upper().replace("-", "")).run_id == UNKNOWN_ID
    made = {create_from(templates).run_id for _ in range(3)}

    assert len(made) == 3
    assert set(list_ids(stub)) == {*made, UNKNOWN_ID, DEFAULT}
    assert all(run_id[14] == "7" for run_id in made), "of the version that grows with time"


@pytest.mark.parametrize("archived", [False, True])
def test_an_id_that_is_taken(stub: Stub, templates: Templates, *, archived: bool) -> None:
    """Also by an archived run, and always `default`."""
    put(templates)
    create_from(templates, run_id=UNKNOWN_ID)
    if archived:
        archive(stub, UNKNOWN_ID)
    before = everything(stub, templates)

    for run_id in (UNKNOWN_ID, DEFAULT):
        refusal = check_refused(
            lambda run_id=run_id: create_from(templates, run_id=run_id),
            Code.ALREADY_EXISTS,
            "RUN_ALREADY_EXISTS",
            runId=run_id,
        )
        assert refusal.revision == revision_of(stub)
    assert everything(stub, templates) == before


def test_a_run_under_a_parent(stub: Stub, templates: Templates) -> None:
    """In whatever state it is; one that is not there is refused."""
    put(templates)
    parent = create(stub).run_id
    archive(stub, parent)

    run_id = create_from(templates, parent_run_id=parent.upper()).run_id

    assert get(stub, run_id).parent_run_id == parent
    assert children(stub, parent) == [run_id]
    check_refused(
        lambda: create_from(templates, parent_run_id=UNKNOWN_ID),
        Code.NOT_FOUND,
        "PARENT_RUN_NOT_FOUND",
        parentRunId=UNKNOWN_ID,
    )
    # Nor is it its own parent.
    check_refused(
        lambda: create_from(templates, run_id=UNKNOWN_ID, parent_run_id=UNKNOWN_ID),
        Code.NOT_FOUND,
        "PARENT_RUN_NOT_FOUND",
    )


@IN_MEMORY
@pytest.mark.parametrize("field", ["run_id", "parent_run_id"])
@pytest.mark.parametrize("bad", ["", "nonsense", "00000000-0000-0000-0000-000000000000"])
def test_ids_that_are_none(templates: Templates, field: str, bad: str) -> None:
    """Present but empty is refused, too."""
    put(templates)

    check_refused(
        lambda: create_from(templates, **{field: bad}), Code.INVALID_ARGUMENT, "INVALID_RUN_ID", field=field
    )


# What becomes of both.


def test_a_run_does_not_depend_on_its_template(stub: Stub, templates: Templates) -> None:
    """Not while it lives, nor when it was replaced or deleted; and the template not on its runs."""
    put(templates, tags=["a"], metadata={"k": 1}, retention=KEEP_2)
    before = everything(stub, templates)[-1]
    run_id = create_from(templates).run_id
    run = get(stub, run_id)
    assert everything(stub, templates)[-1] == before

    put(templates, tags=["b"], metadata={"k": 2})
    second = create_from(templates).run_id
    delete(templates)

    assert get(stub, run_id) == run
    assert get_retention(stub, run_id) == KEEP_2
    assert list(get(stub, second).tags) == ["b"]
    assert get_retention(stub, second) == KEEP_ALL


def test_a_template_that_is_not_there(stub: Stub, templates: Templates) -> None:
    """Is named in the refusal; nothing is created."""
    put(templates, "tt")
    before = everything(stub, templates)

    refusal = check_refused(
        lambda: create_from(templates, "t"), Code.NOT_FOUND, "TEMPLATE_NOT_FOUND", template="t"
    )

    assert refusal.revision == before[0]
    assert everything(stub, templates) == before
