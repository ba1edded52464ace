"""Verifying counters: sums that agree end it, and where they differ each counter is told by its name."""

import asyncio
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import pytest

from runindex_server import limits
from runindex_server.kv.api import ReadTxn, decode_counter, encode_counter
from runindex_server.maintenance.verify import counters, fold
from runindex_server.maintenance.verify.findings import Drift, Finding, Summary
from runindex_server.schema import insight_keys, keys, records
from runindex_server.schema.counters import COUNTED, counters_of
from runindex_server.schema.insight_keys import DAY_US, EVERY_RUN, HOUR_US, Figure
from runindex_server.schema.run import RunId, RunState
from tests.support.clock import START_US
from tests.support.drifts import ALWAYS, drifts_of, found_in, put
from tests.support.search_world import World, make_run
from tests.support.tampering import collect

PARENT: Final = RunId(b"\x01" * 16)
NAMES: Final = {subspace.tag: subspace.name for subspace in COUNTED}
FAILED_TAGS: Final = ("t", "u")


def world_of_ends(runs: int = 6) -> World:
    """Return runs of which half have failed, under a parent, with tags that they share."""
    world = World(*(make_run(number, tags=FAILED_TAGS, parent=PARENT) for number in range(1, runs + 1)))
    for number in range(1, runs + 1, 2):
        world.change(
            number,
            state=RunState.FAILED,
            outcome=RunState.FAILED,
            error=f"kind {'x' * number} of failure",
            end_us=START_US + number * 70_000_123,
            version=2,
        )
    return world


def counters_in(world: World) -> dict[bytes, int]:
    """Return all counters that follow from records."""
    snapshot = world.snapshot()
    return {
        key: decode_counter(value) for subspace in COUNTED for key, value in snapshot.scan(*subspace.range)
    }


def told(keys_told: Any) -> list[tuple[str, bytes]]:
    """Return counters as they are told, in no order."""
    return sorted((NAMES[key[16]], key) for key in keys_told)


def test_a_sound_world_is_compared_by_sums_alone(monkeypatch: Any) -> None:
    monkeypatch.setattr(counters, "_Comparison", None)
    world = world_of_ends()
    assert {key[16] for key in counters_in(world)} == set(NAMES)
    assert found_in(world) == []


def test_each_counter_that_is_wrong_is_named() -> None:
    world = world_of_ends()
    wrong = {key: encode_counter(count + 1) for key, count in counters_in(world).items()}
    put(world, wrong)
    assert sorted(found_in(world)) == told(wrong)


class Watched(counters._Comparison):
    """A comparison that keeps how many counters were in memory when it looked at the rows."""

    sizes: ClassVar[list[int]] = []

    def _compare_rest(self, txn: ReadTxn) -> Iterator[Finding]:
        self.sizes.append(len(self._expected))
        return super()._compare_rest(txn)


def test_all_counters_missing_are_named_and_none_is_left_out_for_want_of_room(monkeypatch: Any) -> None:
    monkeypatch.setattr(counters, "COUNTERS_AT_ONCE", 3)
    # Cells of more than one counter would make it more.
    monkeypatch.setattr(fold, "COUNTER_CELLS", 1 << 40)
    monkeypatch.setattr(counters, "_Comparison", Watched)
    world = world_of_ends()
    missing = counters_in(world)
    put(world, dict.fromkeys(missing))
    drifts = drifts_of(world)
    assert sorted((drift.subspace, drift.key) for drift in drifts) == told(missing)
    problems = {drift.key: drift.problem for drift in drifts}
    assert problems == {key: f"It counts 0, not {count}." for key, count in missing.items()}
    assert sum(Watched.sizes) == len(missing)
    assert max(Watched.sizes) <= 3


def test_a_cell_with_more_counters_than_go_into_memory_is_compared(monkeypatch: Any) -> None:
    monkeypatch.setattr(counters, "COUNTERS_AT_ONCE", 3)
    monkeypatch.setattr(fold, "COUNTER_CELLS", 1)
    world = world_of_ends()
    missing = counters_in(world)
    put(world, dict.fromkeys(missing))
    assert sorted(found_in(world)) == told(missing)


def test_what_is_not_told_any_more_is_counted_by_cells(monkeypatch: Any) -> None:
    monkeypatch.setattr(counters, "COUNTERS_AT_ONCE", 3)
    monkeypatch.setattr(limits, "DRIFTS_TOLD_MAX", 12)
    world = world_of_ends()
    missing = counters_in(world)
    put(world, dict.fromkeys(missing))
    *pieces, summary = asyncio.run(collect(world.store))
    assert isinstance(summary, Summary)
    told_one_by_one = sum(isinstance(piece, Drift) for piece in pieces)
    assert told_one_by_one == 12
    # Cells, of which some may hold several.
    assert told_one_by_one < summary.drifts <= len(missing) + len(ALWAYS)


def test_counters_exchanged_are_told_apart() -> None:
    world = world_of_ends()
    every = insight_keys.figure(EVERY_RUN, Figure.SECONDS)
    other = insight_keys.figure(EVERY_RUN, Figure.MICROSECONDS)
    counts = counters_in(world)
    put(world, {every: encode_counter(counts[other]), other: encode_counter(counts[every])})
    assert sorted(found_in(world)) == told([every, other])


@pytest.mark.parametrize("value", [b"", b"x" * 7, bytes(8), b"x" * 9], ids=["empty", "7", "zero", "9"])
def test_a_row_that_no_counter_has_is_found(value: bytes) -> None:
    world = world_of_ends()
    for key in (insight_keys.figure(EVERY_RUN, Figure.DURATION, 60_000), keys.STATE_COUNT.prefix + b"\x07"):
        put(world, {key: value})
        assert found_in(world) == told([key])
        put(world, {key: None})


FIGURE_OF: Final = keys.FIGURE.prefix
PART: Final = insight_keys.figure_part(Figure.OUTCOME, 4)

STRANGE: Final = {
    "state": keys.STATE_COUNT.prefix + b"\x07",
    "no state": keys.STATE_COUNT.prefix,
    "child of a short id": keys.CHILD_COUNT.prefix + b"\x01" * 15 + b"\x01",
    "child in no state": keys.CHILD_COUNT.prefix + b"\x01" * 16 + b"\x09",
    "tag without an end": keys.TAG_COUNT.prefix + b"\x00tag",
    "tag with a rest": insight_keys.tag_count("tag", archived=False) + b"\x01",
    "tag of no text": keys.TAG_COUNT.prefix + b"\x00\xff\x00",
    "tag neither archived nor not": keys.TAG_COUNT.prefix + b"\x02tag\x00",
    "short error": keys.ERROR_COUNT.prefix + bytes(15) + b"\x01",
    "error neither archived nor not": keys.ERROR_COUNT.prefix + bytes(16) + b"\x02",
    "no scope": FIGURE_OF + PART,
    "scope of all with a rest": FIGURE_OF + EVERY_RUN + b"\x00" + PART,
    "scope of a tag without an end": FIGURE_OF + b"\x01tag" + PART,
    "scope of a tag with a rest": FIGURE_OF + insight_keys.tag_scope("tag") + b"x" + PART,
    "short hour": FIGURE_OF + insight_keys.interval_scope(HOUR_US, START_US)[:-1] + PART,
    "strange interval": FIGURE_OF + b"\x04" + insight_keys.interval_scope(DAY_US, START_US)[1:] + PART,
    "strange figure": FIGURE_OF + EVERY_RUN + b"\x07\x00\x00",
    "short figure": FIGURE_OF + b"\x01",
    "nothing": FIGURE_OF,
}


@pytest.mark.parametrize("key", STRANGE.values(), ids=STRANGE)
def test_a_counter_under_a_key_of_no_form_is_found(key: bytes) -> None:
    world = world_of_ends()
    put(world, {key: encode_counter(1)})
    (drift,) = drifts_of(world)
    assert (drift.subspace, drift.key) == told([key])[0]
    assert drift.problem == "The store has no rows with such a key."


# While records are damaged.


def damage(world: World, number: int) -> tuple[str, bytes]:
    """Damage a record, and return what is to be found."""
    key = keys.run(world.runs[number].run_id)
    put(world, {key: b"x"})
    return (keys.RUN.name, key)


@pytest.mark.parametrize("number", [1, 2], ids=["failed", "active"])
def test_a_damaged_record_draws_no_counters_after_it(number: int) -> None:
    world = world_of_ends()
    damaged = damage(world, number)
    assert found_in(world) == [damaged]


def test_counters_less_than_what_can_be_read_are_told_beside_the_damage() -> None:
    world = world_of_ends()
    counts = counters_in(world)
    damaged = damage(world, 1)
    of_damaged = counters_of(world.runs[1])
    for key, count in counts.items():
        rest = count - of_damaged.get(key, 0)
        if rest:
            put(world, {key: encode_counter(rest)})
            assert found_in(world) == [damaged]
            put(world, {key: encode_counter(rest - 1) if rest > 1 else None})
            assert found_in(world) == [damaged, *told([key])]
            put(world, {key: encode_counter(count)})


def test_counters_more_than_a_damaged_record_can_come_to_are_told_beside_it() -> None:
    world = world_of_ends()
    damaged = damage(world, 1)
    for key, least in (
        (keys.state_count(RunState.FAILED), 2),
        (insight_keys.tag_count("t", archived=False), 5),
        (insight_keys.tag_count("new", archived=False), 0),
        (insight_keys.figure(EVERY_RUN, Figure.OUTCOME, RunState.CANCELLED), 0),
    ):
        before = world.snapshot().get(key)
        put(world, {key: encode_counter(least + 1)})
        assert found_in(world) == [damaged]
        put(world, {key: encode_counter(least + 2)})
        assert found_in(world) == [damaged, *told([key])]
        put(world, {key: before})
    micros = insight_keys.figure(EVERY_RUN, Figure.MICROSECONDS)
    sound = sum(counters_of(world.runs[number])[micros] for number in (3, 5))
    put(world, {micros: encode_counter(sound + 999_999)})
    assert found_in(world) == [damaged]
    put(world, {micros: encode_counter(sound + 1_000_000)})
    assert found_in(world) == [damaged, *told([micros])]


def test_a_record_whose_damage_is_mended_counts_as_before() -> None:
    world = world_of_ends()
    damaged = damage(world, 1)
    assert found_in(world) == [damaged]
    put(world, {damaged[1]: records.encode_run(world.runs[1])})
    assert found_in(world) == []
