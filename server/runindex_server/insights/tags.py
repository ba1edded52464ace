"""The tags that runs carry, each with how many do: by name, or the most frequent first."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Final, NamedTuple

from runindex_server.kv.api import ReadTxn, decode_counter
from runindex_server.schema import insight_keys
from runindex_server.schema.encoding import decode_u64, encode_u64

_TAG_OF: Final = itemgetter(0)


class TagCount(NamedTuple):
    """A tag, and how many runs carry it."""

    tag: str
    runs: int

    def pack(self) -> bytes:
        """Return it as the place of a page token."""
        return encode_u64(self.runs) + self.tag.encode()

    @classmethod
    def unpack(cls, place: bytes) -> "TagCount":
        """Return the last tag of the page before, from the place of its token."""
        return cls(tag=place[8:].decode(), runs=decode_u64(place[:8]))


@dataclass(frozen=True, slots=True, kw_only=True)
class TagQuery:
    """Which page of which tags.

    Attributes:
        prefix: What they begin with; empty for all.
        include_archived: Whether archived runs are counted too.
        by_count: Whether the most frequent come first, those of one count by the bytes of their names; else
            all are by those.
        size: Tags at most; 1 to limits.PAGE_SIZE_MAX.
        after: The last of the page before, with the count that it had; None for the first page.
    """

    prefix: str
    include_archived: bool
    by_count: bool
    size: int
    after: TagCount | None = None


@dataclass(frozen=True, slots=True)
class TagPage:
    """A page of tags.

    Attributes:
        tags: In the order that was asked for.
        end: The last of them; None when nothing follows.
    """

    tags: list[TagCount]
    end: TagCount | None


def list_tags(txn: ReadTxn, query: TagQuery) -> TagPage:
    """Return a page of tags. Read-only.

    By name it reads one counter for each tag of the page, and with archived runs two. By count it reads those
    of all tags with the prefix, and keeps no more of them than go on the page.

    Each page by count shows what holds when it is made. A tag whose count changed in between, so that it has
    passed the place where the page before ended, is on none of the pages, or on two; all others are on one.
    """
    found = _most_frequent(txn, query) if query.by_count else list(_by_name(txn, query))
    page, rest = found[: query.size], found[query.size :]
    return TagPage(page, page[-1] if rest else None)


def _by_name(txn: ReadTxn, query: TagQuery) -> Iterator[TagCount]:
    """Yield the tags of a page by name, and the one after them."""
    after = None if query.after is None else query.after.tag
    return islice(_counted(txn, query, after=after, limit=query.size + 1), query.size + 1)


def _most_frequent(txn: ReadTxn, query: TagQuery) -> list[TagCount]:
    """Return the tags of a page by count, and the one after them."""
    tags = _counted(txn, query)
    if query.after is not None:
        place = _rank(query.after)
        tags = (tag for tag in tags if _rank(tag) > place)
    return heapq.nsmallest(query.size + 1, tags, key=_rank)


def _rank(tag: TagCount) -> tuple[int, str]:
    """Return what puts the most frequent first. Code points are in the order of their bytes."""
    return -tag.runs, tag.tag


def _counted(
    txn: ReadTxn, query: TagQuery, *, after: str | None = None, limit: int | None = None
) -> Iterator[TagCount]:
    """Yield tags with their counts, by name.

    Args:
        txn: The snapshot.
        query: Their prefix, and what is counted.
        after: The tag that comes before the first; None for none.
        limit: Counters of each kind that are read at most. So many tags are complete.
    """
    listings = [_counters(txn, query.prefix, archived=False, after=after, limit=limit)]
    if query.include_archived:
        listings.append(_counters(txn, query.prefix, archived=True, after=after, limit=limit))
    for tag, counts in groupby(heapq.merge(*listings, key=_TAG_OF), key=_TAG_OF):
        yield TagCount(tag, sum(runs for _, runs in counts))


def _counters(
    txn: ReadTxn, prefix: str, *, archived: bool, after: str | None, limit: int | None
) -> Iterator[TagCount]:
    """Yield the counters of one kind."""
    rows = txn.scan(*insight_keys.tag_counts_range(prefix, archived=archived, after=after), limit=limit)
    for key, value in rows:
        yield TagCount(insight_keys.split_tag_count(key)[1], decode_counter(value))
