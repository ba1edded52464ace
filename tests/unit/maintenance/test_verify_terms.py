"""Verifying the term index: each fault is found where it is."""

import asyncio
from typing import Any

from runindex_server import limits
from runindex_server.kv.api import decode_counter, encode_counter
from runindex_server.maintenance.verify.findings import Drift
from runindex_server.maintenance.verify.fold import TERM_CELLS_AT_ONCE
from runindex_server.schema import insight_keys, keys, records, terms
from runindex_server.schema.encoding import encode_u64
from runindex_server.schema.run import DEFAULT_RUN_ID, RunId, RunState
from runindex_server.search.postings import BLOCK_SIZE, decode_posting, encode_posting
from tests.support.busy_store import put_rows
from tests.support.search_world import World, drive, make_run
from tests.support.tampering import Subject, collect


def test_a_posting_that_has_a_run_too_few_or_too_many_is_found(subject: Subject) -> None:
    for key, value in subject.sample(keys.POSTING).items():
        members = decode_posting(key, value)
        more = members.copy()
        more.add(4_711)
        assert subject.find({key: encode_posting(key, more)}) == [(keys.POSTING.name, key)]
        less = members.copy()
        less.remove(members.min())
        if less:
            assert subject.find({key: encode_posting(key, less)}) == [(keys.POSTING.name, key)]
        assert (keys.POSTING.name, key) in subject.find({key: encode_posting(key, members - members)})
        more.add(BLOCK_SIZE)
        more.discard(4_711)
        assert subject.find({key: encode_posting(key, more)}) == [(keys.POSTING.name, key)]


def test_postings_with_their_runs_exchanged_are_found(subject: Subject) -> None:
    one = keys.posting(b"s\x01", 0)
    members = decode_posting(one, subject.rows[one])
    low, high = members.min(), members.max()
    assert high - low > 2
    exchanged = members.copy()
    exchanged.discard(low)
    exchanged.add(4_711)
    assert subject.find({one: encode_posting(one, exchanged)}) == [(keys.POSTING.name, one)]


def test_a_posting_that_is_left_over_is_found(subject: Subject) -> None:
    members = decode_posting(keys.posting(b"*", 0), subject.rows[keys.posting(b"*", 0)])
    for key in (keys.posting(b"wnone", 0), keys.posting(b"*", 3)):
        assert subject.find({key: encode_posting(key, members)}) == [(keys.POSTING.name, key)]


def test_a_change_to_merge_that_is_missing_is_found_by_what_it_changed(subject: Subject) -> None:
    key = next(iter(subject.of(keys.PENDING_TERMS)))
    found = subject.find({key: None})
    assert found[0][0] == keys.POSTING.name
    assert {subspace for subspace, _ in found} == {keys.POSTING.name, keys.PENDING_COUNT.name}


def test_a_change_to_merge_that_cannot_be_is_found(subject: Subject) -> None:
    key, value = next(iter(subject.of(keys.PENDING_TERMS).items()))
    count = subject.rows[keys.PENDING_TERMS_COUNT]
    one_more = {keys.PENDING_TERMS_COUNT: encode_counter(decode_counter(count) + 1)}
    for revision in (1, 10_000):
        other = keys.pending_terms(revision)
        row = records.seal(other, records.unseal(key, value))
        assert subject.find({other: row, **one_more}) == [(keys.PENDING_TERMS.name, other)]


def test_a_revision_of_the_merge_that_cannot_be_is_found(subject: Subject) -> None:
    key = keys.MERGED_THROUGH
    assert subject.find({key: b"short"}) == [(keys.MERGE.name, key)]
    assert (keys.MERGE.name, key) in subject.find({key: encode_u64(10_000)})


def test_all_postings_missing_are_counted(subject: Subject, monkeypatch: Any) -> None:
    postings = dict.fromkeys(subject.of(keys.POSTING))
    assert {key for _, key in subject.find(postings)} >= set(postings)
    monkeypatch.setattr(limits, "DRIFTS_TOLD_MAX", 3)
    drifts, summary = subject.drifts(postings)
    assert len(drifts) == 3
    assert summary.drifts >= TERM_CELLS_AT_ONCE


PARENT = RunId(b"\x01" * 16)
OTHER = RunId(b"\x02" * 16)


def found_in(world: World) -> set[tuple[str, bytes]]:
    """Return what is found in a world, but for what it never had."""
    pieces = asyncio.run(collect(world.store))
    drifts = {(piece.subspace, piece.key) for piece in pieces if isinstance(piece, Drift)}
    return drifts - {(keys.HEADER.name, keys.STORE_HEADER), (keys.RUN.name, keys.run(DEFAULT_RUN_ID))}


def test_runs_of_several_blocks_are_told_apart() -> None:
    world = World(
        *(make_run(number, tags=("t",), parent=PARENT) for number in (1, BLOCK_SIZE, 3 * BLOCK_SIZE + 1))
    )
    assert found_in(world) == set()
    world.merge()
    world.change(1, tags=("u",))
    assert found_in(world) == set()
    wrong = keys.posting(terms.tag("t"), 2)
    right = keys.posting(terms.tag("t"), 3)
    row = world.snapshot().get(right)
    moved = encode_posting(wrong, decode_posting(right, row))
    drive(world.store.write(put_rows({wrong: moved, right: None})))
    assert found_in(world) == {(keys.POSTING.name, wrong), (keys.POSTING.name, right)}


def test_a_damaged_record_draws_no_further_drifts() -> None:
    world = World(*(make_run(number, tags=("t",), parent=PARENT) for number in (1, 2, BLOCK_SIZE)))
    world.merge()
    record = keys.run(world.runs[2].run_id)
    drive(world.store.write(put_rows({record: b"x"})))
    assert found_in(world) == {(keys.RUN.name, record)}
    drive(world.store.write(put_rows({keys.posting(terms.tag("t"), 0): None})))
    assert found_in(world) == {(keys.RUN.name, record), (keys.POSTING.name, keys.posting(terms.tag("t"), 0))}


def test_counts_of_children_are_exchanged() -> None:
    world = World(make_run(1, parent=PARENT), make_run(2, parent=PARENT), make_run(3, parent=OTHER))
    counts = {
        insight_keys.child_count(PARENT, RunState.ACTIVE): encode_counter(1),
        insight_keys.child_count(OTHER, RunState.ACTIVE): encode_counter(2),
    }
    drive(world.store.write(put_rows(counts)))
    assert found_in(world) == {(keys.CHILD_COUNT.name, key) for key in counts}
