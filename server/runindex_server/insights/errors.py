"""The errors of failed runs, grouped by what they have in common: the most frequent first."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import NamedTuple

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn, decode_counter
from runindex_server.runs.paging import take
from runindex_server.schema import insight_keys, keys, records
from runindex_server.schema.encoding import decode_u64, encode_u64
from runindex_server.schema.error_text import common_error
from runindex_server.schema.run import RunId, RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """Failed runs with the same error.

    Attributes:
        error: What their errors have in common.
        count: How many they are.
        example: The one that was created last: the wire form of `runindex.v1.Run`, cut to a view.
    """

    error: str
    count: int
    example: bytes = field(repr=False)


EncodeGroup = Callable[[ErrorGroup], bytes]
"""Returns a group in the form in which it is sent."""


class ErrorPlace(NamedTuple):
    """Where a page ended: behind a group, by its count, and by the ordinal of its newest run.

    No two groups have the same newest run.
    """

    runs: int
    newest: int

    def pack(self) -> bytes:
        """Return it as the place of a page token."""
        return encode_u64(self.runs) + encode_u64(self.newest)

    @classmethod
    def unpack(cls, place: bytes) -> "ErrorPlace":
        """Return the place in a token of errors, which its query tells from all others."""
        return cls(decode_u64(place[:8]), decode_u64(place[8:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorQuery:
    """Which page of which errors.

    Attributes:
        include_archived: Whether archived runs are counted too.
        size: Groups at most; 1 to limits.PAGE_SIZE_MAX.
        view: How much of each example.
        after: Where the page before ended; None for the first page.
    """

    include_archived: bool
    size: int
    view: RunView = RunView.FULL
    after: ErrorPlace | None = None


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """A page of errors.

    Attributes:
        groups: As they are sent.
        end: Where it ends; None when nothing follows.
    """

    groups: list[bytes] = field(repr=False)
    end: ErrorPlace | None


class _Ranked(NamedTuple):
    """A group in its place, with the row that leads to its newest run."""

    place: ErrorPlace
    listing_key: bytes
    run_id: RunId


def list_errors(txn: ReadTxn, query: ErrorQuery, encode: EncodeGroup) -> ErrorPage:
    """Return a page of the errors of failed runs, the most frequent first, then the newest. Read-only.

    Reads the counters of all errors; and of each that is no less frequent than those which are kept so far
    one row more, or two with archived runs. It keeps no more of them than go on the page.

    Each page shows what holds when it is made. An error of which runs came or went in between, so that it has
    passed the place where the page before ended, is on none of the pages, or on two; all others are on one.

    Raises:
        StoreCorrupt: A counter has no run, or a listing leads to a record that is missing or damaged.
    """
    cut = partial(_cut, txn, view=query.view, encode=encode)
    taken = take(_most_frequent(txn, query), query.size, cut=cut)
    return ErrorPage(taken.items, None if taken.last is None else taken.last.place)


def _most_frequent(txn: ReadTxn, query: ErrorQuery) -> list[_Ranked]:
    """Return the groups of a page, and the one after them, in their order."""
    kept: list[_Ranked] = []
    for error, count in _counted(txn, include_archived=query.include_archived):
        if query.after is not None and count > query.after.runs:
            continue
        is_full = len(kept) > query.size
        if is_full and count < kept[0].place.runs:
            continue
        # Only now: to find the newest takes longer than all before it.
        group = _ranked(txn, error, count, include_archived=query.include_archived)
        if query.after is not None and group.place >= query.after:
            continue
        if is_full:
            heapq.heappushpop(kept, group)
        else:
            heapq.heappush(kept, group)
    return sorted(kept, reverse=True)


def _counted(txn: ReadTxn, *, include_archived: bool) -> Iterator[tuple[bytes, int]]:
    """Yield the digest of each error that is counted, and how many runs have it."""
    counters = (
        (*insight_keys.split_error_count(key), decode_counter(value))
        for key, value in txn.scan(*keys.ERROR_COUNT.range)
    )
    for error, rows in groupby(counters, key=lambda counter: counter[0]):
        count = sum(count for _, archived, count in rows if include_archived or not archived)
        if count:
            yield error, count


def _ranked(txn: ReadTxn, error: bytes, count: int, *, include_archived: bool) -> _Ranked:
    """Return a group in its place.

    Raises:
        StoreCorrupt: It has no run.
    """
    newest: list[tuple[bytes, bytes]] = []
    for archived in (False, True) if include_archived else (False,):
        newest += txn.scan(*insight_keys.by_error_range(error, archived=archived), reverse=True, limit=1)
    if not newest:
        raise StoreCorrupt(f"{count} runs are counted with the error {error.hex()}, and none is listed")
    key, run_id = max(newest, key=lambda row: keys.ordinal_of(row[0]))
    return _Ranked(ErrorPlace(count, keys.ordinal_of(key)), key, RunId(run_id))


def _cut(txn: ReadTxn, groups: Sequence[_Ranked], *, view: RunView, encode: EncodeGroup) -> list[bytes]:
    """Return groups as they are sent.

    Raises:
        StoreCorrupt: As `list_errors`.
    """
    run_keys = keys.runs(group.run_id for group in groups)
    rows = zip(groups, run_keys, txn.get_many(run_keys), strict=True)
    return [encode(_group(group, key, value, view)) for group, key, value in rows]


def _group(ranked: _Ranked, key: bytes, value: bytes | None, view: RunView) -> ErrorGroup:
    """Return a group with its newest run.

    Raises:
        StoreCorrupt: As `list_errors`.
    """
    run = None if value is None else records.decode_run(key, value)
    if value is None or run is None or run.error is None or run.ordinal != ranked.place.newest:
        raise StoreCorrupt(
            f"{ranked.listing_key.hex()} leads to {key.hex()}, which is no run with that error"
        )
    example = records.view_message(key, value, view)
    return ErrorGroup(error=common_error(run.error), count=ranked.place.runs, example=example)
