"""Verifying: a sound store has no drift, and each fault is found, exactly, where it is."""

from collections import Counter
from typing import Any, Final

import pytest

from runindex_server import limits
from runindex_server.kv.api import decode_counter, encode_counter
from runindex_server.maintenance.verify.findings import Drift, Progress, Summary
from runindex_server.schema import data_keys, insight_keys, keys, records
from runindex_server.schema.counters import COUNTED
from runindex_server.schema.data_keys import DataKeys, ItemKind, Part
from runindex_server.schema.derive import LISTINGS
from runindex_server.schema.encoding import encode_u64
from runindex_server.schema.insight_keys import Figure
from runindex_server.schema.keys import Subspace
from runindex_server.schema.run import DEFAULT_RUN_ID, RunState, run_id_text
from tests.support.busy_store import flipped
from tests.support.tampering import STRANGE_RUN, Kind, Subject

DERIVED: Final = (
    keys.ALL_RUNS,
    keys.BY_STATE,
    keys.BY_TAG,
    keys.BY_PARENT,
    keys.BY_CREATE_TIME,
    keys.EXPIRING,
    keys.ENDED,
    keys.STALE,
    keys.BY_ERROR,
    keys.DUE,
    *COUNTED,
    keys.HOLDING,
    keys.PENDING_COUNT,
    keys.REQUEST_BY_TIME,
    keys.POSTING,
    data_keys.ITEM_VERSION,
    data_keys.SUPERSEDED,
    data_keys.ITEM_DEPTH,
    data_keys.STREAM_EVENT,
    data_keys.STREAM_COUNT,
    data_keys.STREAM_DEPTH,
    data_keys.EVENTS_APPENDED,
)
"""What follows from something else, so that it is known when it is missing."""

FRAMED: Final = (
    keys.HEADER,
    keys.RUN,
    keys.DUE_OF,
    keys.REQUEST,
    keys.PENDING_TERMS,
    keys.POSTING,
    keys.CLOCK_TICK,
    keys.DEFAULT_POLICY_SWEEP,
    keys.COMPACTION,
    keys.TEMPLATE,
    keys.TRANSITION,
    data_keys.ITEM,
    data_keys.DELETED_ITEM,
    data_keys.ITEM_VERSION,
    data_keys.EVENT,
)

LEADING_TO_RUNS: Final = tuple(listing.subspace for listing in LISTINGS)

COUNTERS: Final = (
    *COUNTED,
    keys.HOLDING,
    keys.PENDING_COUNT,
    data_keys.STREAM_COUNT,
)

EMPTY: Final = (
    keys.DUE,
    keys.REQUEST_BY_TIME,
    data_keys.SUPERSEDED,
    data_keys.ITEM_DEPTH,
    data_keys.STREAM_EVENT,
    data_keys.STREAM_DEPTH,
)


def test_a_sound_store_has_no_drift(subject: Subject) -> None:
    *pieces, summary = subject.verify()
    assert isinstance(summary, Summary)
    assert (summary.runs, summary.rows, summary.drifts) == (14, len(subject.rows), 0)
    assert {piece.phase for piece in pieces if isinstance(piece, Progress)} == {"copy"}
    assert not [piece for piece in pieces if isinstance(piece, Drift)]


def test_the_store_holds_rows_of_every_kind(subject: Subject) -> None:
    kinds: tuple[Kind, ...] = (*keys.SUBSPACES, *data_keys.PARTS)
    without = (keys.DATA, keys.MIGRATION)
    assert [kind.name for kind in kinds if kind not in without and not subject.of(kind)] == []


@pytest.mark.parametrize("kind", DERIVED, ids=lambda kind: kind.name)
def test_a_missing_row_is_found(subject: Subject, kind: Kind) -> None:
    for key in subject.sample(kind):
        assert subject.find({key: None}) == [(kind.name, key)]


@pytest.mark.parametrize("kind", FRAMED, ids=lambda kind: kind.name)
def test_a_flipped_bit_is_found(subject: Subject, kind: Kind) -> None:
    for turn, (key, value) in enumerate(subject.sample(kind).items()):
        for bit in (turn, 8 * len(value) - 1 - turn, 77 * turn):
            assert subject.find({key: flipped(value, bit)}) == [(kind.name, key)]


@pytest.mark.parametrize("kind", FRAMED, ids=lambda kind: kind.name)
def test_a_cut_row_is_found(subject: Subject, kind: Kind) -> None:
    for key, value in subject.sample(kind).items():
        for rest in (b"", value[:3], value[:-1]):
            assert subject.find({key: rest}) == [(kind.name, key)]


@pytest.mark.parametrize("kind", LEADING_TO_RUNS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("value", [STRANGE_RUN, DEFAULT_RUN_ID, b""], ids=["missing", "other", "none"])
def test_a_row_that_leads_to_another_run_is_found(subject: Subject, kind: Kind, value: bytes) -> None:
    for key, right in subject.sample(kind).items():
        if value != right:
            assert subject.find({key: value}) == [(kind.name, key)]


@pytest.mark.parametrize("kind", COUNTERS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("delta", [1, -1, -1_000])
def test_a_wrong_counter_is_found(subject: Subject, kind: Kind, delta: int) -> None:
    for key, value in subject.sample(kind).items():
        wrong = encode_counter(decode_counter(value) + delta)
        assert (kind.name, key) in subject.find({key: wrong})
        if any(wrong):
            assert subject.find({key: wrong}) == [(kind.name, key)]


@pytest.mark.parametrize("kind", [*COUNTERS, data_keys.EVENTS_APPENDED], ids=lambda kind: kind.name)
def test_a_row_that_is_no_counter_is_found(subject: Subject, kind: Kind) -> None:
    for key in subject.sample(kind):
        assert (kind.name, key) in subject.find({key: b"none"})


@pytest.mark.parametrize("kind", EMPTY, ids=lambda kind: kind.name)
def test_a_value_where_there_should_be_none_is_found(subject: Subject, kind: Kind) -> None:
    for key in subject.sample(kind):
        assert subject.find({key: b"x"}) == [(kind.name, key)]


@pytest.mark.parametrize("kind", [*keys.SUBSPACES[:-1], *data_keys.PARTS], ids=lambda kind: kind.name)
def test_a_key_of_another_shape_is_found(subject: Subject, kind: Kind) -> None:
    key, value = next(iter(subject.of(kind).items()), (keys.MIGRATION.prefix, b""))
    prefix = key[:26] if isinstance(kind, Part) else key[:17]
    found = subject.find({prefix + b"\xff\xff\xff": value})
    assert [subspace for subspace, _ in found] == [kind.name]


def test_rows_of_no_subspace_are_found(subject: Subject) -> None:
    strangers = [
        b"\x00",
        keys.GLOBAL_NAMESPACE,
        keys.GLOBAL_NAMESPACE + b"\x00",
        *(keys.GLOBAL_NAMESPACE + bytes([tag]) + b"x" for tag in (0x0E, 0x11, 0x22, 0x54, 0x7F, 0x81, 0xFF)),
    ]
    for key in strangers:
        assert subject.find({key: b""}) == [("none", key)]
    run_id = subject.busy.ids[0]
    others = [run_id[:3], run_id, run_id + b"\x01", run_id + b"\x81" * 20, run_id + b"\x80" + bytes(8)]
    others.append(DataKeys.of(subject.run(0)).range.start + b"\x06" + b"x")
    for key in others:
        assert subject.find({key: b""}) == [(keys.DATA.name, key)]


# What is left over.


def left_over_in_the_global_namespace(subject: Subject) -> dict[Subspace, bytes]:
    """Return a key that could be there, for each subspace that follows from something."""
    run = subject.run(0)
    return {
        keys.ALL_RUNS: keys.all_runs(archived=True, ordinal=run.ordinal),
        keys.BY_STATE: keys.by_state(RunState.CANCELLED, run.ordinal),
        keys.BY_TAG: keys.by_tag("none", archived=False, ordinal=run.ordinal),
        keys.BY_PARENT: keys.by_parent(STRANGE_RUN, archived=False, ordinal=run.ordinal),
        keys.BY_CREATE_TIME: keys.by_create_time(1, run.ordinal),
        keys.EXPIRING: keys.expiring(1, run.ordinal),
        keys.ENDED: keys.ended(1, run.ordinal),
        keys.STALE: insight_keys.stale(RunState.ACTIVE, 1, run.ordinal),
        keys.BY_ERROR: insight_keys.by_error(bytes(16), archived=False, ordinal=run.ordinal),
    }


def test_index_rows_that_are_left_over_are_found(subject: Subject) -> None:
    for subspace, key in left_over_in_the_global_namespace(subject).items():
        for value in (subject.run(0).run_id, STRANGE_RUN):
            assert subject.find({key: value}) == [(subspace.name, key)]


def test_other_rows_that_are_left_over_are_found(subject: Subject) -> None:
    run = subject.run(0)
    due_of = keys.due_of(STRANGE_RUN, 1)
    rows = {
        keys.DUE: (keys.due(5, run.run_id, run.generation), b""),
        keys.HOLDING: (keys.holding(run.run_id, run.generation + 1, 1), encode_counter(1)),
        keys.STATE_COUNT: (keys.state_count(RunState.CANCELLED), encode_counter(1)),
        keys.CHILD_COUNT: (insight_keys.child_count(STRANGE_RUN, RunState.ACTIVE), encode_counter(1)),
        keys.TAG_COUNT: (insight_keys.tag_count("none", archived=False), encode_counter(1)),
        keys.ERROR_COUNT: (insight_keys.error_count(bytes(16), archived=True), encode_counter(1)),
        keys.FIGURE: (insight_keys.figure(insight_keys.EVERY_RUN, Figure.DURATION, 9), encode_counter(1)),
        keys.REQUEST_BY_TIME: (keys.request_by_time(5, "", "r1"), b""),
        keys.TOMBSTONE: (keys.tombstone(run.run_id, run.generation), encode_u64(1)),
        keys.DATA: (DataKeys(run.run_id, run.generation + 1).item(ItemKind.VALUE, "k"), b""),
    }
    for subspace, (key, value) in rows.items():
        assert subject.find({key: value}) == [(subspace.name, key)]
    due = keys.due(5, STRANGE_RUN, 1)
    sealed = records.seal(due_of, encode_u64(5) + encode_u64(1))
    assert subject.find({due_of: sealed, due: b""}) == [(keys.DUE_OF.name, due_of)]


def test_a_counter_of_what_a_run_without_data_holds_is_found(subject: Subject) -> None:
    run = subject.run(5)
    key = keys.holding(run.run_id, run.generation, 4)
    assert subject.find({key: encode_counter(1)}) == [(keys.HOLDING.name, key)]


# Records and their data.


def test_a_record_that_is_missing_leaves_its_rows_over(subject: Subject) -> None:
    run = subject.run(1)
    found = Counter(subspace for subspace, _ in subject.find({keys.run(run.run_id): None}))
    assert found.keys() >= {keys.ALL_RUNS.name, keys.BY_STATE.name, keys.STATE_COUNT.name, keys.DATA.name}
    assert found[keys.ALL_RUNS.name] == 1


def test_what_every_store_has_is_missed(subject: Subject) -> None:
    assert subject.find({keys.STORE_HEADER: None}) == [(keys.HEADER.name, keys.STORE_HEADER)]
    assert (keys.RUN.name, keys.run(DEFAULT_RUN_ID)) in subject.find({keys.run(DEFAULT_RUN_ID): None})


def test_a_record_that_contradicts_itself_is_found(subject: Subject) -> None:
    run = subject.run(2)
    assert run.state is RunState.ACTIVE
    key = keys.run(run.run_id)
    ahead = records.encode_run(run._replace(revision=10_000))
    assert subject.find({key: ahead}) == [(keys.RUN.name, key)]
    sound = records.encode_run(run)
    wrong_id = records.unseal(key, sound).replace(run_id_text(run.run_id).encode(), b"default" + b" " * 29)
    assert subject.find({key: records.seal(key, wrong_id)}) == [(keys.RUN.name, key)]


def test_a_record_that_says_something_else_is_found_by_what_follows(subject: Subject) -> None:
    run = subject.run(2)
    changed = records.encode_run(run._replace(tags=(*run.tags, "new")))
    found = subject.find({keys.run(run.run_id): changed})
    assert (keys.BY_TAG.name, keys.by_tag("new", archived=False, ordinal=run.ordinal)) in found
    assert (keys.TAG_COUNT.name, insight_keys.tag_count("new", archived=False)) in found
    assert {subspace for subspace, _ in found} == {
        keys.BY_TAG.name,
        keys.POSTING.name,
        keys.TAG_COUNT.name,
        keys.FIGURE.name,
    }


# The stream.


def test_very_many_drifts_are_counted_and_not_all_told(subject: Subject, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "DRIFTS_TOLD_MAX", 3)
    tags = dict.fromkeys(subject.of(keys.BY_TAG))
    drifts, summary = subject.drifts(tags)
    assert (len(drifts), summary.drifts) == (3, len(tags))


def test_no_sentence_holds_what_callers_wrote(subject: Subject) -> None:
    drifts, _ = subject.drifts({key: None for kind in DERIVED for key in subject.sample(kind)})
    problems = {drift.problem for drift in drifts}
    assert problems
    assert not [problem for problem in problems for word in ("gone", "name 1", "n1") if word in problem]
