"""Verifying histories, templates and what is left of a migration: each fault is found where it is."""

import pytest

from runindex_server.schema import insight_keys, keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.encoding import encode_u64
from runindex_server.schema.history import Transition, encode_transition
from runindex_server.schema.run import Run, RunState, run_id_text
from tests.support.drifts import found_in, put
from tests.support.search_world import World, make_run

ACTIVE, PAUSED, COMPLETED = RunState.ACTIVE, RunState.PAUSED, RunState.COMPLETED
NAME = keys.TRANSITION.name


def world_of_histories() -> World:
    """Return a run that was never changed, one that was paused and resumed, and one that was closed then."""
    world = World(make_run(1), make_run(2), make_run(3))
    for number, states in ((2, (PAUSED, ACTIVE)), (3, (PAUSED, ACTIVE, COMPLETED))):
        for version, state in enumerate(states, start=2):
            world.change(number, state=state, version=version)
    return world


def key_of(run: Run, version: int) -> bytes:
    """Return the key of a transition."""
    return insight_keys.transition(run.run_id, run.generation, version)


def row(key: bytes, from_state: RunState | None, to_state: RunState) -> dict[bytes, bytes]:
    """Return a transition."""
    version = insight_keys.split_transition(key)[2]
    transition = Transition(from_state=from_state, to_state=to_state, time_us=1, version=version)
    return {key: encode_transition(key, transition)}


def test_sound_histories_have_no_drift() -> None:
    assert found_in(world_of_histories()) == []


@pytest.mark.parametrize(
    ("number", "missing", "told"),
    [(2, 2, 3), (2, 3, 2), (3, 2, 3), (3, 3, 4), (3, 4, 3)],
)
def test_a_transition_that_is_missing_is_told_by_its_neighbour(number: int, missing: int, told: int) -> None:
    world = world_of_histories()
    run = world.runs[number]
    put(world, {key_of(run, missing): None})
    assert found_in(world) == [(NAME, key_of(run, told))]


def test_a_whole_history_that_is_missing_is_found() -> None:
    world = world_of_histories()
    of_active, of_closed = world.runs[2], world.runs[3]
    put(world, dict.fromkeys(key_of(of_active, version) for version in (2, 3)))
    # It is as it was created, and nothing tells that it ever was not.
    assert found_in(world) == []
    put(world, dict.fromkeys(key_of(of_closed, version) for version in (2, 3, 4)))
    assert found_in(world) == [(NAME, key_of(of_closed, 4))]


def test_a_history_that_is_missing_is_not_made_up_for_by_another() -> None:
    world = world_of_histories()
    one, other = world.runs[1], world.runs[3]
    # As many histories as there should be, each of a run that has one.
    put(world, dict.fromkeys(key_of(other, version) for version in (2, 3, 4)))
    put(world, row(key_of(one, 1), ACTIVE, ACTIVE))
    assert found_in(world) == [(NAME, key_of(other, 4))]


@pytest.mark.parametrize(
    ("version", "from_state", "to_state", "is_sound"),
    [
        (2, None, PAUSED, True),
        (3, None, ACTIVE, True),
        (2, PAUSED, PAUSED, False),
        (3, ACTIVE, ACTIVE, False),
    ],
)
def test_a_transition_begins_where_the_one_before_it_ended(
    version: int, from_state: RunState | None, to_state: RunState, *, is_sound: bool
) -> None:
    world = world_of_histories()
    key = key_of(world.runs[3], version)
    put(world, row(key, from_state, to_state))
    assert found_in(world) == ([] if is_sound else [(NAME, key)])


def test_a_history_that_ends_in_another_state_is_found() -> None:
    world = world_of_histories()
    key = key_of(world.runs[3], 4)
    put(world, row(key, ACTIVE, RunState.FAILED))
    assert found_in(world) == [(NAME, key)]
    world = world_of_histories()
    key = key_of(world.runs[2], 3)
    put(world, row(key, PAUSED, COMPLETED))
    assert found_in(world) == [(NAME, key)]


def test_a_version_that_the_run_has_not_reached_is_found() -> None:
    world = world_of_histories()
    run = world.runs[3]
    put(world, row(key_of(run, run.version + 1), COMPLETED, COMPLETED))
    assert found_in(world) == [(NAME, key_of(run, run.version + 1))]


def test_a_transition_to_no_state_is_found() -> None:
    world = world_of_histories()
    key = key_of(world.runs[3], 3)
    put(world, {key: records.seal(key, pb.Transition(time_us=1).SerializeToString())})
    assert found_in(world) == [(NAME, key)]


def test_a_damaged_transition_draws_no_further_drifts() -> None:
    for version in (2, 3, 4):
        world = world_of_histories()
        key = key_of(world.runs[3], version)
        put(world, {key: b"x"})
        assert found_in(world) == [(NAME, key)]


def test_a_history_of_no_run_is_found_and_one_of_a_deleted_run_is_not() -> None:
    world = world_of_histories()
    run = world.runs[3]
    earlier = insight_keys.transition(run.run_id, run.generation + 1, 7)
    # A part of it is erased already.
    put(world, row(earlier, PAUSED, ACTIVE))
    assert found_in(world) == [(NAME, earlier)]
    put(world, {keys.tombstone(run.run_id, run.generation + 1): encode_u64(1)})
    assert found_in(world) == []


def test_the_history_of_a_damaged_record_is_not_judged() -> None:
    world = world_of_histories()
    record = keys.run(world.runs[3].run_id)
    put(world, {record: b"x", key_of(world.runs[3], 3): None})
    assert found_in(world) == [(keys.RUN.name, record)]
    # Nor does it stand for the one of another run that is missing.
    world.change(2, state=COMPLETED, version=4)
    assert found_in(world) == [(keys.RUN.name, record)]
    put(world, dict.fromkeys(key_of(world.runs[2], version) for version in (2, 3, 4)))
    assert found_in(world) == [(keys.RUN.name, record), (NAME, key_of(world.runs[2], 4))]


def test_a_record_that_is_framed_well_and_says_nothing_sound_is_told_alone() -> None:
    world = world_of_histories()
    run = world.runs[3]
    record = keys.run(run.run_id)
    head = run_id_text(run.run_id).encode() + b"\x10"
    payload = records.unseal(record, records.encode_run(run))
    assert payload.count(head + bytes([COMPLETED])) == 1
    in_no_state = payload.replace(head + bytes([COMPLETED]), head + b"\x00")
    put(world, {record: records.seal(record, in_no_state)})
    assert found_in(world) == [(keys.RUN.name, record)]


# What stands by itself.


def test_what_is_left_of_a_migration_is_found() -> None:
    key = keys.MIGRATION.prefix
    world = World(make_run(1))
    for value in (b"x", records.seal(key, pb.Migration(revision=1).SerializeToString())):
        put(world, {key: value})
        assert found_in(world) == [(keys.MIGRATION.name, key)]


def test_a_template_under_another_name_is_found() -> None:
    world = World(make_run(1))
    key, other = insight_keys.template("one"), insight_keys.template("other")
    value = records.seal(key, pb.Template(version=1).SerializeToString())
    put(world, {key: value})
    assert found_in(world) == []
    put(world, {key: None, other: value})
    assert found_in(world) == [(keys.TEMPLATE.name, other)]
