"""Removing: whatever it is told to remove, what is current stays, and what has to."""

from collections.abc import Sequence

import pytest

from runindex_server.jobs.retention.removal import remove_victims
from runindex_server.jobs.retention.victims import EventRef, Place, Victim
from runindex_server.kv.api import WriteTxn
from runindex_server.schema import keys, records
from runindex_server.schema.data_keys import ItemKind, ItemVersionRef
from runindex_server.schema.run import DEFAULT_RUN_ID, RetentionPolicy
from tests.support.consistency import check_store
from tests.support.retention_world import RetentionWorld
from tests.support.search_world import drive

LATEST = RetentionPolicy(keep_latest_n=2)
DURATION = RetentionPolicy(keep_duration_us=1)


@pytest.fixture
def world() -> RetentionWorld:
    """Return a store whose default run holds five versions of a key and five events of a stream."""
    world = RetentionWorld()
    for _ in range(5):
        world.clock.advance(1)
        world.put(DEFAULT_RUN_ID, "a", b"value")
        world.append(DEFAULT_RUN_ID, "s")
    return world


def remove(world: RetentionWorld, policy: RetentionPolicy, victims: Sequence[Victim]) -> list[int]:
    """Remove what is asked for, and return the numbers of what went."""
    key = keys.run(DEFAULT_RUN_ID)

    def fn(txn: WriteTxn) -> list[Victim]:
        run = records.decode_run(key, txn.get(key))
        return remove_victims(txn, run, policy, victims)

    removed = world.write(fn)
    drive(check_store(world.store))
    return [victim.place.number for victim in removed]


def versions(world: RetentionWorld, *numbers: int) -> list[Victim]:
    """Return versions of the key as victims."""
    written = {version.number: version for version in world.runs[DEFAULT_RUN_ID].items[ItemKind.VALUE, "a"]}
    return [
        Victim(
            ItemVersionRef(ItemKind.VALUE, "a", number),
            written[min(number + 1, 5)].write_us,
            len(b"value"),
            Place(b"row", number, 1),
        )
        for number in numbers
    ]


def events(*sequences: int) -> list[Victim]:
    """Return events of the stream as victims."""
    return [Victim(EventRef("s", number), 0, len(b"event"), Place(b"row", number, 1)) for number in sequences]


@pytest.mark.parametrize(
    ("policy", "asked", "gone"),
    [
        (LATEST, (1, 2), [1, 2]),
        (LATEST, (1, 2, 3, 4, 5), [1, 2, 3]),
        (DURATION, (1, 2, 3, 4, 5), [1, 2, 3, 4]),
        (DURATION, (2, 3), []),
        (DURATION, (1, 3, 4), [1]),
    ],
)
def test_versions_go_from_the_oldest_on(
    world: RetentionWorld, policy: RetentionPolicy, asked: tuple[int, ...], gone: list[int]
) -> None:
    assert remove(world, policy, versions(world, *asked)) == gone
    assert remove(world, policy, versions(world, *gone)) == []


@pytest.mark.parametrize(
    ("policy", "asked", "gone"),
    [
        (LATEST, (0, 1), [0, 1]),
        (LATEST, (0, 1, 2, 3, 4), [0, 1, 2]),
        (DURATION, (0, 1, 2, 3, 4), [0, 1, 2, 3, 4]),
        (DURATION, (0, 7), [0]),
    ],
)
def test_events_go_while_enough_stay(
    world: RetentionWorld, policy: RetentionPolicy, asked: tuple[int, ...], gone: list[int]
) -> None:
    assert remove(world, policy, events(*asked)) == gone
    assert remove(world, policy, events(*gone)) == []
