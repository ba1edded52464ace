"""Keys are in the order of what they say, stay in their subspace, and are all that decoders take."""

from collections.abc import Callable
from itertools import combinations
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runindex_server.kv.api import KEY_BYTES_MAX
from runindex_server.limits import REQUEST_ID_BYTES_MAX, TAG_BYTES_MAX, TERM_BYTES_MAX
from runindex_server.schema import encoding, insight_keys, keys
from runindex_server.schema.insight_keys import Figure
from runindex_server.schema.run import RunId, RunState

u64 = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from((0, 1, 0xFF, 0x100, 2**63, 2**64 - 1)))
# The block of a posting stays below the first byte 0xff, which after a string's end would read as an escape.
blocks = st.integers(0, 0xFEFF_FFFF)
flags = st.booleans()
run_ids = st.one_of(
    st.binary(min_size=16, max_size=16), st.sampled_from((bytes(16), b"\x00" * 15 + b"\x01", b"\xff" * 16))
).map(RunId)
states = st.sampled_from(RunState)
terms = st.one_of(
    st.binary(max_size=TERM_BYTES_MAX),
    st.lists(st.sampled_from((b"\x00", b"\xff", b"a")), max_size=6).map(b"".join),
)


def texts(bytes_max: int) -> st.SearchStrategy[str]:
    """Return texts of so many bytes at most, with those that are awkward to keep in order."""
    awkward = st.text(alphabet="\x00\x01a\x7f\x80\u07ff\uffff\U0010ffff", max_size=6)
    return st.one_of(awkward, st.text(max_size=bytes_max // 4)).filter(
        lambda text: len(text.encode()) <= bytes_max
    )


tags, names = texts(TAG_BYTES_MAX), texts(REQUEST_ID_BYTES_MAX)


def packer(pack: Callable[..., bytes], *keywords: str) -> Callable[..., bytes]:
    """Return a key's function with its last parts by position, in the order of the key."""

    def positional(*parts: Any) -> bytes:
        split = len(parts) - len(keywords)
        return pack(*parts[:split], **dict(zip(keywords, parts[split:], strict=True)))

    return positional


def as_bytes(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return parts as they are to be ordered: text by its UTF-8, which is by code point."""
    return tuple(part.encode() if isinstance(part, str) else part for part in parts)


def tag_count(archived: bool, tag: str) -> bytes:  # noqa: FBT001  # By position, in the order of the key.
    """Return the counter of the runs that carry a tag."""
    return insight_keys.tag_count(tag, archived=archived)


def tag_figure(tag: str, kind: Figure, index: int) -> bytes:
    """Return the key of a figure of the runs that carry a tag."""
    return insight_keys.figure(insight_keys.tag_scope(tag), kind, index)


SUBSPACES: Final = {
    keys.RUN: (keys.run, (run_ids,)),
    keys.ALL_RUNS: (packer(keys.all_runs, "archived", "ordinal"), (flags, u64)),
    keys.BY_STATE: (keys.by_state, (states, u64)),
    keys.BY_TAG: (packer(keys.by_tag, "archived", "ordinal"), (tags, flags, u64)),
    keys.BY_PARENT: (packer(keys.by_parent, "archived", "ordinal"), (run_ids, flags, u64)),
    keys.BY_CREATE_TIME: (keys.by_create_time, (u64, u64)),
    keys.EXPIRING: (keys.expiring, (u64, u64)),
    keys.ENDED: (keys.ended, (u64, u64)),
    keys.DUE: (keys.due, (u64, run_ids, u64)),
    keys.DUE_OF: (keys.due_of, (run_ids, u64)),
    keys.STATE_COUNT: (keys.state_count, (states,)),
    keys.CHILD_COUNT: (insight_keys.child_count, (run_ids, states)),
    keys.TAG_COUNT: (tag_count, (flags, tags)),
    keys.ERROR_COUNT: (packer(insight_keys.error_count, "archived"), (run_ids, flags)),
    keys.FIGURE: (tag_figure, (tags, st.sampled_from(Figure), st.integers(0, 2**16 - 1))),
    keys.STALE: (insight_keys.stale, (states, u64, u64)),
    keys.BY_ERROR: (packer(insight_keys.by_error, "archived", "ordinal"), (run_ids, flags, u64)),
    keys.TEMPLATE: (insight_keys.template, (names,)),
    keys.TRANSITION: (insight_keys.transition, (run_ids, u64, u64)),
    keys.HOLDING: (keys.holding, (run_ids, u64, st.integers(0, 255))),
    keys.REQUEST: (keys.request, (names, names)),
    keys.REQUEST_BY_TIME: (keys.request_by_time, (u64, names, names)),
    keys.TOMBSTONE: (keys.tombstone, (run_ids, u64)),
    keys.PENDING_TERMS: (keys.pending_terms, (u64,)),
    keys.POSTING: (keys.posting, (terms, blocks)),
}
"""For each subspace with parts what packs them, and what they can be."""

SINGLE: Final = {
    keys.HEADER: keys.STORE_HEADER,
    keys.PENDING_COUNT: keys.PENDING_TERMS_COUNT,
    keys.MERGE: keys.MERGED_THROUGH,
    keys.CLOCK_TICK: keys.CLOCK_TICK.prefix,
    keys.DEFAULT_POLICY_SWEEP: keys.DEFAULT_POLICY_SWEEP.prefix,
    keys.COMPACTION: keys.COMPACTION.prefix,
    keys.MIGRATION: keys.MIGRATION.prefix,
}
"""Subspaces of one key."""

DECODERS: Final = {
    keys.RUN: (keys.run_of, keys.run),
    keys.DUE: (keys.split_due, keys.due),
    keys.REQUEST_BY_TIME: (keys.split_request_by_time, keys.request_by_time),
    keys.TOMBSTONE: (keys.split_tombstone, keys.tombstone),
    keys.TAG_COUNT: (insight_keys.split_tag_count, tag_count),
    keys.ERROR_COUNT: (insight_keys.split_error_count, packer(insight_keys.error_count, "archived")),
    keys.TRANSITION: (insight_keys.split_transition, insight_keys.transition),
    keys.POSTING: (keys.split_posting, keys.posting),
}
"""For each subspace whose keys are decoded the decoder, and what it undoes."""

of_subspace = pytest.mark.parametrize("subspace", SUBSPACES, ids=lambda subspace: subspace.name)
of_decoder = pytest.mark.parametrize("subspace", DECODERS, ids=lambda subspace: subspace.name)


def test_every_subspace_is_covered() -> None:
    # Data has keys of its own module.
    assert {*SUBSPACES, *SINGLE, keys.DATA} == set(keys.SUBSPACES)


@of_subspace
@given(data=st.data())
def test_keys_are_ordered_as_their_parts(subspace: keys.Subspace, data: st.DataObject) -> None:
    pack, parts = SUBSPACES[subspace]
    one, other = data.draw(st.tuples(*parts)), data.draw(st.tuples(*parts))
    # Half of the time they share their first parts, where an order goes wrong.
    shared = data.draw(st.integers(0, len(parts) - 1))
    other = one[:shared] + other[shared:]

    assert (pack(*one) < pack(*other)) == (as_bytes(one) < as_bytes(other))
    assert (pack(*one) == pack(*other)) == (one == other)


@of_subspace
@given(data=st.data())
def test_keys_lie_in_their_subspace_and_within_the_bounds(
    subspace: keys.Subspace, data: st.DataObject
) -> None:
    pack, parts = SUBSPACES[subspace]
    key = pack(*data.draw(st.tuples(*parts)))

    assert len(key) <= KEY_BYTES_MAX
    holding = [other for other in keys.SUBSPACES if other.range.start <= key < other.range.end]
    assert holding == [subspace]


def test_subspaces_are_disjoint() -> None:
    ranges = sorted(subspace.range for subspace in keys.SUBSPACES)

    assert all(one.end <= other.start for one, other in combinations(ranges, 2))
    assert len({subspace.tag for subspace in keys.SUBSPACES}) == len(keys.SUBSPACES)
    assert all(key == subspace.prefix for subspace, key in SINGLE.items())


@given(run_id=run_ids, generation=u64)
def test_the_default_runs_data_is_apart_from_everything_global(run_id: RunId, generation: int) -> None:
    data = keys.data_range(run_id, generation)

    for subspace in keys.SUBSPACES:
        if subspace is not keys.DATA:
            assert data.end <= subspace.range.start or subspace.range.end <= data.start


LISTINGS: Final = {
    keys.ALL_RUNS: (packer(keys.all_runs_range, "archived"), 1),
    keys.BY_STATE: (keys.by_state_range, 1),
    keys.BY_TAG: (packer(keys.by_tag_range, "archived"), 2),
    keys.BY_PARENT: (packer(keys.by_parent_range, "archived"), 2),
}
"""For each listing the range of one list, and how many first parts of its keys name the list."""


@pytest.mark.parametrize("subspace", LISTINGS, ids=lambda subspace: subspace.name)
@given(data=st.data())
def test_a_listings_range_holds_its_keys_and_no_others(subspace: keys.Subspace, data: st.DataObject) -> None:
    pack, parts = SUBSPACES[subspace]
    range_of, named = LISTINGS[subspace]
    one, other = data.draw(st.tuples(*parts)), data.draw(st.tuples(*parts))
    listing = range_of(*one[:named])
    key = pack(*other)

    assert (listing.start <= key < listing.end) == (other[:named] == one[:named])
    below = keys.before(listing, one[-1])
    assert (below.start <= key < below.end) == (other[:named] == one[:named] and other[-1] < one[-1])
    assert keys.ordinal_of(key) == other[-1]


THROUGH: Final = {
    keys.EXPIRING: keys.expiring_through_range,
    keys.ENDED: keys.ended_through_range,
    keys.DUE: keys.due_through_range,
}
"""For each subspace by time the range of what lies at a time or before."""


@pytest.mark.parametrize("subspace", THROUGH, ids=lambda subspace: subspace.name)
@given(data=st.data(), through_us=st.integers(0, 2**64 - 2))
def test_a_range_through_a_time_holds_what_is_not_later(
    subspace: keys.Subspace, data: st.DataObject, through_us: int
) -> None:
    pack, parts = SUBSPACES[subspace]
    values = data.draw(st.tuples(*parts))
    found = THROUGH[subspace](through_us)

    assert (found.start <= pack(*values) < found.end) == (values[0] <= through_us)


@given(of=states, other=states, through_us=st.integers(0, 2**64 - 2), row=st.tuples(u64, u64), data=st.data())
def test_stale_runs_are_found_through_a_time_and_after_a_run(
    of: RunState, other: RunState, through_us: int, row: tuple[int, int], data: st.DataObject
) -> None:
    after = data.draw(st.none() | st.just(row) | st.tuples(u64, u64))
    found = insight_keys.stale_through_range(of, through_us, after=after)
    key = insight_keys.stale(other, *row)

    is_after = after is None or row > after
    assert (found.start <= key < found.end) == (other is of and row[0] <= through_us and is_after)
    assert insight_keys.split_stale(key) == row


@given(tag=tags, prefix=tags, after=st.none() | tags, archived=flags, of=flags)
def test_tags_are_found_by_a_prefix_and_after_a_tag(
    tag: str, prefix: str, after: str | None, *, archived: bool, of: bool
) -> None:
    # A page ends with a tag that has the prefix.
    after = None if after is None else prefix + after
    found = insight_keys.tag_counts_range(prefix, archived=of, after=after)
    key = insight_keys.tag_count(tag, archived=archived)

    is_after = after is None or tag.encode() > after.encode()
    assert (found.start <= key < found.end) == (archived == of and tag.startswith(prefix) and is_after)


@given(term=terms, prefix=terms, block=blocks)
@example(term=b"a\x00b", prefix=b"a\x00", block=0)
@example(term=b"a", prefix=b"a\x00", block=0)
def test_postings_are_found_by_a_terms_prefix(term: bytes, prefix: bytes, block: int) -> None:
    key = keys.posting(term, block)
    by_prefix, by_term = keys.posting_prefix_range(prefix), keys.posting_range(prefix)

    assert (by_prefix.start <= key < by_prefix.end) == term.startswith(prefix)
    assert (by_term.start <= key < by_term.end) == (term == prefix)


@given(run_id=run_ids, size=st.integers(0, 15), half_byte=st.none() | st.integers(0, 15), other=run_ids)
def test_runs_are_found_by_an_ids_prefix(
    run_id: RunId, size: int, half_byte: int | None, other: RunId
) -> None:
    prefix = bytes(run_id[:size])
    found = keys.run_prefix_range(prefix, half_byte=half_byte)
    is_sought = other.startswith(prefix) and (half_byte is None or other[size] >> 4 == half_byte)

    assert (found.start <= keys.run(other) < found.end) == is_sought


@given(after=st.integers(0, 2**64 - 3), through=st.integers(0, 2**64 - 2), revision=u64)
def test_changed_terms_are_found_by_their_revisions(after: int, through: int, revision: int) -> None:
    found = keys.pending_terms_range(after=after, through=through)
    key = keys.pending_terms(revision)

    assert (found.start <= key < found.end) == (after < revision <= through)
    assert keys.revision_of(key) == revision


@of_decoder
@given(data=st.data())
def test_decoders_undo_packing(subspace: keys.Subspace, data: st.DataObject) -> None:
    pack, parts = SUBSPACES[subspace]
    decode, _ = DECODERS[subspace]
    values = data.draw(st.tuples(*parts))

    decoded = decode(pack(*values))

    assert (decoded if isinstance(decoded, tuple) else (decoded,)) == values


@of_decoder
@given(data=st.data())
def test_decoders_refuse_what_is_no_key(subspace: keys.Subspace, data: st.DataObject) -> None:
    """A mutated key is refused, or is another key of the same subspace: nothing is read out of nonsense."""
    pack, parts = SUBSPACES[subspace]
    decode, encode = DECODERS[subspace]
    key = bytearray(pack(*data.draw(st.tuples(*parts))))
    position = data.draw(st.integers(0, len(key) - 1), label="position")
    match data.draw(st.sampled_from(("flip", "cut", "insert", "append")), label="mutation"):
        case "flip":
            key[position] ^= data.draw(st.integers(1, 255))
        case "cut":
            del key[position:]
        case "insert":
            key.insert(position, data.draw(st.integers(0, 255)))
        case _:
            key.append(data.draw(st.integers(0, 255)))
    try:
        decoded = decode(bytes(key))
    except ValueError:
        return

    assert encode(*(decoded if isinstance(decoded, tuple) else (decoded,))) == bytes(key)


@given(text=terms, rest=st.binary(max_size=4).filter(lambda rest: rest[:1] != b"\xff"))
def test_strings_end_themselves(text: bytes, rest: bytes) -> None:
    assert encoding.split_string(encoding.encode_string(text) + rest) == (text, rest)


@given(
    prefix=st.binary(min_size=1, max_size=6).filter(lambda prefix: prefix.strip(b"\xff")),
    key=st.binary(max_size=8),
)
def test_nothing_lies_between_a_prefix_and_what_follows_it(prefix: bytes, key: bytes) -> None:
    end = encoding.after_prefix(prefix)

    assert (prefix <= key < end) == key.startswith(prefix)


@pytest.mark.parametrize("prefix", [b"", b"\xff", b"\xff\xff"])
def test_what_nothing_follows_is_refused(prefix: bytes) -> None:
    with pytest.raises(ValueError, match="no key follows"):
        encoding.after_prefix(prefix)
