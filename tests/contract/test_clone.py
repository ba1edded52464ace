"""Copies of runs: what of the source comes along, what does not, and what becomes of both."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from runindex_server.limits import METADATA_BYTES_MAX, TAGS_MAX
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Restart,
    Stub,
    add_tags,
    archive,
    by_tag,
    check_refused,
    children,
    close,
    count,
    create,
    fail,
    get,
    get_retention,
    lead,
    list_ids,
    micros,
    pause,
    resume,
    search_ids,
    set_retention,
    struct,
    update,
)
from tests.support.calls import delete as delete_run
from tests.support.clock import MINUTE_US, ManualClock
from tests.support.consistency import check_store
from tests.support.data_calls import NOTHING_HELD, Data, fill, held_by, revision_of
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import IN_MEMORY, ON_DISK
from tests.support.template_methods import (
    KEEP_2,
    KEEP_ALL,
    MERGES,
    POLICIES,
    Templates,
    clone,
    create_from,
    everything,
    put,
)


@pytest.fixture(autouse=True)
def sound(loop: LoopThread, server: RunningServer) -> Iterator[None]:
    """Check the store after each test: that no transition was copied is seen there, too."""
    yield
    loop.run(check_store(server.store))


def expected_copy(source: pb.Run, copy: pb.Run) -> pb.Run:
    """Return what a copy without a patch must be, its own times and revision given."""
    return pb.Run(
        run_id=copy.run_id,
        state=pb.RUN_STATE_ACTIVE,
        version=1,
        create_time=copy.create_time,
        update_time=copy.create_time,
        activity_time=copy.activity_time,
        tags=source.tags,
        revision=copy.revision,
        cloned_from=source.run_id,
        metadata=source.metadata if source.HasField("metadata") else None,
    )


@pytest.mark.parametrize("state", STATES, ids=pb.RunState.Name)
@pytest.mark.parametrize("policy", [None, *POLICIES])
def test_a_run_is_copied_in_every_state(
    stub: Stub, templates: Templates, clock: ManualClock, state: int, policy: pb.RetentionPolicy | None
) -> None:
    """To an ACTIVE one at version 1 with tags, metadata and policy; the source stays as it is."""
    run_id = create(stub, tags=["b", "a"], metadata={"k": {"n": [1, None]}}, parent=DEFAULT).run_id
    if policy is not None:
        set_retention(stub, run_id, policy)
    if state == pb.RUN_STATE_ARCHIVED:
        fail(stub, run_id)  # An outcome and an error that could come along.
    source = lead(stub, run_id, state)
    now_us = clock.advance(MINUTE_US)

    answer = clone(templates, run_id)

    copy = get(stub, answer.run_id)
    assert copy == expected_copy(source, copy)
    assert (copy.create_time, copy.revision) == (answer.create_time, answer.revision)
    assert micros(copy.create_time) == now_us
    assert micros(copy.activity_time) == now_us - now_us % MINUTE_US
    assert answer.revision == revision_of(stub) > source.revision
    assert get_retention(stub, answer.run_id) == (policy or KEEP_ALL)
    assert get(stub, run_id) == source


def test_a_bare_run_is_copied(stub: Stub, templates: Templates) -> None:
    """What it has not, its copy has not either."""
    source = create(stub)

    copy = get(stub, clone(templates, source.run_id).run_id)

    assert copy == expected_copy(source, copy)
    assert not copy.HasField("metadata")


def test_the_default_run_is_copied(stub: Stub, templates: Templates, data: Data) -> None:
    """To a run as any other: it can be ended and deleted."""
    add_tags(stub, DEFAULT, "t")
    update(stub, DEFAULT, {"k": 1})
    set_retention(stub, DEFAULT, KEEP_2)
    fill(data, DEFAULT)
    source = get(stub, DEFAULT)

    run_id = clone(templates, DEFAULT).run_id

    copy = get(stub, run_id)
    assert copy == expected_copy(source, copy)
    assert copy.cloned_from == DEFAULT
    assert get_retention(stub, run_id) == KEEP_2
    assert held_by(data, run_id) == NOTHING_HELD
    close(stub, run_id)
    delete_run(stub, run_id)
    assert get(stub, DEFAULT).tags == source.tags


def test_nothing_else_comes_along(stub: Stub, templates: Templates, data: Data) -> None:
    """No data, parent or children, and nothing that happened to the source."""
    parent = create(stub).run_id
    source = create(stub, parent=parent).run_id
    child = create(stub, parent=source).run_id
    fill(data, source)
    pause(stub, source)
    resume(stub, source)
    fail(stub, source, "an error of the source")
    held, before = held_by(data, source), get(stub, source)

    run_id = clone(templates, source).run_id

    copy = get(stub, run_id)
    assert not copy.HasField("parent_run_id")
    assert not copy.HasField("error")
    assert not copy.HasField("end_time")
    assert copy.outcome == pb.RUN_STATE_UNSPECIFIED
    assert children(stub, parent) == [source]
    assert children(stub, source) == [child]
    assert children(stub, run_id) == []
    assert held_by(data, run_id) == NOTHING_HELD
    assert held_by(data, source) == held
    assert get(stub, source) == before
    receipt = delete_run(stub, run_id).receipt
    assert receipt == pb.DeleteReceipt()
    assert held_by(data, source) == held


def test_a_copy_is_found_by_all_that_it_has(stub: Stub, templates: Templates) -> None:
    """It is listed, counted, and searched by, also when its source is out of sight."""
    source = create(stub, tags=["t"], metadata={"k": "source_word"}).run_id
    archive(stub, source)

    run_id = clone(templates, source, metadata={"j": "request_word"}).run_id

    assert list_ids(stub) == [run_id, DEFAULT]
    assert count(stub) == 2
    assert by_tag(stub, "t") == [run_id]
    assert search_ids(stub, "source_word") == search_ids(stub, "request_word") == [run_id]


def test_a_copy_goes_its_own_way(stub: Stub, templates: Templates) -> None:
    """What is done to one of both leaves the other; the source stays named when it is gone."""
    source = create(stub, tags=["t"], metadata={"k": 1}).run_id
    run_id = clone(templates, source).run_id
    copy = get(stub, run_id)

    update(stub, source, {"k": 2})
    add_tags(stub, source, "u")
    set_retention(stub, source, KEEP_2)
    close(stub, source)
    assert get(stub, run_id) == copy
    assert get_retention(stub, run_id) == KEEP_ALL

    before = get(stub, source)
    update(stub, run_id, {"k": 3})
    close(stub, run_id)
    archive(stub, run_id)
    assert get(stub, source) == before

    delete_run(stub, source)
    assert get(stub, run_id).cloned_from == source
    create(stub, run_id=source)
    assert get(stub, run_id).cloned_from == source


def test_a_copy_of_a_copy(stub: Stub, templates: Templates) -> None:
    """Names the run that it was copied from, and not that one's source."""
    first = create(stub, tags=["t"]).run_id
    second = clone(templates, first).run_id

    third = clone(templates, second).run_id

    assert get(stub, third).cloned_from == second
    assert list(get(stub, third).tags) == ["t"]


def test_only_copies_name_a_source(stub: Stub, templates: Templates) -> None:
    """No other run has the field, and every view but the id alone has it."""
    put(templates)
    others = [
        create(stub).run_id,
        create(stub, parent=DEFAULT).run_id,
        create_from(templates).run_id,
        DEFAULT,
    ]
    source = others[0]
    run_id = clone(templates, source).run_id

    assert not any(get(stub, other).HasField("cloned_from") for other in others)
    basic = stub.GetRun(pb.GetRunRequest(run_id=run_id, view=pb.RUN_VIEW_BASIC)).run
    bare = stub.GetRun(pb.GetRunRequest(run_id=run_id, view=pb.RUN_VIEW_ID_ONLY)).run
    assert (basic.cloned_from, bare) == (source, pb.Run(run_id=run_id))
    assert stub.ListRuns(pb.ListRunsRequest(page_size=1)).runs[0].cloned_from == source


# Metadata.


@pytest.mark.parametrize(("of_source", "patch", "merged"), MERGES, ids=str)
def test_metadata_is_merged_into_the_sources(
    stub: Stub, templates: Templates, of_source: Any, patch: Any, merged: Any
) -> None:
    """By RFC 7396; the source stays as it is."""
    source = create(stub, metadata=of_source)

    run = get(stub, clone(templates, source.run_id, metadata=patch).run_id)

    assert run.HasField("metadata") == (merged is not None)
    assert run.metadata == struct(merged or {})
    assert get(stub, source.run_id) == source


@IN_MEMORY
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_bound_of_merged_metadata(stub: Stub, templates: Templates, over: int) -> None:
    """The refusal names the copy; nothing is created."""
    half = METADATA_BYTES_MAX // 2
    source = stub.CreateRun(pb.CreateRunRequest(metadata=_sized("a", half))).run.run_id
    patch = dict(_sized("b", half + over))
    before = everything(stub, templates)

    if over <= 0:
        clone(templates, source, metadata=patch, new_run_id=UNKNOWN_ID)
        assert get(stub, UNKNOWN_ID).metadata.ByteSize() == METADATA_BYTES_MAX + over
        return
    check_refused(
        lambda: clone(templates, source, metadata=patch, new_run_id=UNKNOWN_ID),
        Code.FAILED_PRECONDITION,
        "LIMIT_EXCEEDED",
        runId=UNKNOWN_ID,
        limit="bytes of metadata",
        maximum=str(METADATA_BYTES_MAX),
    )
    assert everything(stub, templates) == before


def _sized(key: str, size: int) -> Struct:
    """Return an object with one key, of exactly so many bytes encoded, above 20,000."""
    overhead = struct({key: "x" * 20_000}).ByteSize() - 20_000
    made = struct({key: "x" * (size - overhead)})
    assert made.ByteSize() == size
    return made


def test_the_largest_run_is_copied(stub: Stub, templates: Templates) -> None:
    """All its tags and all its metadata."""
    tags = [f"tag {number}" for number in range(TAGS_MAX)]
    request = pb.CreateRunRequest(tags=tags, metadata=_sized("a", METADATA_BYTES_MAX))
    source = stub.CreateRun(request).run

    copy = get(stub, clone(templates, source.run_id).run_id)

    assert copy == expected_copy(source, copy)


# Ids.


def test_the_id_of_the_copy(stub: Stub, templates: Templates) -> None:
    """The given one in its canonical form, or one that the server makes."""
    source = create(stub).run_id

    assert clone(templates, source, new_run_id=f"urn:uuid:{UNKNOWN_ID.upper()}").run_id == UNKNOWN_ID
    made = {clone(templates, source.replace("-", "")).run_id for _ in range(3)}

    assert len(made) == 3
    assert set(list_ids(stub)) == {*made, source, UNKNOWN_ID, DEFAULT}


def test_an_id_that_is_taken(stub: Stub, templates: Templates) -> None:
    """By another run, by the source itself, and always `default`."""
    source, other = create(stub).run_id, create(stub).run_id
    archive(stub, other)
    before = everything(stub, templates)

    for run_id in (other, source, DEFAULT):
        refusal = check_refused(
            lambda run_id=run_id: clone(templates, source, new_run_id=run_id),
            Code.ALREADY_EXISTS,
            "RUN_ALREADY_EXISTS",
            runId=run_id,
        )
        assert refusal.revision == before[0]
    assert everything(stub, templates) == before


def test_a_source_that_is_not_there(stub: Stub, templates: Templates) -> None:
    """Is refused, whether it never was or was deleted."""
    gone = create(stub).run_id
    delete_run(stub, gone)

    for run_id in (UNKNOWN_ID, gone):
        check_refused(
            lambda run_id=run_id: clone(templates, run_id), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=run_id
        )
    assert list_ids(stub) == [DEFAULT]


@IN_MEMORY
@pytest.mark.parametrize("bad", ["", "nonsense", "00000000-0000-0000-0000-000000000000"])
def test_ids_that_are_none(stub: Stub, templates: Templates, bad: str) -> None:
    """Of the source, which must be named, and of the copy."""
    source = create(stub).run_id
    for run_id, new_run_id, field in ((bad, None, "run_id"), (source, bad, "new_run_id")):
        check_refused(
            lambda run_id=run_id, new_run_id=new_run_id: clone(templates, run_id, new_run_id=new_run_id),
            Code.INVALID_ARGUMENT,
            "INVALID_RUN_ID",
            field=field,
        )


@ON_DISK
def test_copies_persist_across_restart(stub: Stub, templates: Templates, restart: Restart) -> None:
    """With their source's name and their policy."""
    source = create(stub, tags=["t"], metadata={"k": 1}).run_id
    set_retention(stub, source, KEEP_2)
    copy = get(stub, clone(templates, source).run_id)
    delete_run(stub, source)

    again = restart()

    assert get(again, copy.run_id) == copy
    assert get_retention(again, copy.run_id) == KEEP_2
