"""Retention of runs from templates and of copies: as if their policy had been set by a call of its own."""

from collections.abc import Iterator
from typing import Any

import pytest

from runindex.v1 import maintenance_pb2
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex_server.schema.run import RetentionPolicy
from tests.support.calls import (
    DEFAULT,
    Stub,
    close,
    create,
    get,
    get_retention,
    list_ids,
    micros,
    set_retention,
)
from tests.support.clock import MINUTE_US, SECOND_US, ManualClock
from tests.support.consistency import check_store
from tests.support.data_calls import (
    Data,
    append_many,
    history,
    sequences,
)
from tests.support.data_calls import put as put_value
from tests.support.server import LoopThread, RunningServer, StartServer
from tests.support.template_methods import (
    DELETE_AFTER_MINUTE,
    KEEP_2,
    KEEP_ALL,
    KEEP_MINUTE,
    POLICIES,
    Templates,
    clone,
    create_from,
    put,
)


@pytest.fixture(autouse=True)
def sound(loop: LoopThread, server: RunningServer) -> Iterator[None]:
    """Check the store after each test."""
    yield
    loop.run(check_store(server.store))


@pytest.fixture
def maintenance(channel: Any) -> MaintenanceStub:
    """Return the generated stub of Maintenance."""
    return MaintenanceStub(channel)


def compact(maintenance: MaintenanceStub) -> list[maintenance_pb2.CompactedRun]:
    """Compact, and return what went of each run."""
    *runs, _ = maintenance.Compact(maintenance_pb2.CompactRequest())
    return [piece.run for piece in runs]


# Of runs from templates.


@pytest.mark.parametrize("of_request", [None, *POLICIES])
@pytest.mark.parametrize("of_template", [None, *POLICIES])
def test_the_policy_of_the_run(
    stub: Stub,
    templates: Templates,
    of_template: pb.RetentionPolicy | None,
    of_request: pb.RetentionPolicy | None,
) -> None:
    """The request's, or else the template's, of whatever kinds they are; version 1 all the same."""
    put(templates, retention=of_template)

    run_id = create_from(templates, retention=of_request).run_id

    assert get_retention(stub, run_id) == (of_request or of_template or KEEP_ALL)
    assert get(stub, run_id).version == 1


@pytest.mark.parametrize("by_request", [False, True])
def test_data_of_the_run_is_trimmed(
    stub: Stub, templates: Templates, data: Data, maintenance: MaintenanceStub, *, by_request: bool
) -> None:
    """By its policy, and no earlier than there is something to trim."""
    put(templates, retention=KEEP_ALL if by_request else KEEP_2)
    run_id = create_from(templates, retention=KEEP_2 if by_request else None).run_id
    assert compact(maintenance) == []
    for number in range(5):
        put_value(data, run_id, "k", number)
    append_many(data, run_id, "s", 5)

    (run,) = compact(maintenance)

    assert (run.run_id, run.policy, run.is_default_policy) == (run_id, KEEP_2, False)
    assert [version.version for version in history(data, run_id, "k")] == [5, 4]
    assert sequences(data, run_id) == [3, 4]
    assert get(stub, run_id).version == 1


def test_old_data_of_the_run_is_dropped(
    templates: Templates, data: Data, maintenance: MaintenanceStub, clock: ManualClock
) -> None:
    """Once it was superseded as long ago as the policy says."""
    put(templates, retention=KEEP_MINUTE)
    run_id = create_from(templates).run_id
    for number in range(3):
        put_value(data, run_id, "k", number)
    clock.advance(MINUTE_US - SECOND_US)
    assert compact(maintenance) == []
    assert len(history(data, run_id, "k")) == 3

    clock.advance(2 * SECOND_US)
    compact(maintenance)

    assert [version.version for version in history(data, run_id, "k")] == [3]


def test_the_run_is_deleted_after_its_end(
    stub: Stub, templates: Templates, maintenance: MaintenanceStub, clock: ManualClock
) -> None:
    """And not while it has none."""
    put(templates, retention=DELETE_AFTER_MINUTE)
    ended, active = create_from(templates).run_id, create_from(templates).run_id
    close(stub, ended)
    assert micros(get(stub, ended).expire_time) == micros(get(stub, ended).end_time) + MINUTE_US
    clock.advance(MINUTE_US + SECOND_US)

    compact(maintenance)

    assert list_ids(stub) == [active, DEFAULT]


def test_keep_all_is_a_policy_of_its_own(start: StartServer, loop: LoopThread, clock: ManualClock) -> None:
    """It keeps what the store-wide default would delete; a template without a policy does not."""
    server = start(default_retention=RetentionPolicy(delete_after_us=MINUTE_US))
    stub, templates = server.stub(), server.templates_stub()
    put(templates, "kept", retention=KEEP_ALL)
    put(templates, "bare")
    kept, gone = create_from(templates, "kept").run_id, create_from(templates, "bare").run_id
    also_kept = create_from(templates, "bare", retention=KEEP_ALL).run_id
    for run_id in (kept, gone, also_kept):
        close(stub, run_id)
    # Well past the time at which the schedule is due.
    for _ in range(20):
        clock.advance(MINUTE_US)
        server.run_jobs()

    assert set(list_ids(stub)) == {kept, also_kept, DEFAULT}
    loop.run(check_store(server.store))


# Of copies.


def test_data_of_a_copy_is_trimmed(
    stub: Stub, templates: Templates, data: Data, maintenance: MaintenanceStub
) -> None:
    """By the policy that came along, though the source has another one by now."""
    source = create(stub).run_id
    set_retention(stub, source, KEEP_2)
    run_id = clone(templates, source).run_id
    set_retention(stub, source, KEEP_ALL)
    for each in (source, run_id):
        for number in range(5):
            put_value(data, each, "k", number)
        append_many(data, each, "s", 5)

    *runs, _ = maintenance.Compact(maintenance_pb2.CompactRequest())

    assert [(piece.run.run_id, piece.run.policy) for piece in runs] == [(run_id, KEEP_2)]
    assert [version.version for version in history(data, run_id, "k")] == [5, 4]
    assert len(history(data, source, "k")) == 5


def test_a_copy_is_deleted_after_its_own_end(
    stub: Stub, templates: Templates, maintenance: MaintenanceStub, clock: ManualClock
) -> None:
    """And not after that of the source."""
    source = create(stub).run_id
    set_retention(stub, source, DELETE_AFTER_MINUTE)
    close(stub, source)
    ended, active = clone(templates, source).run_id, clone(templates, source).run_id
    assert not get(stub, active).HasField("expire_time")
    clock.advance(MINUTE_US + SECOND_US)
    list(maintenance.Compact(maintenance_pb2.CompactRequest()))
    assert list_ids(stub) == [active, ended, DEFAULT]

    close(stub, ended)
    clock.advance(MINUTE_US + SECOND_US)
    list(maintenance.Compact(maintenance_pb2.CompactRequest()))

    assert list_ids(stub) == [active, DEFAULT]


def test_a_copy_has_a_policy_of_its_own_when_its_source_has(
    start: StartServer, loop: LoopThread, clock: ManualClock
) -> None:
    """KeepAll keeps it from the store-wide default; without one, the default acts on it too."""
    server = start(default_retention=RetentionPolicy(delete_after_us=MINUTE_US))
    stub, templates = server.stub(), server.templates_stub()
    kept, gone = create(stub).run_id, create(stub).run_id
    set_retention(stub, kept, KEEP_ALL)
    copies = [clone(templates, run_id).run_id for run_id in (kept, gone)]
    for run_id in copies:
        close(stub, run_id)
    # Well past the time at which the schedule is due.
    for _ in range(20):
        clock.advance(MINUTE_US)
        server.run_jobs()

    assert set(list_ids(stub)) == {kept, gone, copies[0], DEFAULT}
    loop.run(check_store(server.store))
