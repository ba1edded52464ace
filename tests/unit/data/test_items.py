"""Keys, cells and documents: versions, the rows that follow from them, and the order of the checks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from jsonpointer import JsonPointer

from runindex_server.data import documents, states, values
from runindex_server.data.items import RULES, Operation, change_item
from runindex_server.errors import (
    DocumentNotFound,
    RequestIdReused,
    RunArchived,
    RunIndexError,
    RunNotFound,
    StoreCorrupt,
    ValueNotFound,
    VersionMismatch,
)
from runindex_server.runs.mutation import Conditions
from runindex_server.schema.data_keys import DataKeys, ItemKind, ItemVersionRef
from runindex_server.schema.due import AT_ONCE, Due
from runindex_server.schema.holdings import Holding
from runindex_server.schema.items import ItemHead, ItemVersion, encode_head, encode_version
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy
from tests.support.clock import HOUR_US, MINUTE_US, SECOND_US, START_US
from tests.support.stores import IN_MEMORY
from tests.unit.data.world import ANY, RUN, World, encoded, expecting, request

Rows = dict[bytes, bytes]

SUPERSEDED_US = START_US + MINUTE_US
"""When the first version is superseded, in the tests of what is due."""


@dataclass
class ItemModel:
    """What an item's rows follow from: its versions, each with time and value, None for a deletion."""

    kind: ItemKind
    name: str
    versions: list[tuple[int, bytes | None]] = field(default_factory=list)

    @property
    def is_there(self) -> bool:
        return bool(self.versions) and self.versions[-1][1] is not None

    def rows(self, keys: DataKeys) -> Rows:
        kind, name, number = self.kind, self.name, len(self.versions)
        if not number:
            return {}
        head_key = keys.item(kind, name) if self.is_there else keys.deleted_item(kind, name)
        rows = {head_key: encode_head(head_key, ItemHead(number, 1))}
        for index, (write_us, value) in enumerate(self.versions, 1):
            key = keys.item_version(kind, name, index)
            version = ItemVersion(write_us=write_us, is_deleted=value is None, value=value or b"")
            rows[key] = encode_version(key, version)
        for index, (superseded_us, _) in enumerate(self.versions[1:], 1):
            rows[keys.superseded(superseded_us, ItemVersionRef(kind, name, index))] = b""
        if number > 1:
            rows[keys.item_depth(kind, name, number - 1)] = b""
        return rows


def write_item(world: World, item: ItemModel, value: bytes | None) -> None:
    operation = Operation(kind=item.kind, name="write")
    answer = world.call(change_item, item.name, operation, ANY, lambda _: value)
    item.versions.append((answer.update_us, value))
    assert answer.version == len(item.versions)


def test_rows_and_counters_follow_from_the_versions(world: World) -> None:
    random = Random(20260301)
    items = [ItemModel(kind, name) for kind in ItemKind for name in ("a", "ab", "b")]
    for _ in range(120):
        item = random.choice(items)
        write_item(world, item, random.choice([None, b"", b"x", b"y" * random.randrange(300)]))
        world.clock.advance(random.choice([0, 0, 1, SECOND_US]))

    expected: Rows = {}
    for item in items:
        expected |= item.rows(world.keys)
    assert world.rows() == expected
    bytes_held = sum(len(value or b"") for item in items for _, value in item.versions)
    there = {
        RULES[kind].holding: sum(item.is_there for item in items if item.kind is kind) for kind in ItemKind
    }
    counts = {Holding.EVENTS: 0, Holding.BYTES: bytes_held, **there}
    assert world.held() == tuple(counts[kind] for kind in Holding)


def test_versions_go_on_after_a_deletion_and_after_a_trim(world: World) -> None:
    first = world.call(values.put_value, "k", b"1", ANY)
    deleted = world.call(values.delete_value, "k", ANY)
    again = world.call(values.put_value, "k", b"2", expecting(0))

    assert [answer.version for answer in (first, deleted, again)] == [1, 2, 3]
    keys = world.keys
    head = keys.item(ItemKind.VALUE, "k")
    world.write(lambda txn: txn.put(head, encode_head(head, ItemHead(3, 3))))
    assert world.call(values.put_value, "k", b"3", expecting(3)).version == 4
    assert keys.item_depth(ItemKind.VALUE, "k", 1) in world.rows()


def test_a_write_makes_a_revision_and_leaves_the_run_alone(world: World) -> None:
    before, revision = world.run, world.revision
    answer = world.call(values.put_value, "k", b"1", ANY)

    assert answer.revision == revision + 1 == world.revision
    assert (answer.run_id, answer.update_us) == (RUN, before.update_us)
    assert world.run == before


def test_the_runs_record_is_written_once_a_minute(world: World) -> None:
    before = world.run
    world.clock.set(before.activity_us + MINUTE_US - 1)
    world.call(values.put_value, "k", b"1", ANY)
    assert world.run == before

    minutes = []
    for us in (1, MINUTE_US - 1, 1, HOUR_US):
        world.clock.advance(us)
        world.call(states.set_state, "c", b"1", ANY)
        minutes.append((world.run.activity_us - before.activity_us) // MINUTE_US)
    assert minutes == [1, 1, 2, 62]
    assert world.run._replace(activity_us=before.activity_us) == before


def test_equal_values_make_versions(world: World) -> None:
    for number in (1, 2, 3):
        assert world.call(values.put_value, "k", b"same", ANY).version == number
    assert world.held() == (1, 0, 0, 0, 12)


# The order of the checks.

WRITES: list[tuple[str, Callable[[World, Conditions], Any]]] = [
    ("put value", lambda world, on: world.call(values.put_value, "n", b"v", on)),
    ("delete value", lambda world, on: world.call(values.delete_value, "n", on)),
    ("set state", lambda world, on: world.call(states.set_state, "n", b"v", on)),
    (
        "set document",
        lambda world, on: world.call(documents.set_document, "n", JsonPointer(""), encoded({"a": 1}), on),
    ),
    ("merge document", lambda world, on: world.call(documents.merge_document, "n", encoded({}), on)),
    (
        "delete document",
        lambda world, on: world.call(documents.delete_document, "n", JsonPointer(""), on),
    ),
]

each_write = pytest.mark.parametrize(("operation", "write"), WRITES, ids=[name for name, _ in WRITES])


def fill(world: World) -> None:
    """Write each kind of item once, under the name that the writes name."""
    for operation, write in WRITES:
        if not operation.startswith(("delete", "merge")):
            write(world, ANY)


@each_write
def test_an_unknown_run_comes_before_the_version(
    world: World, operation: str, write: Callable[[World, Conditions], Any]
) -> None:
    world.delete()
    with pytest.raises(RunNotFound):
        write(world, expecting(7))


@each_write
def test_an_archived_run_comes_before_item_and_version(
    world: World, operation: str, write: Callable[[World, Conditions], Any]
) -> None:
    world.archive()
    before = world.rows()
    with pytest.raises(RunArchived) as refusal:
        write(world, expecting(7))
    assert refusal.value.metadata["operation"] == operation
    assert world.rows() == before


@each_write
def test_the_version_is_that_of_the_item(
    world: World, operation: str, write: Callable[[World, Conditions], Any]
) -> None:
    fill(world)
    before = world.rows()
    for wrong in (0, 2, 2**64 - 1):
        with pytest.raises(VersionMismatch) as refusal:
            write(world, expecting(wrong))
        assert refusal.value.metadata["expectedVersion"] == str(wrong)
        assert refusal.value.metadata["currentVersion"] == "1"
    assert world.rows() == before
    assert write(world, expecting(1)).version == 2


@each_write
def test_what_is_not_there_has_version_0(
    world: World, operation: str, write: Callable[[World, Conditions], Any]
) -> None:
    refusals: dict[str, type[RunIndexError]] = {
        "delete value": ValueNotFound,
        "delete document": DocumentNotFound,
    }
    with pytest.raises(refusals.get(operation, VersionMismatch)) as refusal:
        write(world, expecting(1))
    assert refusal.value.metadata.get("currentVersion", "0") == "0"
    assert world.rows() == {}


@each_write
def test_a_remembered_answer_comes_before_anything_of_the_run(
    world: World, operation: str, write: Callable[[World, Conditions], Any]
) -> None:
    fill(world)
    once = Conditions(expected_version=1, request=request("r"))
    answer = write(world, once)
    world.clock.advance(HOUR_US)
    world.call(values.put_value, "n", b"later", ANY)
    rows = world.rows()

    assert write(world, once) == answer
    assert world.rows() == rows
    with pytest.raises(RequestIdReused):
        write(world, Conditions(request=request("r", b"x" * 16)))
    world.archive()
    assert write(world, once) == answer
    world.delete()
    assert write(world, once) == answer


def test_a_refusal_is_not_remembered(world: World) -> None:
    on = Conditions(expected_version=1, request=request("r"))
    with pytest.raises(VersionMismatch):
        world.call(values.put_value, "k", b"v", on)
    world.call(values.put_value, "k", b"v", ANY)
    assert world.call(values.put_value, "k", b"w", on).version == 2


# What retention has to look at.


@pytest.mark.parametrize(
    ("policy", "due_us"),
    [
        (KEEP_ALL, [None, None, None, None]),
        (RetentionPolicy(delete_after_us=1), [None, None, None, None]),
        (RetentionPolicy(keep_latest_n=1), [None, AT_ONCE, AT_ONCE, AT_ONCE]),
        (RetentionPolicy(keep_latest_n=3), [None, None, None, AT_ONCE]),
        (RetentionPolicy(keep_duration_us=HOUR_US), [None, *[SUPERSEDED_US + HOUR_US] * 3]),
    ],
)
def test_what_a_write_supersedes_is_due_by_the_default_policy(
    world: World, policy: RetentionPolicy, due_us: list[int | None]
) -> None:
    world.default_policy = policy
    for number, expected_us in enumerate(due_us):
        world.clock.set(SUPERSEDED_US + number - 1)
        answer = world.call(values.put_value, "k", b"v", ANY)
        assert world.due() == (None if expected_us is None else Due(expected_us, answer.revision))


def test_the_runs_own_policy_stands_over_the_default(world: World) -> None:
    world.default_policy = RetentionPolicy(keep_latest_n=1)
    world.retain(KEEP_ALL)
    for _ in range(3):
        world.call(values.put_value, "k", b"v", ANY)
    assert world.due() is None

    world.retain(RetentionPolicy(keep_latest_n=2))
    revision = world.revision
    world.call(values.put_value, "k", b"v", ANY)
    assert world.due() == Due(AT_ONCE, revision + 1)


# What is damaged, and what it costs.


@IN_MEMORY
@pytest.mark.parametrize("number", [0, 1])
def test_a_head_that_leads_nowhere_is_damage(world: World, number: int) -> None:
    world.call(values.put_value, "k", b"v", ANY)
    keys = world.keys
    version = keys.item_version(ItemKind.VALUE, "k", 1)
    world.write(lambda txn: txn.delete(version) if number else txn.put(version, b"\x01damaged"))
    with pytest.raises(StoreCorrupt):
        world.ask(values.get_value, "k", version=None)


@IN_MEMORY
def test_a_write_costs_the_same_however_much_is_there(world: World) -> None:
    costs = []
    for _ in range(50):
        world.store.reset()
        world.call(values.put_value, "k", b"v", ANY)
        costs.append((world.store.rows_touched, world.store.rows_written))
    assert len(set(costs[2:])) == 1
