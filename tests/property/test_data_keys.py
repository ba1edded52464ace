"""Keys of what runs hold are in the order of what they say, and each range holds its keys and no others."""

from collections.abc import Callable
from itertools import combinations
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runindex_server.kv.api import KEY_BYTES_MAX
from runindex_server.limits import NAME_BYTES_MAX
from runindex_server.schema import keys
from runindex_server.schema.data_keys import (
    DELETED_ITEM,
    EVENT,
    EVENTS_APPENDED,
    ITEM,
    ITEM_DEPTH,
    ITEM_VERSION,
    PARTS,
    STREAM_COUNT,
    STREAM_DEPTH,
    STREAM_EVENT,
    SUPERSEDED,
    DataKeys,
    ItemKind,
    ItemVersionRef,
    Part,
)
from runindex_server.schema.run import RunId

DATA: Final = DataKeys(RunId(b"\x07" * 16), 9)

# Versions and sequences stay below the first byte 0xff, which after a string's end would read as an escape.
u64 = st.one_of(st.integers(0, 2**63), st.sampled_from((0, 1, 0xFF, 0x100, 2**63)))
names = st.one_of(
    st.text(alphabet="a\x7fb\u07ff\uffff\U0010ffff", min_size=1, max_size=6),
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=NAME_BYTES_MAX // 4
    ),
)
kinds = st.sampled_from(ItemKind)


def superseded(supersede_us: int, kind: ItemKind, name: str, version: int) -> bytes:
    """Return the key of a superseded version, its parts one by one."""
    return DATA.superseded(supersede_us, ItemVersionRef(kind, name, version))


def item_depth(depth: int, kind: ItemKind, name: str) -> bytes:
    """Return the key of an item by its depth, its parts in the order of the key."""
    return DATA.item_depth(kind, name, depth)


def stream_depth(count: int, stream: str) -> bytes:
    """Return the key of a stream by its count, its parts in the order of the key."""
    return DATA.stream_depth(stream, count)


PACKERS: Final[dict[Part, tuple[Callable[..., bytes], tuple[st.SearchStrategy[Any], ...]]]] = {
    ITEM: (DATA.item, (kinds, names)),
    DELETED_ITEM: (DATA.deleted_item, (kinds, names)),
    ITEM_VERSION: (DATA.item_version, (kinds, names, u64)),
    SUPERSEDED: (superseded, (u64, kinds, names, u64)),
    ITEM_DEPTH: (item_depth, (u64, kinds, names)),
    EVENT: (DATA.event, (u64,)),
    STREAM_EVENT: (DATA.stream_event, (names, u64)),
    STREAM_COUNT: (DATA.stream_count, (names,)),
    STREAM_DEPTH: (stream_depth, (u64, names)),
}
"""For each part with a rest what packs it, and what it can be."""

DECODERS: Final[dict[Part, Callable[[bytes], object]]] = {
    SUPERSEDED: lambda key: (DATA.split_superseded(key)[0], *DATA.split_superseded(key)[1]),
    ITEM_DEPTH: DATA.split_item_depth,
    STREAM_DEPTH: DATA.split_stream_depth,
}

of_part = pytest.mark.parametrize("part", PACKERS, ids=lambda part: part.name)


def as_bytes(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return parts as they are to be ordered: text by its UTF-8."""
    return tuple(part.encode() if isinstance(part, str) else part for part in parts)


def part_range(part: Part) -> keys.KeyRange:
    """Return all keys of a part."""
    return keys.prefix_range(DATA.range.start + bytes([part.number]))


def test_every_part_is_covered() -> None:
    assert {*PACKERS, EVENTS_APPENDED} == set(PARTS)
    assert DATA.events_appended == part_range(EVENTS_APPENDED).start


def test_parts_are_disjoint() -> None:
    ranges = sorted(part_range(part) for part in PARTS)

    assert all(one.end <= other.start for one, other in combinations(ranges, 2))


@of_part
@given(data=st.data())
def test_keys_are_ordered_as_their_parts(part: Part, data: st.DataObject) -> None:
    pack, parts = PACKERS[part]
    one, other = data.draw(st.tuples(*parts)), data.draw(st.tuples(*parts))
    shared = data.draw(st.integers(0, len(parts) - 1))
    other = one[:shared] + other[shared:]

    assert (pack(*one) < pack(*other)) == (as_bytes(one) < as_bytes(other))
    assert (pack(*one) == pack(*other)) == (one == other)


@of_part
@given(data=st.data())
def test_keys_lie_in_their_part_and_within_the_bounds(part: Part, data: st.DataObject) -> None:
    pack, parts = PACKERS[part]
    key = pack(*data.draw(st.tuples(*parts)))
    start, end = part_range(part)

    assert len(key) <= KEY_BYTES_MAX
    assert start <= key < end
    assert DATA.range.start <= key < DATA.range.end


@pytest.mark.parametrize("part", DECODERS, ids=lambda part: part.name)
@given(data=st.data())
def test_decoders_undo_packing(part: Part, data: st.DataObject) -> None:
    pack, parts = PACKERS[part]
    values = data.draw(st.tuples(*parts))

    assert DECODERS[part](pack(*values)) == values


@given(kind=kinds, name=names, prefix=st.just("") | names, other_kind=kinds)
def test_items_are_found_by_a_prefix_of_their_names(
    kind: ItemKind, name: str, prefix: str, other_kind: ItemKind
) -> None:
    key, found = DATA.item(kind, name), DATA.item_range(other_kind, prefix)

    assert DATA.name_of(key) == name
    assert (found.start <= key < found.end) == (kind == other_kind and name.startswith(prefix))


@given(kind=kinds, name=names, version=u64, other=names, below=st.none() | u64)
def test_versions_are_found_by_their_item(
    kind: ItemKind, name: str, version: int, other: str, below: int | None
) -> None:
    key, found = DATA.item_version(kind, name, version), DATA.item_version_range(kind, other, below=below)

    assert DATA.version_of(key) == version
    assert (found.start <= key < found.end) == (name == other and (below is None or version < below))


@given(stream=names, sequence=u64, other=names, start=u64, end=st.none() | u64)
def test_events_are_found_by_their_sequence(
    stream: str, sequence: int, other: str, start: int, end: int | None
) -> None:
    is_within = start <= sequence and (end is None or sequence < end)
    of_all, of_stream = (
        DATA.event_range(start=start, end=end),
        DATA.stream_event_range(other, start=start, end=end),
    )
    event, stream_event = DATA.event(sequence), DATA.stream_event(stream, sequence)

    assert DATA.sequence_of(event) == DATA.sequence_of(stream_event) == sequence
    assert (of_all.start <= event < of_all.end) == is_within
    assert (of_stream.start <= stream_event < of_stream.end) == (is_within and stream == other)


@given(us=u64, through_us=u64, kind=kinds, name=names, version=u64)
def test_superseded_versions_are_found_by_time(
    us: int, through_us: int, kind: ItemKind, name: str, version: int
) -> None:
    key, found = superseded(us, kind, name, version), DATA.superseded_through_range(through_us)

    assert (found.start <= key < found.end) == (us <= through_us)
    assert DATA.superseded_range.start <= key < DATA.superseded_range.end


@given(depth=u64, least=u64, kind=kinds, name=names)
def test_items_and_streams_are_found_by_how_much_they_have(
    depth: int, least: int, kind: ItemKind, name: str
) -> None:
    items, streams = DATA.item_depth_range(least), DATA.stream_depth_range(least)

    assert (items.start <= item_depth(depth, kind, name) < items.end) == (depth >= least)
    assert (streams.start <= stream_depth(depth, name) < streams.end) == (depth >= least)
