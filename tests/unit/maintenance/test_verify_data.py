"""Verifying what runs hold: each fault is found where it is."""

import pytest

from runindex_server.kv.api import decode_counter, encode_counter
from runindex_server.schema import data_keys, keys, records
from runindex_server.schema.data_keys import DataKeys, ItemKind, ItemVersionRef
from runindex_server.schema.encoding import encode_u64
from runindex_server.schema.items import (
    ItemHead,
    decode_event,
    decode_head,
    decode_version,
    encode_head,
    encode_version,
)
from tests.support.tampering import Subject


def test_data_that_is_left_over_is_found(subject: Subject) -> None:
    data = DataKeys.of(subject.run(0))
    version = data.item_version(ItemKind.VALUE, "none", 1)
    beyond = data.item_version(ItemKind.VALUE, "gone", 3)
    content = decode_version(*next(iter(subject.of(data_keys.ITEM_VERSION).items())))
    rows = {
        data_keys.ITEM_VERSION: [
            (version, encode_version(version, content)),
            (beyond, encode_version(beyond, content)),
        ],
        data_keys.SUPERSEDED: [
            (data.superseded(1, ItemVersionRef(ItemKind.VALUE, "gone", 1)), b""),
            (data.superseded(1, ItemVersionRef(ItemKind.VALUE, "gone", 2)), b""),
            (data.superseded(1, ItemVersionRef(ItemKind.CELL, "none", 2)), b""),
        ],
        data_keys.ITEM_DEPTH: [
            (data.item_depth(ItemKind.VALUE, "gone", 7), b""),
            (data.item_depth(ItemKind.VALUE, "none", 1), b""),
        ],
        data_keys.STREAM_EVENT: [(data.stream_event("s", 99), b""), (data.stream_event("other", 0), b"")],
        data_keys.STREAM_COUNT: [(data.stream_count("other"), encode_counter(2))],
        data_keys.STREAM_DEPTH: [(data.stream_depth("other", 1), b""), (data.stream_depth("s", 1), b"")],
    }
    for part, found in rows.items():
        for key, value in found:
            assert subject.find({key: value}) == [(part.name, key)]


def test_a_head_that_is_wrong_is_found(subject: Subject) -> None:
    data = DataKeys.of(subject.run(0))
    key = data.item(ItemKind.VALUE, "a b")
    head = decode_head(key, subject.rows[key])
    ahead = encode_head(key, ItemHead(head.version + 1, head.oldest))
    found = subject.find({key: ahead})
    missing = data.item_version(ItemKind.VALUE, "a b", head.version + 1)
    assert (data_keys.ITEM_VERSION.name, missing) in found
    assert {part for part, _ in found} == {data_keys.ITEM_VERSION.name, data_keys.ITEM_DEPTH.name}
    none = encode_head(key, ItemHead(1, 2))
    assert (data_keys.ITEM.name, key) in subject.find({key: none})
    deleted = data.deleted_item(ItemKind.VALUE, "a b")
    assert subject.find({deleted: encode_head(deleted, head)}) == [(data_keys.DELETED_ITEM.name, deleted)]
    moved = {key: None, deleted: encode_head(deleted, head)}
    assert set(subject.find(moved)) >= {(data_keys.DELETED_ITEM.name, deleted)}


def test_an_item_without_any_version_is_found(subject: Subject) -> None:
    data = DataKeys.of(subject.run(2))
    key = data.item(ItemKind.DOCUMENT, "new")
    found = subject.find({key: encode_head(key, ItemHead(1, 1))})
    holding = keys.holding(subject.run(2).run_id, subject.run(2).generation, 4)
    assert sorted(found) == sorted(
        [
            (data_keys.ITEM_VERSION.name, data.item_version(ItemKind.DOCUMENT, "new", 1)),
            (keys.HOLDING.name, holding),
        ]
    )


def test_versions_that_are_missing_together_are_told_once(subject: Subject) -> None:
    data = DataKeys.of(subject.run(0))
    name = "b" * 2
    versions = [data.item_version(ItemKind.VALUE, name, number) for number in (1, 2)]
    assert subject.find(dict.fromkeys(versions)) == [(data_keys.ITEM_VERSION.name, versions[0])]


def test_an_event_that_is_missing_is_found_by_what_follows(subject: Subject) -> None:
    run = subject.run(0)
    data = DataKeys.of(run)
    found = subject.find({data.event(0): None})
    assert (data_keys.STREAM_EVENT.name, data.stream_event("s", 0)) in found
    assert {part for part, _ in found} == {
        data_keys.STREAM_EVENT.name,
        data_keys.STREAM_COUNT.name,
        data_keys.STREAM_DEPTH.name,
        keys.HOLDING.name,
    }


def test_a_stream_in_which_no_event_is_found_is_told_event_by_event(subject: Subject) -> None:
    data = DataKeys.of(subject.run(0))
    start, end = data.stream_event_range("t")
    of_stream = [key for key in subject.rows if start <= key < end]
    assert of_stream
    expected = [(data_keys.STREAM_EVENT.name, key) for key in of_stream]
    assert subject.find(dict.fromkeys(of_stream)) == expected


def test_fewer_events_appended_than_there_are_is_found(subject: Subject) -> None:
    key = DataKeys.of(subject.run(0)).events_appended
    for count in (-1, 1, decode_counter(subject.rows[key]) - 1):
        assert subject.find({key: encode_counter(count)}) == [(data_keys.EVENTS_APPENDED.name, key)]


# Retention.


@pytest.mark.parametrize("number", [0, 1], ids=["keep_latest_n", "keep_duration"])
def test_a_run_that_retention_will_not_look_at_is_found(subject: Subject, number: int) -> None:
    run = subject.run(number)
    of = keys.due_of(run.run_id, run.generation)
    (by_time,) = [key for key in subject.of(keys.DUE) if keys.split_due(key)[1] == run.run_id]
    assert subject.find({of: None, by_time: None}) == [(keys.DUE_OF.name, of)]


def test_a_run_at_which_retention_looks_too_late_is_found(subject: Subject) -> None:
    run = subject.run(1)
    assert run.retention is not None
    of = keys.due_of(run.run_id, run.generation)
    (by_time,) = [key for key in subject.of(keys.DUE) if keys.split_due(key)[1] == run.run_id]
    first = DataKeys.of(run).event(0)
    latest_us = decode_event(first, subject.rows[first]).append_us + (run.retention.keep_duration_us or 0)

    def scheduled(due_us: int) -> dict[bytes, bytes | None]:
        row = records.seal(of, encode_u64(due_us) + encode_u64(1))
        return {by_time: None, keys.due(due_us, run.run_id, run.generation): b"", of: row}

    assert subject.find(scheduled(latest_us)) == []
    assert subject.find(scheduled(latest_us + 1)) == [(keys.DUE_OF.name, of)]
    # As if the policy had been set when the event was over its time already.
    key = keys.run(run.run_id)
    late = {key: records.encode_run(run._replace(update_us=latest_us + 5))}
    assert subject.find(scheduled(latest_us + 5) | late) == []
    assert subject.find(scheduled(latest_us + 6) | late) == [(keys.DUE_OF.name, of)]
