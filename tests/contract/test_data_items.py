"""What keys, state cells and documents have in common: versions, deletions, conditions."""

from functools import partial
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from tests.support.calls import DEFAULT, Stub, check_refused, create, micros
from tests.support.clock import HOUR_US, SECOND_US, ManualClock
from tests.support.data_calls import Data, get_document, json_value, revision_of, value
from tests.support.data_methods import DELETABLE, KINDS, Kind, build, call

every_kind: Final = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
every_deletable: Final = pytest.mark.parametrize("kind", DELETABLE.values(), ids=DELETABLE)

JSON: Final[dict[str, Any]] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "negative zero": -0.0,
    "the smallest number": 5e-324,
    "the largest number": 1.7976931348623157e308,
    "2^53": 2.0**53,
    "a fraction": -1.5,
    "no text": "",
    "text": "é 🚀 \x00 \u2028",
    "no elements": [],
    "no members": {},
    "elements": [None, [], {}, "", 0, [[True]]],
    "members": {"": 0, "a/b": {"~": [1]}, "🚀": None, "_strata_x": "not reserved here"},
}


@every_kind
def test_json_comes_back(stub: Stub, data: Data, kind: Kind) -> None:
    """All that JSON has, bit for bit, alone and in a list."""
    run_id = create(stub).run_id
    for name, held in JSON.items():
        kind.put(data, run_id, name, held)

    listed = call(data, kind.lists, build(kind.lists, run_id)).items

    assert {kind.name_of(item) for item in listed} == JSON.keys()
    for item in (*listed, *(kind.get(data, run_id, name) for name in JSON)):
        assert item.HasField("value")
        sent = kind.wrap(JSON[kind.name_of(item)]).SerializeToString(deterministic=True)
        assert item.value.SerializeToString(deterministic=True) == sent


@every_kind
def test_each_write_makes_the_next_version(stub: Stub, data: Data, clock: ManualClock, kind: Kind) -> None:
    """From 1, equal or not to the one before; each is kept, with the time at which it was written."""
    run_id = create(stub).run_id
    times = []
    for version, held in enumerate(["a", "b", "b", "a"], start=1):
        times.append(clock.advance(SECOND_US))
        answer = kind.put(data, run_id, "n", held)
        assert (answer.version, micros(answer.write_time)) == (version, times[-1])
        current = kind.get(data, run_id, "n")
        assert (current.version, current.write_time) == (answer.version, answer.write_time)
        assert current.value == kind.wrap(held)

    for version, held in enumerate(["a", "b", "b", "a"], start=1):
        old = kind.get(data, run_id, "n", version)
        assert (old.version, old.value) == (version, kind.wrap(held))
        assert micros(old.write_time) == times[version - 1]


@every_kind
def test_versions_are_each_things_own(stub: Stub, data: Data, kind: Kind) -> None:
    """Neither another name, nor the same name of another kind or in another run, moves them."""
    run_id, other_run = create(stub).run_id, create(stub).run_id
    for _ in range(3):
        for other in KINDS.values():
            if other is not kind:
                other.put(data, run_id, "n", "another kind")
        kind.put(data, run_id, "m", "another name")
        kind.put(data, other_run, "n", "another run")
        kind.put(data, DEFAULT, "n", "the default run")

    assert kind.put(data, run_id, "n", "first").version == 1
    assert kind.get(data, run_id, "m").version == kind.get(data, other_run, "n").version == 3
    assert kind.get(data, run_id, "n").value == kind.wrap("first")


def check_missing(
    stub: Stub, data: Data, kind: Kind, run_id: str, name: str, version: int | None = None
) -> None:
    """Check that a thing, or a version of it, is refused as not there, with its name and the revision."""
    refusal = check_refused(
        lambda: kind.get(data, run_id, name, version),
        Code.NOT_FOUND,
        kind.missing,
        runId=run_id,
        **{kind.field: name},
    )
    assert refusal.revision == revision_of(stub)


@every_kind
def test_what_was_never_written_is_not_there(stub: Stub, data: Data, kind: Kind) -> None:
    """Neither under a name like that of another, nor as a kind that it is not."""
    run_id = create(stub).run_id
    for other in KINDS.values():
        if other is not kind:
            other.put(data, run_id, "n", 1)
    check_missing(stub, data, kind, run_id, "n")
    kind.put(data, run_id, "n", 1)

    for name in ("N", "n ", "nn", "o", "n/"):
        check_missing(stub, data, kind, run_id, name)
        check_missing(stub, data, kind, run_id, name, 1)


@every_kind
def test_versions_that_were_never_made_are_not_there(stub: Stub, data: Data, kind: Kind) -> None:
    """0 is no version at all."""
    run_id = create(stub).run_id
    for held in range(2):
        kind.put(data, run_id, "n", held)

    for version in (3, 4, 2**32, 2**64 - 1):
        check_missing(stub, data, kind, run_id, "n", version)
    check_refused(
        lambda: kind.get(data, run_id, "n", 0), Code.INVALID_ARGUMENT, "INVALID_FIELD", field="version"
    )


# Deletion.


@every_deletable
def test_a_deletion_is_a_version(stub: Stub, data: Data, clock: ManualClock, kind: Kind) -> None:
    """It holds nothing, and has a time; what was there before can still be read by its version."""
    run_id = create(stub).run_id
    written = kind.put(data, run_id, "n", "first")
    deleted_us = clock.advance(HOUR_US)

    answer = kind.remove(data, run_id, "n")

    assert (answer.version, micros(answer.write_time)) == (2, deleted_us)
    check_missing(stub, data, kind, run_id, "n")
    assert kind.names(data, run_id) == []
    deletion = kind.get(data, run_id, "n", 2)
    assert (deletion.deleted, deletion.version, micros(deletion.write_time)) == (True, 2, deleted_us)
    assert not deletion.HasField("value")
    first = kind.get(data, run_id, "n", 1)
    assert (first.deleted, first.value) == (False, kind.wrap("first"))
    assert first.write_time == written.write_time


@every_deletable
def test_versions_go_on_after_a_deletion(stub: Stub, data: Data, kind: Kind) -> None:
    """They never start again within a run's life, and every one of them is kept."""
    run_id = create(stub).run_id
    for turn in range(3):
        assert kind.put(data, run_id, "n", turn).version == 2 * turn + 1
        assert kind.remove(data, run_id, "n").version == 2 * turn + 2
    assert kind.put(data, run_id, "n", "again").version == 7

    found = [kind.get(data, run_id, "n", version) for version in range(1, 8)]
    assert [item.deleted for item in found] == [False, True] * 3 + [False]
    assert [item.value for item in found[::2]] == [kind.wrap(held) for held in (0, 1, 2, "again")]
    assert kind.names(data, run_id) == ["n"]


@every_deletable
def test_what_is_not_there_cannot_be_deleted(stub: Stub, data: Data, kind: Kind) -> None:
    """Neither what never was, nor what was deleted; no version and no revision comes of it."""
    run_id = create(stub).run_id
    kind.put(data, run_id, "n", 1)
    kind.remove(data, run_id, "n")
    before = revision_of(stub)

    for name in ("n", "never"):
        refusal = check_refused(
            lambda name=name: kind.remove(data, run_id, name),
            Code.NOT_FOUND,
            kind.missing,
            runId=run_id,
            **{kind.field: name},
        )
        assert refusal.revision == before
    assert revision_of(stub) == before
    assert kind.put(data, run_id, "n", 2).version == 3
    assert kind.put(data, run_id, "never", 2).version == 1


# Conditions.


def check_mismatch(stub: Stub, change: Any, run_id: str, expected: int, current: int) -> None:
    """Check that a write is refused for its expected version, with both versions and the revision."""
    refusal = check_refused(
        change,
        Code.ABORTED,
        "VERSION_MISMATCH",
        runId=run_id,
        expectedVersion=str(expected),
        currentVersion=str(current),
    )
    assert refusal.revision == revision_of(stub)


@every_kind
def test_a_write_on_the_expected_version(stub: Stub, data: Data, kind: Kind) -> None:
    """It is taken once; every other version is refused, and changes nothing."""
    run_id = create(stub).run_id
    assert kind.put(data, run_id, "n", "a", expected_version=0).version == 1
    assert kind.put(data, run_id, "n", "b", expected_version=1).version == 2

    for expected in (0, 1, 3, 2**64 - 1):
        change = partial(kind.put, data, run_id, "n", "c", expected_version=expected)
        check_mismatch(stub, change, run_id, expected, 2)
    item = kind.get(data, run_id, "n")
    assert (item.version, item.value) == (2, kind.wrap("b"))


@every_kind
def test_a_condition_on_what_was_never_written(stub: Stub, data: Data, kind: Kind) -> None:
    """Its version is 0, and it is not made by a refusal."""
    run_id = create(stub).run_id

    for expected in (1, 2, 2**64 - 1):
        change = partial(kind.put, data, run_id, "n", 1, expected_version=expected)
        check_mismatch(stub, change, run_id, expected, 0)
    check_missing(stub, data, kind, run_id, "n")
    assert kind.names(data, run_id) == []


@every_deletable
def test_a_condition_on_what_was_deleted(stub: Stub, data: Data, kind: Kind) -> None:
    """Nothing is there, so its version is 0; the version that is made is the next one all the same."""
    run_id = create(stub).run_id
    kind.put(data, run_id, "n", 1)
    kind.remove(data, run_id, "n")

    for expected in (1, 2, 3):
        change = partial(kind.put, data, run_id, "n", 2, expected_version=expected)
        check_mismatch(stub, change, run_id, expected, 0)
    assert kind.put(data, run_id, "n", 2, expected_version=0).version == 3


@every_deletable
def test_a_deletion_on_the_expected_version(stub: Stub, data: Data, kind: Kind) -> None:
    """Every other version is refused; 0 is one of them, as nothing can be deleted where nothing is."""
    run_id = create(stub).run_id
    kind.put(data, run_id, "n", 1)
    kind.put(data, run_id, "n", 2)

    for expected in (0, 1, 3, 2**64 - 1):
        change = partial(kind.remove, data, run_id, "n", expected_version=expected)
        check_mismatch(stub, change, run_id, expected, 2)
    assert kind.remove(data, run_id, "n", expected_version=2).version == 3
    for expected in (0, 2, 3):
        check_refused(
            lambda expected=expected: kind.remove(data, run_id, "n", expected_version=expected),
            Code.NOT_FOUND,
            kind.missing,
        )


def test_the_version_of_the_run_is_no_condition(stub: Stub, data: Data) -> None:
    """`expected_version` speaks of what is written, and of nothing else."""
    run = create(stub)
    kind = KINDS["keys"]
    for _ in range(4):
        kind.put(data, run.run_id, "n", 1)

    change = partial(kind.put, data, run.run_id, "n", 2, expected_version=run.version)
    check_mismatch(stub, change, run.run_id, run.version, 4)


def test_documents_and_values_tell_null_from_nothing(stub: Stub, data: Data) -> None:
    """Null is a value."""
    run_id = create(stub).run_id
    for kind in KINDS.values():
        kind.put(data, run_id, "n", None)

    assert KINDS["keys"].get(data, run_id, "n").value == value(None)
    assert KINDS["cells"].get(data, run_id, "n").value == value(None)
    document = get_document(data, run_id, "n")
    assert (document.value, document.deleted) == (json_value(None), False)
