"""Runs and what they hold: which runs take data, what a write moves, and what each life of a run has."""

from functools import partial
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from tests.support.calls import (
    DEFAULT,
    UNKNOWN_ID,
    Stub,
    archive,
    cancel,
    check_refused,
    close,
    create,
    delete,
    fail,
    get,
    list_ids,
    micros,
    pause,
    search_ids,
    update,
)
from tests.support.clock import DAY_US, MINUTE_US, SECOND_US, START_US, ManualClock
from tests.support.data_calls import (
    NOTHING_HELD,
    Data,
    append,
    draft,
    fill,
    get_value,
    held_by,
    put,
    revision_of,
    value,
)
from tests.support.data_methods import KINDS, METHODS, MUTATIONS, READS, build, call, give, target
from tests.support.server import RunningServer
from tests.support.stores import IN_MEMORY

every_method: Final = pytest.mark.parametrize("name", METHODS)
every_mutation: Final = pytest.mark.parametrize("name", MUTATIONS)
every_read: Final = pytest.mark.parametrize("name", READS)

REVISION_NUMBER: Final = 15


# Which runs.


@every_method
def test_an_unknown_run_is_refused(stub: Stub, data: Data, name: str) -> None:
    """One that never was, one that was deleted, and one that is there no more though it held something."""
    never = create(stub).run_id
    delete(stub, never)
    held = target(stub, data)
    revision = delete(stub, held).revision

    for run_id in (UNKNOWN_ID, never, held):
        refusal = check_refused(
            lambda run_id=run_id: call(data, name, build(name, run_id)),
            Code.NOT_FOUND,
            "RUN_NOT_FOUND",
            runId=run_id,
        )
        assert refusal.revision == revision
    assert revision_of(stub) == revision


@IN_MEMORY
@every_method
def test_what_is_no_run_id_is_refused(data: Data, name: str) -> None:
    """By every method, before the store is asked."""
    for bad in ("", "nonsense", "00000000-0000-0000-0000-000000000000", UNKNOWN_ID + "0"):
        check_refused(
            partial(call, data, name, build(name, bad)),
            Code.INVALID_ARGUMENT,
            "INVALID_RUN_ID",
            field="run_id",
        )


@every_method
def test_every_spelling_of_a_run_id_is_one_run(stub: Stub, data: Data, name: str) -> None:
    """As everywhere."""
    for spell in (str.upper, "{{{}}}".format, "urn:uuid:{}".format, lambda text: text.replace("-", "")):
        run_id = target(stub, data)
        answer = call(data, name, build(name, spell(run_id)))
        assert answer.revision == revision_of(stub)


@every_method
def test_every_call_works_until_the_run_is_archived(stub: Stub, data: Data, name: str) -> None:
    """Finished runs take late data."""
    for way in (pause, close, fail, cancel):
        run_id = target(stub, data)
        way(stub, run_id)
        run, before, revision = get(stub, run_id), held_by(data, run_id), revision_of(stub)

        answer = call(data, name, build(name, run_id))

        assert (answer.revision > revision) == (name in MUTATIONS)
        assert (held_by(data, run_id) != before) == (name in MUTATIONS)
        assert get(stub, run_id) == run


@every_method
def test_an_archived_run_is_read_only(stub: Stub, data: Data, name: str) -> None:
    """It refuses writes, with its id and the revision."""
    run_id = target(stub, data)
    archive(stub, run_id)
    before, revision = held_by(data, run_id), revision_of(stub)
    request = build(name, run_id)

    if name in READS:
        assert call(data, name, request).revision == revision
    else:
        refusal = check_refused(
            lambda: call(data, name, request), Code.FAILED_PRECONDITION, "RUN_ARCHIVED", runId=run_id
        )
        assert refusal.metadata["operation"]
        assert refusal.revision == revision
    assert (revision_of(stub), held_by(data, run_id)) == (revision, before)


@every_method
def test_the_default_run_holds_data_too(stub: Stub, data: Data, name: str) -> None:
    """As any other."""
    give(data, DEFAULT)
    before = held_by(data, DEFAULT)

    call(data, name, build(name, DEFAULT))

    assert (held_by(data, DEFAULT) != before) == (name in MUTATIONS)


def test_the_default_run_keeps_what_it_holds(server: RunningServer, stub: Stub, data: Data) -> None:
    """It cannot be deleted, so nothing of it goes; and it shares nothing with other runs."""
    fill(data, DEFAULT)
    before = held_by(data, DEFAULT)
    other = create(stub).run_id
    fill(data, other)

    check_refused(lambda: delete(stub, DEFAULT), Code.FAILED_PRECONDITION, "DEFAULT_RUN_PROTECTED")
    delete(stub, other)
    server.run_jobs()

    assert held_by(data, DEFAULT) == before


# Revisions, versions and times.


@every_method
def test_every_answer_has_the_revision_at_the_same_place(name: str) -> None:
    """Field 15 of every response."""
    field = getattr(pb, f"{name}Response").DESCRIPTOR.fields_by_name["revision"]

    assert (field.number, field.type) == (REVISION_NUMBER, field.TYPE_UINT64)


@every_mutation
def test_a_write_makes_a_revision_of_the_store_alone(
    stub: Stub, data: Data, clock: ManualClock, name: str
) -> None:
    """The run's version, revision and update time stay; in the same minute all of the record does."""
    run_id = target(stub, data)
    run, before = get(stub, run_id), revision_of(stub)
    clock.advance(SECOND_US)

    answer = call(data, name, build(name, run_id))

    assert answer.revision > before
    assert revision_of(stub) == answer.revision
    assert get(stub, run_id) == run


@every_mutation
def test_a_write_is_a_sign_of_life(stub: Stub, data: Data, clock: ManualClock, name: str) -> None:
    """To the minute; nothing else of the run moves, and other runs do not."""
    run_id, other = target(stub, data), target(stub, data)
    run, other_run = get(stub, run_id), get(stub, other)
    now_us = clock.advance(MINUTE_US + 7)

    call(data, name, build(name, run_id))

    after = get(stub, run_id)
    assert micros(after.activity_time) == now_us - now_us % MINUTE_US > micros(run.activity_time)
    run.activity_time.CopyFrom(after.activity_time)
    assert after == run
    assert get(stub, other) == other_run


def test_the_sign_of_life_moves_with_the_minute(stub: Stub, data: Data, clock: ManualClock) -> None:
    """At its first microsecond, and never back."""
    run_id = create(stub).run_id
    minute_us = START_US - START_US % MINUTE_US
    for now_us in (minute_us + MINUTE_US - 1, minute_us + MINUTE_US, minute_us + 3 * MINUTE_US - 1):
        clock.set(now_us)
        put(data, run_id, "k", now_us)
        assert micros(get(stub, run_id).activity_time) == now_us - now_us % MINUTE_US
    clock.advance(-DAY_US)
    append(data, run_id, draft("s", 1))
    assert micros(get(stub, run_id).activity_time) == minute_us + 2 * MINUTE_US


@every_read
def test_reads_move_nothing(stub: Stub, data: Data, clock: ManualClock, name: str) -> None:
    """They see the newest revision, whichever run it is of, and are no sign of life."""
    run_id = target(stub, data)
    run = get(stub, run_id)
    other = create(stub).run_id
    clock.advance(DAY_US)

    for make in (
        lambda: put(data, other, "k", 1).revision,
        lambda: create(stub).revision,
        lambda: append(data, DEFAULT, draft("s", 1)).revision,
    ):
        made = make()
        for _ in range(2):
            assert call(data, name, build(name, run_id)).revision == made
    assert get(stub, run_id) == run
    assert revision_of(stub) == made


@every_mutation
def test_times_are_the_stores(stub: Stub, data: Data, clock: ManualClock, name: str) -> None:
    """The wall clock's to the microsecond; never before a time that was issued."""
    run_id = target(stub, data)
    now_us = clock.advance(SECOND_US)
    answer = call(data, name, build(name, run_id))
    time = answer.append_time if name == "AppendEvents" else answer.write_time
    assert micros(time) == now_us

    give(data, run_id)
    clock.advance(-DAY_US)
    again = call(data, name, build(name, run_id))
    later = again.append_time if name == "AppendEvents" else again.write_time
    assert micros(later) >= now_us


def test_data_is_written_after_the_run_was_created(stub: Stub, data: Data, clock: ManualClock) -> None:
    """Also when the wall clock stands still, or was set back."""
    for step_us in (0, 0, -DAY_US):
        clock.advance(step_us)
        run = create(stub)
        written = put(data, run.run_id, "k", 1)
        assert micros(written.write_time) >= micros(run.create_time)
        assert written.revision > run.revision


@every_mutation
def test_a_refusal_makes_no_revision(stub: Stub, data: Data, name: str) -> None:
    """And says the one at which it was decided."""
    run_id = target(stub, data)
    archive(stub, run_id)
    newest = create(stub).revision

    refusal = check_refused(
        lambda: call(data, name, build(name, run_id)), Code.FAILED_PRECONDITION, "RUN_ARCHIVED"
    )

    assert refusal.revision == newest == revision_of(stub)


def test_the_run_can_be_changed_beside_its_data(stub: Stub, data: Data) -> None:
    """A writer of data does not stand in the way of a condition on the run."""
    run = create(stub)
    put(data, run.run_id, "k", 1)
    request = index_pb.PauseRunRequest(run_id=run.run_id, expected_version=run.version)

    assert stub.PauseRun(request).version == run.version + 1
    assert put(data, run.run_id, "k", 2, expected_version=1).version == 2
    assert get_value(data, run.run_id, "k").value == value(2)


def test_data_is_not_searched_and_not_listed(stub: Stub, data: Data) -> None:
    """What a run holds shows in no answer of RunIndex."""
    run_id = create(stub, tags=["t"], metadata={"k": "word"}).run_id
    before = [get(stub, run_id), stub.ListRuns(index_pb.ListRunsRequest()).runs]
    fill(data, run_id, mark="hidden")

    assert [get(stub, run_id), stub.ListRuns(index_pb.ListRunsRequest()).runs] == before
    for query in ("hidden", "hid*", "meta.mark:hidden"):
        assert search_ids(stub, query) == []
    assert search_ids(stub, "word") == [run_id]


# Lives.


@pytest.mark.parametrize("erased", [False, True])
def test_a_run_created_again_is_empty(server: RunningServer, stub: Stub, data: Data, *, erased: bool) -> None:
    """From the first moment, whether what was there has been erased by then or not."""
    run_id = create(stub).run_id
    fill(data, run_id)
    delete(stub, run_id)
    if erased:
        server.run_jobs()
    create(stub, run_id=run_id)

    assert held_by(data, run_id) == NOTHING_HELD
    for kind in KINDS.values():
        for name in ("k", "c", "d", "gone"):
            for version in (None, 1, 2):
                check_refused(
                    partial(kind.get, data, run_id, name, version),
                    Code.NOT_FOUND,
                    kind.missing,
                    runId=run_id,
                    **{kind.field: name},
                )


def test_each_life_starts_again(server: RunningServer, stub: Stub, data: Data) -> None:
    """At version 1, at sequence 0, at receipts of nothing; whatever is erased in between."""
    receipts = []
    for turn in range(3):
        create(stub, run_id=UNKNOWN_ID)
        assert put(data, UNKNOWN_ID, "k", turn, expected_version=0).version == 1
        assert append(data, UNKNOWN_ID, draft("s", turn)).first_sequence == 0
        receipts.append(delete(stub, UNKNOWN_ID).receipt)
        if turn:
            server.run_jobs()

    held_bytes = [value(turn).ByteSize() * 2 for turn in range(3)]
    assert receipts == [index_pb.DeleteReceipt(kv_keys=1, events=1, bytes=size) for size in held_bytes]
    assert list_ids(stub) == [DEFAULT]


def test_pausing_and_updating_leave_the_data(stub: Stub, data: Data) -> None:
    """A change of the run is none of what it holds."""
    run_id = create(stub).run_id
    fill(data, run_id)
    before = held_by(data, run_id)

    update(stub, run_id, {"k": 1})
    pause(stub, run_id)
    archive(stub, run_id)

    assert held_by(data, run_id) == before


def test_the_tables_leave_no_method_out() -> None:
    """All 17 are in one of them."""
    service: Any = pb.DESCRIPTOR.services_by_name["RunData"]

    assert sorted(METHODS) == sorted(method.name for method in service.methods)
    assert len(METHODS) == 17
