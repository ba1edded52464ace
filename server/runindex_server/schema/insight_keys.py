"""The keys by which runs are counted and compared, those of transitions, and those of templates.

A scope says of which runs a figure is:

    every run     0x00
    with a tag    0x01 | tag str
    by hour       0x02 | hours since 1970 u32     of the end
    by day        0x03 | days since 1970 u32      of the end

The encodings are those of `keys`.
"""

from enum import IntEnum
from functools import lru_cache
from typing import Final

from runindex_server.schema import keys
from runindex_server.schema.encoding import (
    after_prefix,
    decode_flag,
    decode_u64,
    encode_string,
    encode_u8,
    encode_u16,
    encode_u32,
    encode_u64,
    escape,
    split_string,
)
from runindex_server.schema.keys import KeyRange, prefix_range
from runindex_server.schema.run import RunId, RunState

TAGS_REMEMBERED: Final = 4_096
"""Tags whose scope is remembered. That takes a third off working out the counters of a run."""

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US

EVERY_RUN: Final = b"\x00"
"""The scope of all runs."""

_TAG: Final = b"\x01"
_STATES: Final = tuple(encode_u8(state) for state in RunState)
_SCOPES_OF_INTERVALS: Final = {HOUR_US: b"\x02", DAY_US: b"\x03"}


class Figure(IntEnum):
    """What a figure counts. Stored by number.

    STATE and OUTCOME are runs, by the number of the state; SECONDS and MICROSECONDS the durations of finished
    runs added up, in whole seconds and what is beyond those; DURATION_GROUP and DURATION finished runs, by
    the group of buckets and by the bucket of their duration.
    """

    STATE = 1
    OUTCOME = 2
    SECONDS = 3
    MICROSECONDS = 4
    DURATION_GROUP = 5
    DURATION = 6


@lru_cache(TAGS_REMEMBERED)
def tag_scope(tag: str) -> bytes:
    """Return the scope of the runs that carry a tag."""
    return _TAG + encode_string(tag.encode())


def interval_scope(interval_us: int, end_us: int) -> bytes:
    """Return the scope of the runs that finished in the hour or the day in which a time lies."""
    return _SCOPES_OF_INTERVALS[interval_us] + encode_u32(end_us // interval_us)


def figure(scope: bytes, kind: Figure, index: int = 0) -> bytes:
    """Return the counter of a figure."""
    return keys.FIGURE.prefix + scope + figure_part(kind, index)


def figure_part(kind: Figure, index: int = 0) -> bytes:
    """Return what stands behind the scope in the key of a figure."""
    return encode_u8(kind) + encode_u16(index)


def figures_range(scope: bytes) -> KeyRange:
    """Return the figures of a scope, kind by kind, by index: all but those by bucket, which come last."""
    return KeyRange(keys.FIGURE.prefix + scope, figure(scope, Figure.DURATION))


def durations_range(scope: bytes, buckets: range) -> KeyRange:
    """Return the figures by bucket of a scope, of buckets that follow each other."""
    return KeyRange(*(figure(scope, Figure.DURATION, bound) for bound in (buckets.start, buckets.stop)))


def intervals_range(interval_us: int, first: int, number: int) -> KeyRange:
    """Return the figures of hours or days that follow each other, the oldest first.

    Args:
        interval_us: HOUR_US or DAY_US.
        first: The first of them, by its number since 1970; figures are of none before 0.
        number: How many they are.
    """
    start = keys.FIGURE.prefix + _SCOPES_OF_INTERVALS[interval_us]
    bounds = (max(0, bound) for bound in (first, first + number))
    return KeyRange(*(start + encode_u32(bound) for bound in bounds))


def interval_of(key: bytes) -> int:
    """Return the number, since 1970, of the hour or the day of which a figure is."""
    return int.from_bytes(key[-7:-3], "big")


def split_figure_part(key: bytes) -> tuple[Figure, int]:
    """Return what a figure counts, and its index."""
    return Figure(key[-3]), int.from_bytes(key[-2:], "big")


def tag_count(tag: str, *, archived: bool) -> bytes:
    """Return the counter of the runs that carry a tag and are archived, or are not."""
    return keys.TAG_COUNT.prefix + encode_u8(archived) + encode_string(tag.encode())


def tag_counts_range(prefix: str, *, archived: bool, after: str | None = None) -> KeyRange:
    """Return the counters of the tags that begin so, in the order of their bytes: all, or those after one.

    Args:
        prefix: What the tags begin with; empty for all.
        archived: Whether to return those of archived runs, or of all others.
        after: The tag that comes before the first.
    """
    start, end = prefix_range(keys.TAG_COUNT.prefix + encode_u8(archived) + escape(prefix.encode()))
    return KeyRange(start if after is None else tag_count(after, archived=archived) + b"\x00", end)


def split_tag_count(key: bytes) -> tuple[bool, str]:
    """Return whether a counter counts archived runs, and the tag that it is of.

    Raises:
        ValueError: It is no key of one.
    """
    parts = keys.parts_of(keys.TAG_COUNT, key)
    tag, rest = split_string(parts[1:])
    if rest:
        msg = f"bytes behind the key of a count of a tag: {rest.hex()}"
        raise ValueError(msg)
    return decode_flag(parts[:1]), tag.decode()


def error_count(error: bytes, *, archived: bool) -> bytes:
    """Return the counter of the runs with an error, by its digest, that are archived, or that are not."""
    return keys.ERROR_COUNT.prefix + error + encode_u8(archived)


def split_error_count(key: bytes) -> tuple[bytes, bool]:
    """Return the digest of the error that a counter is of, and whether it counts archived runs.

    Raises:
        ValueError: It is no key of one.
    """
    parts = keys.parts_of(keys.ERROR_COUNT, key)
    return parts[:16], decode_flag(parts[16:])


def by_error(error: bytes, *, archived: bool, ordinal: int) -> bytes:
    """Return a failed run's key in the listing of its error."""
    return keys.BY_ERROR.prefix + error + encode_u8(archived) + encode_u64(ordinal)


def by_error_range(error: bytes, *, archived: bool) -> KeyRange:
    """Return the listing of an error, of the runs that are archived, or that are not."""
    return prefix_range(keys.BY_ERROR.prefix + error + encode_u8(archived))


def child_count(parent: RunId, state: RunState) -> bytes:
    """Return the counter of a parent's children in a state."""
    return keys.CHILD_COUNT.prefix + parent + encode_u8(state)


def child_counts(parent: RunId) -> list[bytes]:
    """Return the counters of a parent's children in each state, in the order of the enum."""
    start = keys.CHILD_COUNT.prefix + parent
    return [start + state for state in _STATES]


def stale(state: RunState, activity_us: int, ordinal: int) -> bytes:
    """Return an unfinished run's key in the listing by last activity."""
    return keys.STALE.prefix + encode_u8(state) + encode_u64(activity_us) + encode_u64(ordinal)


def stale_through_range(
    state: RunState, activity_us: int, *, after: tuple[int, int] | None = None
) -> KeyRange:
    """Return the runs in a state whose last activity was at a time or before: all, or those after one.

    Args:
        state: The state.
        activity_us: That time, in microseconds since 1970; earlier ones are taken as none.
        after: Activity and ordinal of the run that comes before the first.
    """
    start = keys.STALE.prefix + encode_u8(state)
    first = start if after is None else stale(state, *after) + b"\x00"
    return KeyRange(first, start + encode_u64(max(-1, activity_us) + 1))


def split_stale(key: bytes) -> tuple[int, int]:
    """Return activity and ordinal of a run in the listing by last activity: the order of those in a state."""
    return decode_u64(key[-16:-8]), decode_u64(key[-8:])


def transition(run_id: RunId, generation: int, version: int) -> bytes:
    """Return the key of the transition of a run that made a version."""
    return keys.TRANSITION.prefix + run_id + encode_u64(generation) + encode_u64(version)


def transitions_range(run_id: RunId, generation: int, *, after: int = 0) -> KeyRange:
    """Return the transitions of a run in one of its lives, oldest first: those after a version."""
    start = keys.TRANSITION.prefix + run_id + encode_u64(generation)
    return KeyRange(start + encode_u64(after + 1), after_prefix(start))


def split_transition(key: bytes) -> tuple[RunId, int, int]:
    """Return run, generation and version of a transition.

    Raises:
        ValueError: It is no key of one.
    """
    parts = keys.parts_of(keys.TRANSITION, key)
    if len(parts) != 32:
        msg = f"not the key of a transition: {key.hex()}"
        raise ValueError(msg)
    return RunId(parts[:16]), decode_u64(parts[16:24]), decode_u64(parts[24:])


def template(name: str) -> bytes:
    """Return the key of a template."""
    return keys.TEMPLATE.prefix + encode_string(name.encode())


def templates_range(prefix: str, *, after: str | None = None) -> KeyRange:
    """Return the templates whose names begin so, in the order of their bytes: all, or those after one."""
    start, end = prefix_range(keys.TEMPLATE.prefix + escape(prefix.encode()))
    return KeyRange(start if after is None else template(after) + b"\x00", end)


def split_template(key: bytes) -> str:
    """Return the name of a template.

    Raises:
        ValueError: It is no key of one.
    """
    name, rest = split_string(keys.parts_of(keys.TEMPLATE, key))
    if rest:
        msg = f"bytes behind the key of a template: {rest.hex()}"
        raise ValueError(msg)
    return name.decode()
