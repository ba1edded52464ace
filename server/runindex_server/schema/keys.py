r"""Every key of the store. The registry `SUBSPACES` lists them all.

    namespace[16] | tag u8 | parts

Keys are built here, those of what a run holds in `data_keys`, those by which runs are counted and compared in
`insight_keys`, and nowhere else.

The nil UUID is the global namespace: records, indexes, counters, the store's own rows. A run's own UUID is
the namespace of its data, where the generation follows the tag. The default run's UUID is the nil UUID too;
its data shares no row with the global namespace's own, because no global subspace has the tag of data.

Integers are big-endian; strings are UTF-8, 0x00 escaped as 0x00 0xff, ended by 0x00; flags are 0x00 or 0x01.
`docs/reference/key-layout.md` is rendered from here, and a test evaluates each example.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from runindex_server.schema.encoding import (
    after_prefix,
    decode_u64,
    encode_string,
    encode_u8,
    encode_u32,
    encode_u64,
    escape,
    split_string,
)
from runindex_server.schema.run import RunId, RunState

GLOBAL_NAMESPACE: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Subspace:
    """A disjoint part of the keys: one tag, one layout.

    Attributes:
        tag: The byte after the namespace. Never used again for anything else.
        name: What its rows are.
        parts: The layout of the key after the tag.
        value: The layout of the value.
        prefix: What all its keys in the global namespace begin with: 17 bytes.
    """

    tag: int
    name: str
    parts: str
    value: str
    prefix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out the prefix, once for all keys."""
        object.__setattr__(self, "prefix", GLOBAL_NAMESPACE + encode_u8(self.tag))

    @property
    def range(self) -> "KeyRange":
        """All its keys in the global namespace."""
        return prefix_range(self.prefix)


class KeyRange(NamedTuple):
    """The keys in `[start, end)`."""

    start: bytes
    end: bytes


HEADER: Final = Subspace(0x01, "store header", "", "frame of StoreHeader")
RUN: Final = Subspace(0x02, "run", "run_id[16]", "frame of ordinal u64, generation u64, ..., RunRecord")
ALL_RUNS: Final = Subspace(0x03, "all runs", "archived u8 | ordinal u64", "run_id[16]")
BY_STATE: Final = Subspace(0x04, "runs by state", "state u8 | ordinal u64", "run_id[16]")
BY_TAG: Final = Subspace(0x05, "runs by tag", "tag str | archived u8 | ordinal u64", "run_id[16]")
BY_PARENT: Final = Subspace(0x06, "runs by parent", "parent_id[16] | archived u8 | ordinal u64", "run_id[16]")
BY_CREATE_TIME: Final = Subspace(0x07, "runs by create time", "create_us u64 | ordinal u64", "run_id[16]")
EXPIRING: Final = Subspace(
    0x08,
    "ended runs with a delete_after of their own, by expiry",
    "expire_us u64 | ordinal u64",
    "run_id[16]",
)
ENDED: Final = Subspace(
    0x09, "ended runs without a policy of their own, by end", "end_us u64 | ordinal u64", "run_id[16]"
)
DUE: Final = Subspace(
    0x0A,
    "runs whose data retention has to look at, by time",
    "due_us u64 | run_id[16] | generation u64",
    "empty",
)
DUE_OF: Final = Subspace(
    0x0B,
    "when retention has to look at a run's data",
    "run_id[16] | generation u64",
    "frame of due_us u64, revision u64",
)
STALE: Final = Subspace(
    0x0C, "unfinished runs by activity", "state u8 | activity_us u64 | ordinal u64", "run_id[16]"
)
BY_ERROR: Final = Subspace(
    0x0D, "failed runs by error", "error[16] | archived u8 | ordinal u64", "run_id[16]"
)
STATE_COUNT: Final = Subspace(0x10, "count of runs by state", "state u8", "counter")
HOLDING: Final = Subspace(0x12, "what a run holds", "run_id[16] | generation u64 | kind u8", "counter")
PENDING_COUNT: Final = Subspace(0x13, "count of changed terms to merge", "", "counter")
CHILD_COUNT: Final = Subspace(0x14, "count of children by state", "parent_id[16] | state u8", "counter")
TAG_COUNT: Final = Subspace(0x15, "count of runs by tag", "archived u8 | tag str", "counter")
ERROR_COUNT: Final = Subspace(0x16, "count of failed runs by error", "error[16] | archived u8", "counter")
FIGURE: Final = Subspace(0x17, "figures of runs", "scope | figure u8 | index u16", "counter")
REQUEST: Final = Subspace(0x20, "answered request", "caller str | request_id str", "frame of RequestAnswer")
REQUEST_BY_TIME: Final = Subspace(
    0x21, "answered requests by time", "answer_us u64 | caller str | request_id str", "empty"
)
TOMBSTONE: Final = Subspace(
    0x30, "tombstone of a deleted run", "run_id[16] | generation u64", "delete_us u64"
)
PENDING_TERMS: Final = Subspace(0x40, "changed terms to merge", "revision u64", "frame of PendingTerms")
POSTING: Final = Subspace(0x41, "posting", "term str | block u32", "frame of a roaring bitmap")
MERGE: Final = Subspace(0x42, "merge", "", "merged_through u64")
CLOCK_TICK: Final = Subspace(0x50, "wall clock as last noted down", "", "frame of ClockTick")
DEFAULT_POLICY_SWEEP: Final = Subspace(
    0x51, "how far the default retention policy has reached", "", "frame of DefaultPolicySweep"
)
COMPACTION: Final = Subspace(0x52, "last compaction", "", "frame of Compaction")
MIGRATION: Final = Subspace(0x53, "how far a migration has come", "", "frame of Migration")
TEMPLATE: Final = Subspace(0x60, "template", "name str", "frame of Template")
TRANSITION: Final = Subspace(
    0x61, "transition of a run", "run_id[16] | generation u64 | version u64", "frame of Transition"
)
DATA: Final = Subspace(
    0x80, "data of a run, in its own namespace", "generation u64 | part u8 | ...", "by part, see below"
)

SUBSPACES: Final = (
    HEADER,
    RUN,
    ALL_RUNS,
    BY_STATE,
    BY_TAG,
    BY_PARENT,
    BY_CREATE_TIME,
    EXPIRING,
    ENDED,
    DUE,
    DUE_OF,
    STALE,
    BY_ERROR,
    STATE_COUNT,
    HOLDING,
    PENDING_COUNT,
    CHILD_COUNT,
    TAG_COUNT,
    ERROR_COUNT,
    FIGURE,
    REQUEST,
    REQUEST_BY_TIME,
    TOMBSTONE,
    PENDING_TERMS,
    POSTING,
    MERGE,
    CLOCK_TICK,
    DEFAULT_POLICY_SWEEP,
    COMPACTION,
    MIGRATION,
    TEMPLATE,
    TRANSITION,
    DATA,
)
"""Every subspace, by tag. 0x0e and 0x0f are free for indexes of runs, 0x18 to 0x1f for counters. 0x11 was the
count of children up to storage version 2."""

STORE_HEADER: Final = HEADER.prefix
"""The key of the store's header."""

MERGED_THROUGH: Final = MERGE.prefix
"""The key of the revision through which changed terms are merged; no row means 0."""


PENDING_TERMS_COUNT: Final = PENDING_COUNT.prefix
"""The counter of the changed terms that wait to be merged."""
ORDINAL_BYTES: Final = 8
"""Of an ordinal at the end of a listing's key."""


def prefix_range(prefix: bytes) -> KeyRange:
    """Return the range of all keys that begin with `prefix`."""
    return KeyRange(prefix, after_prefix(prefix))


def before(listing: KeyRange, ordinal: int | None) -> KeyRange:
    """Return the part of a listing's range with ordinals below `ordinal`, or all of it for None."""
    if ordinal is None:
        return listing
    return KeyRange(listing.start, listing.start + encode_u64(ordinal))


def ordinal_of(listing_key: bytes) -> int:
    """Return the ordinal with which every key of a listing ends."""
    return decode_u64(listing_key[-ORDINAL_BYTES:])


def run(run_id: RunId) -> bytes:
    """Return the key of a run's record."""
    return RUN.prefix + run_id


def runs(run_ids: Iterable[bytes]) -> list[bytes]:
    """Return the keys of runs' records."""
    return [RUN.prefix + run_id for run_id in run_ids]


def run_of(key: bytes) -> RunId:
    """Return the run whose record has this key.

    Raises:
        ValueError: It is no key of a record.
    """
    run_id = parts_of(RUN, key)
    if len(run_id) != 16:
        msg = f"not the key of a run's record: {key.hex()}"
        raise ValueError(msg)
    return RunId(run_id)


def run_prefix_range(run_id_prefix: bytes, *, half_byte: int | None = None) -> KeyRange:
    """Return the records of runs whose id begins with some bytes, and then perhaps with 4 more bits."""
    if half_byte is None:
        return prefix_range(RUN.prefix + run_id_prefix)
    start = RUN.prefix + run_id_prefix
    end = after_prefix(start) if half_byte == 0xF else start + encode_u8((half_byte + 1) << 4)
    return KeyRange(start + encode_u8(half_byte << 4), end)


def all_runs(*, archived: bool, ordinal: int) -> bytes:
    """Return a run's key in the listing of all runs."""
    return ALL_RUNS.prefix + encode_u8(archived) + encode_u64(ordinal)


def all_runs_range(*, archived: bool) -> KeyRange:
    """Return the listing of all runs that are archived, or that are not."""
    return prefix_range(ALL_RUNS.prefix + encode_u8(archived))


def by_state(state: RunState, ordinal: int) -> bytes:
    """Return a run's key in the listing of its state. ARCHIVED being a state, it needs no flag."""
    return BY_STATE.prefix + encode_u8(state) + encode_u64(ordinal)


def by_state_range(state: RunState) -> KeyRange:
    """Return the listing of a state."""
    return prefix_range(BY_STATE.prefix + encode_u8(state))


def by_tag(tag: str, *, archived: bool, ordinal: int) -> bytes:
    """Return a run's key in the listing of one of its tags."""
    return BY_TAG.prefix + encode_string(tag.encode()) + encode_u8(archived) + encode_u64(ordinal)


def by_tag_range(tag: str, *, archived: bool) -> KeyRange:
    """Return the listing of a tag, of the runs that are archived, or that are not."""
    return prefix_range(BY_TAG.prefix + encode_string(tag.encode()) + encode_u8(archived))


def by_parent(parent: RunId, *, archived: bool, ordinal: int) -> bytes:
    """Return a run's key in the listing of its parent's children."""
    return BY_PARENT.prefix + parent + encode_u8(archived) + encode_u64(ordinal)


def by_parent_range(parent: RunId, *, archived: bool) -> KeyRange:
    """Return the listing of a parent's children that are archived, or that are not."""
    return prefix_range(BY_PARENT.prefix + parent + encode_u8(archived))


def by_create_time(create_us: int, ordinal: int) -> bytes:
    """Return a run's key in the listing by create time."""
    return BY_CREATE_TIME.prefix + encode_u64(create_us) + encode_u64(ordinal)


def created_since_range(create_us: int) -> KeyRange:
    """Return the runs that were created at a time or later."""
    return KeyRange(BY_CREATE_TIME.prefix + encode_u64(create_us), after_prefix(BY_CREATE_TIME.prefix))


def expiring(expire_us: int, ordinal: int) -> bytes:
    """Return an ended run's key in the listing by expiry."""
    return EXPIRING.prefix + encode_u64(expire_us) + encode_u64(ordinal)


def expiring_through_range(expire_us: int) -> KeyRange:
    """Return the runs that expire at a time or before."""
    return KeyRange(EXPIRING.prefix, EXPIRING.prefix + encode_u64(expire_us + 1))


def ended(end_us: int, ordinal: int) -> bytes:
    """Return the key of an ended run without a policy of its own in the listing by end."""
    return ENDED.prefix + encode_u64(end_us) + encode_u64(ordinal)


def ended_through_range(end_us: int) -> KeyRange:
    """Return the runs without a policy of their own that ended at a time or before."""
    return KeyRange(ENDED.prefix, ENDED.prefix + encode_u64(max(-1, end_us) + 1))


def due(due_us: int, run_id: RunId, generation: int) -> bytes:
    """Return the key by which a run is found when retention has to look at its data."""
    return DUE.prefix + encode_u64(due_us) + run_id + encode_u64(generation)


def due_through_range(due_us: int) -> KeyRange:
    """Return the runs that are due at a time or before."""
    return KeyRange(DUE.prefix, DUE.prefix + encode_u64(due_us + 1))


def split_due(key: bytes) -> tuple[int, RunId, int]:
    """Return time, run and generation of a row of what is due.

    Raises:
        ValueError: It is no key of one.
    """
    parts = parts_of(DUE, key)
    return decode_u64(parts[:8]), RunId(parts[8:24]), decode_u64(parts[24:])


def due_of(run_id: RunId, generation: int) -> bytes:
    """Return the key of the time at which retention has to look at a run's data."""
    return DUE_OF.prefix + run_id + encode_u64(generation)


def state_count(state: RunState) -> bytes:
    """Return the counter of the runs in a state."""
    return STATE_COUNT.prefix + encode_u8(state)


def holding(run_id: RunId, generation: int, kind: int) -> bytes:
    """Return the counter of what a run holds of one kind."""
    return HOLDING.prefix + run_id + encode_u64(generation) + encode_u8(kind)


def request(caller: str, request_id: str) -> bytes:
    """Return the key of the answer to a request."""
    return REQUEST.prefix + encode_string(caller.encode()) + encode_string(request_id.encode())


def request_by_time(answer_us: int, caller: str, request_id: str) -> bytes:
    """Return the key by which an answer is found when its time is over."""
    name = encode_string(caller.encode()) + encode_string(request_id.encode())
    return REQUEST_BY_TIME.prefix + encode_u64(answer_us) + name


def answered_before_range(answer_us: int) -> KeyRange:
    """Return the requests that were answered before a time."""
    return KeyRange(REQUEST_BY_TIME.prefix, REQUEST_BY_TIME.prefix + encode_u64(answer_us))


def split_request_by_time(key: bytes) -> tuple[int, str, str]:
    """Return the time, caller and request id of a key of the requests by time.

    Raises:
        ValueError: It is none.
    """
    parts = parts_of(REQUEST_BY_TIME, key)
    caller, rest = split_string(parts[8:])
    request_id, rest = split_string(rest)
    if rest:
        msg = f"bytes behind the key of a request: {rest.hex()}"
        raise ValueError(msg)
    return decode_u64(parts[:8]), caller.decode(), request_id.decode()


def tombstone(run_id: RunId, generation: int) -> bytes:
    """Return the key of a deleted run's tombstone."""
    return TOMBSTONE.prefix + run_id + encode_u64(generation)


def split_tombstone(key: bytes) -> tuple[RunId, int]:
    """Return the run and the generation of a tombstone.

    Raises:
        ValueError: It is no key of a tombstone.
    """
    parts = parts_of(TOMBSTONE, key)
    return RunId(parts[:16]), decode_u64(parts[16:])


def pending_terms(revision: int) -> bytes:
    """Return the key of the terms that a write changed."""
    return PENDING_TERMS.prefix + encode_u64(revision)


def pending_terms_range(*, after: int, through: int) -> KeyRange:
    """Return the changed terms of the revisions after one and through another."""
    return KeyRange(pending_terms(after + 1), pending_terms(through + 1))


def revision_of(pending_key: bytes) -> int:
    """Return the revision of a row of changed terms.

    Raises:
        ValueError: It is no key of one.
    """
    return decode_u64(parts_of(PENDING_TERMS, pending_key))


def posting(term: bytes, block: int) -> bytes:
    """Return the key of a term's posting in one block of 65,536 ordinals."""
    return POSTING.prefix + encode_string(term) + encode_u32(block)


def posting_range(term: bytes) -> KeyRange:
    """Return the postings of a term, oldest block first."""
    start = POSTING.prefix + encode_string(term)
    # What follows with 0xff is an escaped 0x00, and so a longer term. No block begins so: they are of
    # ordinals.
    return KeyRange(start, start + b"\xff")


def posting_prefix_range(term_prefix: bytes) -> KeyRange:
    """Return the postings of all terms that begin so."""
    return prefix_range(POSTING.prefix + escape(term_prefix))


def split_posting(key: bytes) -> tuple[bytes, int]:
    """Return the term and the block of a posting.

    Raises:
        ValueError: It is no key of a posting.
    """
    term, block = split_string(parts_of(POSTING, key))
    if len(block) != 4:
        msg = f"a block has 4 bytes, not {len(block)}"
        raise ValueError(msg)
    return term, int.from_bytes(block, "big")


def data_range(run_id: RunId, generation: int) -> KeyRange:
    """Return all that a run of one generation holds."""
    return prefix_range(run_id + encode_u8(DATA.tag) + encode_u64(generation))


def parts_of(subspace: Subspace, key: bytes) -> bytes:
    """Return what follows the tag in a key of a subspace.

    Raises:
        ValueError: It is a key of another.
    """
    if not key.startswith(subspace.prefix):
        msg = f"not the key of a {subspace.name}: {key.hex()}"
        raise ValueError(msg)
    return key[len(subspace.prefix) :]
