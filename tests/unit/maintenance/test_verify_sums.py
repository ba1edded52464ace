"""What is compared as sums: a sound store is read once, and no difference cancels out another."""

from collections import Counter
from itertools import combinations
from typing import Any

import pytest

from runindex_server.kv.api import encode_counter
from runindex_server.maintenance.verify import postings, survey
from runindex_server.maintenance.verify.sums import RowSums, TermSums, draw_weights
from runindex_server.schema import keys, records, terms
from runindex_server.schema.run import RunId, RunState
from runindex_server.search.postings import BLOCK_SIZE, decode_posting, encode_posting
from tests.support.busy_store import put_rows
from tests.support.drifts import drifts_of, found_in
from tests.support.search_world import World, drive, make_run

PARENT = RunId(b"\x01" * 16)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return how often records are decoded, and their terms worked out, from now on."""
    counts: Counter[str] = Counter()

    def counted(name: str, fn: Any) -> Any:
        def call(*args: Any) -> Any:
            counts[name] += 1
            return fn(*args)

        return call

    monkeypatch.setattr(records, "decode_run", counted("decode_run", records.decode_run))
    for module in (survey, postings):
        monkeypatch.setattr(module, "terms_of", counted("terms_of", terms.terms_of))
    return counts


def world_of_blocks() -> World:
    """Return runs of several blocks, in several states, under a parent, with words of their own, merged."""
    numbers = [*range(1, 9), BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE + 7]
    states = [RunState.ACTIVE, RunState.COMPLETED, RunState.ARCHIVED]
    world = World(
        *(
            make_run(
                number,
                tags=("t", f"n{number}"),
                parent=PARENT if number % 2 else None,
                metadata={"word": f"w{number}"},
            )
            for number in numbers
        )
    )
    for number in numbers:
        if number % 3:
            world.change(number, state=states[number % 3], version=2)
    world.merge()
    return world


def test_a_sound_record_is_decoded_once(calls: Counter[str]) -> None:
    world = world_of_blocks()
    calls.clear()
    assert drifts_of(world) == []
    assert calls == {"decode_run": len(world.runs), "terms_of": len(world.runs)}


def test_only_runs_of_a_block_that_differs_are_looked_at_again(calls: Counter[str]) -> None:
    world = world_of_blocks()
    key = keys.posting(terms.tag("t"), 1)
    drive(world.store.write(put_rows({key: None})))
    calls.clear()
    assert found_in(world) == [(keys.POSTING.name, key)]
    # Both runs of the block: to narrow it down, and to compare.
    assert calls["terms_of"] == len(world.runs) + 2 * 2


def test_postings_with_a_single_run_are_told_apart() -> None:
    world = world_of_blocks()
    one, two = (keys.posting(terms.tag(f"n{number}"), 0) for number in (1, 2))
    snapshot = world.snapshot()
    exchanged = {
        one: encode_posting(one, decode_posting(two, snapshot.get(two))),
        two: encode_posting(two, decode_posting(one, snapshot.get(one))),
    }
    drive(world.store.write(put_rows(exchanged)))
    assert found_in(world) == [(keys.POSTING.name, one), (keys.POSTING.name, two)]


def test_what_waits_to_be_merged_is_no_reason_to_look_closer(calls: Counter[str]) -> None:
    world = world_of_blocks()
    world.change(1, tags=("t", "n2"))
    world.change(2, tags=("t",))
    calls.clear()
    assert drifts_of(world) == []
    assert calls["terms_of"] == len(world.runs)


def test_a_change_of_which_a_part_is_merged_is_no_drift() -> None:
    world = world_of_blocks()
    world.change(1, tags=("t", "late", "later"))
    key = keys.posting(terms.tag("late"), 0)
    members = decode_posting(key, None)
    members.add(1)
    drive(world.store.write(put_rows({key: encode_posting(key, members)})))
    assert drifts_of(world) == []


def test_a_row_that_two_records_ask_for_is_found() -> None:
    world = world_of_blocks()
    twin = make_run(1, run_id=RunId(b"\x77" * 16), tags=("t",), create_us=world.runs[1].create_us)
    rows: dict[bytes, bytes | None] = {
        keys.run(twin.run_id): records.encode_run(twin),
        keys.state_count(twin.state): encode_counter(
            1 + sum(run.state is twin.state for run in world.runs.values())
        ),
    }
    drive(world.store.write(put_rows(rows)))
    told = drifts_of(world)
    asked_for = {
        keys.all_runs(archived=False, ordinal=1),
        keys.by_create_time(twin.create_us, 1),
        keys.by_tag("t", archived=False, ordinal=1),
    }
    assert asked_for <= {drift.key for drift in told}
    assert {drift.problem for drift in told if drift.key in asked_for} == {
        "It follows from two records, and can lead to only one."
    }


def test_rows_that_lead_to_a_damaged_record_are_believed() -> None:
    world = world_of_blocks()
    record = keys.run(world.runs[1].run_id)
    row = keys.by_tag("t", archived=False, ordinal=99)
    damage = {record: b"x", row: world.runs[1].run_id}
    drive(world.store.write(put_rows(damage)))
    assert found_in(world) == [(keys.RUN.name, record)]


# The sums alone.


def test_sums_of_rows_tell_every_exchange() -> None:
    ids = [RunId(bytes([number]) + bytes(15)) for number in range(4)]
    pairs = [(b"key %d" % number, run_id) for number in range(3) for run_id in ids]
    for count in (1, 2, 3):
        seen: set[int] = set()
        for chosen in combinations(pairs, count):
            sums = RowSums()
            for key, run_id in reversed(chosen):
                sums.add(key, run_id)
            seen.add(sums.cells[0])
        assert len(seen) == len(list(combinations(pairs, count)))


def test_sums_of_terms_are_those_of_postings() -> None:
    weights = draw_weights()
    runs = {1: {b"a", b"b"}, 2: {b"b"}, BLOCK_SIZE + 1: {b"a"}}
    by_run, by_term = TermSums(weights), TermSums(weights)
    for ordinal, of_run in runs.items():
        by_run.add_run(ordinal, of_run)
    for term, block, offsets in ((b"a", 0, [1]), (b"b", 0, [2, 1]), (b"a", 1, [1])):
        by_term.add(term, block, by_term.weigh(offsets))
    assert by_run.differing(by_term) == frozenset()
    by_term.add(b"c", 5, by_term.weigh([1]))
    assert by_run.differing(by_term) == {5}
    by_run.add_run(BLOCK_SIZE + 2, {b"a"})
    assert by_term.differing(by_run) == {1, 5}


def test_weights_are_drawn_anew() -> None:
    one, other = draw_weights(), draw_weights()
    assert len(one) == len(other) == BLOCK_SIZE
    assert len({*one, *other}) > BLOCK_SIZE
