"""Pages of what a run holds: cut by number and by bytes, and read on from a name, a version or a sequence.

place of a page    generation u64 | name, or number u64        what the page before ended with
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from runindex_server import limits
from runindex_server.data.items import NumberedVersion, read_version
from runindex_server.errors import InvalidPageToken
from runindex_server.kv.api import ReadTxn
from runindex_server.runs.mutation import load
from runindex_server.schema.data_keys import DataKeys, ItemKind
from runindex_server.schema.encoding import decode_u64, encode_u64
from runindex_server.schema.items import decode_head, decode_version
from runindex_server.schema.run import Run, RunId

EncodeVersion = Callable[[NumberedVersion], bytes]
"""Returns the item of a page in the form in which it is sent."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended.

    Attributes:
        generation: Of the run: the life of it to which the page belongs.
        last: The name, or the number as `u64`, of the last item.
    """

    generation: int
    last: bytes

    def pack(self) -> bytes:
        """Return it as the place of a page token."""
        return encode_u64(self.generation) + self.last

    @classmethod
    def unpack(cls, place: bytes) -> "Place":
        """Return the place in a token of what a run holds, which its query tells from all others."""
        return cls(decode_u64(place[:8]), place[8:])


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a collection.

    Attributes:
        size: Items at most; 1 to limits.PAGE_SIZE_MAX.
        after: Where the page before ended; None for the first page.
    """

    size: int
    after: Place | None = None

    def last_in(self, run: Run) -> bytes | None:
        """Return the last item of the page before; None for the first page.

        Raises:
            InvalidPageToken: That page was of an earlier life of the run.
        """
        if self.after is None:
            return None
        if self.after.generation != run.generation:
            raise InvalidPageToken("made for a run that was deleted since")
        return self.after.last


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        items: As they are sent.
        end: Where it ends; None when nothing follows.
    """

    items: list[bytes] = field(repr=False)
    end: Place | None


def fill_page(run: Run, rows: Iterable[tuple[bytes, bytes]], size: int) -> Page:
    """Return a page of the first items of a collection, as many as fit.

    Args:
        run: The run that holds them.
        rows: Of each item its name or number, and the item as it is sent. One more than fits is read, to
            tell whether there is one.
        size: How many fit at most.
    """
    items, last = cut_page(rows, size)
    return Page(items, None if last is None else Place(run.generation, last))


def cut_page(rows: Iterable[tuple[bytes, bytes]], size: int) -> tuple[list[bytes], bytes | None]:
    """Return the first items of a collection, as many as fit on a page, and the place of the last of them.

    That place is None when nothing follows. Arguments as those of `fill_page`.
    """
    items: list[bytes] = []
    page_bytes, last = 0, b""
    for place, item in rows:
        if items and (len(items) == size or page_bytes + len(item) > limits.PAGE_BYTES_MAX):
            return items, last
        items.append(item)
        page_bytes += len(item)
        last = place
    return items, None


def page_of_items(
    txn: ReadTxn, run_id: RunId, kind: ItemKind, prefix: str, page: PageRequest, encode: EncodeVersion
) -> Page:
    """Return a page of the items of a kind that are there, by name, each with its current version. Read-only.

    Raises:
        RunNotFound: No run has this id.
        InvalidPageToken: The page before was of an earlier life of the run.
        StoreCorrupt: A row is missing or damaged.
    """
    run = load(txn, run_id)
    data, last = DataKeys.of(run), page.last_in(run)
    start, end = data.item_range(kind, prefix)
    if last is not None:
        # The first key behind that of the last item.
        start = data.item(kind, last.decode()) + b"\x00"

    def rows() -> Iterator[tuple[bytes, bytes]]:
        for key, value in txn.scan(start, end):
            name, number = data.name_of(key), decode_head(key, value).version
            content = read_version(txn, run, kind, name, number)
            yield name.encode(), encode(NumberedVersion(name=name, number=number, content=content))

    return fill_page(run, rows(), page.size)


def page_of_versions(
    txn: ReadTxn, run_id: RunId, kind: ItemKind, name: str, page: PageRequest, encode: EncodeVersion
) -> Page:
    """Return a page of the kept versions of an item, newest first. Read-only.

    Raises:
        RunNotFound: No run has this id.
        InvalidPageToken: The page before was of an earlier life of the run.
        StoreCorrupt: A row is damaged.
    """
    run = load(txn, run_id)
    data, last = DataKeys.of(run), page.last_in(run)
    start, end = data.item_version_range(kind, name, below=None if last is None else decode_u64(last))

    def rows() -> Iterator[tuple[bytes, bytes]]:
        for key, value in txn.scan(start, end, reverse=True):
            number, content = data.version_of(key), decode_version(key, value)
            yield (
                encode_u64(number),
                encode(NumberedVersion(name=name, number=number, content=content)),
            )

    return fill_page(run, rows(), page.size)
