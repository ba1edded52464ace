"""A disk that loses power: what is durable at each moment of a recording, and what may be or not.

A file's pages, its length and the entries of directories are durable only when they were synced, each for
itself: to sync a file does not make its name durable. Everything else is in pieces, each of which may have
reached the disk or not, in any combination: pages of 4 KiB, cuts, names.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, TypeAlias

from tests.trust.power.trace import Event, Kind

PAGE_BYTES: Final = 4_096
SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all."""

ROOT: Final = 0
"""The folder of the recording, which was there before."""

NO_PAGE: Final = bytes(PAGE_BYTES)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Something that may have reached the disk or not.

    Attributes:
        node: The file or directory that it changes.
        token: Of its write.
    """

    node: int
    token: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Bytes(Piece):
    """Bytes within one page."""

    offset: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Cut(Piece):
    """A file's new length."""

    length: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Entry(Piece):
    """An entry of a directory: made, removed (with no child) or renamed (with its old name)."""

    name: str = ""
    child: int | None = None
    old_name: str | None = None


Pieces: TypeAlias = Sequence[Piece]
Entries: TypeAlias = dict[str, int]


def page_hash(number: int, page: bytes) -> int:
    """Return what a page adds to the hash of its file."""
    if page == NO_PAGE:
        return 0
    return int.from_bytes(blake2b(page, digest_size=16, salt=number.to_bytes(8, "big")).digest(), "big")


@dataclass(slots=True)
class Image:
    """What a file holds.

    Attributes:
        pages: By their numbers; what is missing is zero.
        hashes: Theirs.
        size: Its length.
        total: All hashes together.
    """

    pages: dict[int, bytes] = field(default_factory=dict)
    hashes: dict[int, int] = field(default_factory=dict)
    size: int = 0
    total: int = 0

    def apply(self, piece: Piece) -> int | None:
        """Apply a piece, and return the page that it changes; None for a cut."""
        if isinstance(piece, Cut):
            self.size = piece.length
            for number in [page for page in self.pages if page * PAGE_BYTES >= piece.length]:
                del self.pages[number]
                self.total ^= self.hashes.pop(number)
            return None
        assert isinstance(piece, Bytes)
        number, start = divmod(piece.offset, PAGE_BYTES)
        self.size = max(self.size, piece.offset + len(piece.data))
        before = self.pages.get(number, NO_PAGE)
        page = before[:start] + piece.data + before[start + len(piece.data) :]
        self.pages[number] = page
        self.total ^= self.hashes.get(number, 0)
        self.hashes[number] = page_hash(number, page)
        self.total ^= self.hashes[number]
        return number


class Overlay:
    """A durable image with some pieces laid over it, which costs as much as the pieces.

    Attributes:
        base: The durable image.
        pages: Those that differ.
        hashes: Theirs.
        size: The file's length.
        total: As in `Image`.
    """

    def __init__(self, base: Image, pieces: Pieces) -> None:
        """Lay pieces over an image."""
        self.base = base
        self.pages: dict[int, bytes] = {}
        self.hashes: dict[int, int] = {}
        self.size = base.size
        self.total = base.total
        for piece in pieces:
            self._apply(piece)
        for number, page in self.pages.items():
            self.hashes[number] = page_hash(number, page)
            self.total ^= base.hashes.get(number, 0) ^ self.hashes[number]

    def _apply(self, piece: Piece) -> None:
        if isinstance(piece, Cut):
            self.size = piece.length
            for number in {*self.base.pages, *self.pages}:
                if number * PAGE_BYTES >= piece.length:
                    self.pages[number] = NO_PAGE
            return
        assert isinstance(piece, Bytes)
        number, start = divmod(piece.offset, PAGE_BYTES)
        self.size = max(self.size, piece.offset + len(piece.data))
        before = self.page(number)
        self.pages[number] = before[:start] + piece.data + before[start + len(piece.data) :]

    def page(self, number: int) -> bytes:
        """Return a page."""
        return self.pages.get(number) or self.base.pages.get(number, NO_PAGE)

    def hash_of(self, number: int) -> int:
        """Return the hash of a page."""
        found = self.hashes.get(number)
        return self.base.hashes.get(number, 0) if found is None else found


Tree: TypeAlias = Mapping[str, int | None]
"""Paths below the folder, each with its file; None for a directory."""


class Disk:
    """What is on a disk while a recording goes on.

    Attributes:
        pending: What may have reached it or not, in the order in which it was asked for.
        images: What is durable of each file.
        calls_begun: Numbers of the calls that clients began.
        calls_acknowledged: Numbers of those that were answered.
    """

    def __init__(self) -> None:
        """Begin with an empty folder."""
        self.pending: list[Piece] = []
        self.images: dict[int, Image] = {}
        self._entries: dict[int, Entries] = {ROOT: {}}
        # As the running system sees them.
        self._seen: dict[int, Entries] = {ROOT: {}}
        self._nodes = ROOT
        self._open: dict[int, int] = {}
        self._covered: dict[int, frozenset[Piece]] = {}

    def apply(self, event: Event) -> None:
        """Let something happen."""
        match event.kind:
            case Kind.OPEN:
                self._open[event.file] = self._opened(event)
            case Kind.WRITE:
                node = self._open[event.file]
                self.pending += _in_pages(node, event)
            case Kind.TRUNCATE:
                self.pending.append(Cut(self._open[event.file], length=event.offset))
            case Kind.WRITTEN:
                self._settle(frozenset(piece for piece in self.pending if piece.token == event.token))
            case Kind.SYNC_BEGIN:
                node = self._open[event.file]
                self._covered[event.token] = frozenset(p for p in self.pending if p.node == node)
            case Kind.SYNC_END:
                self._settle(self._covered.pop(event.token))
            case Kind.MKDIR:
                self._add_entry(event.data.decode(), self._new_node(is_directory=True))
            case Kind.UNLINK | Kind.RMDIR:
                folder, name = self._place(event.data.decode())
                del self._seen[folder][name]
                self.pending.append(Entry(folder, name=name))
            case Kind.RENAME:
                self._rename(*event.data.decode().split("\0"))

    def node_of(self, file: int) -> int:
        """Return the file or directory that was opened with a number."""
        return self._open[file]

    def _opened(self, event: Event) -> int:
        path = event.data.decode()
        found = self._find(path)
        if found is None:
            found = self._new_node(is_directory=False)
            self._add_entry(path, found)
        elif event.flags & os.O_TRUNC:
            self.pending.append(Cut(found))
        return found

    def _new_node(self, *, is_directory: bool) -> int:
        self._nodes += 1
        if is_directory:
            self._entries[self._nodes], self._seen[self._nodes] = {}, {}
        else:
            self.images[self._nodes] = Image()
        return self._nodes

    def _add_entry(self, path: str, node: int) -> None:
        folder, name = self._place(path)
        self._seen[folder][name] = node
        self.pending.append(Entry(folder, name=name, child=node))

    def _rename(self, old: str, new: str) -> None:
        (folder, old_name), (other, new_name) = self._place(old), self._place(new)
        assert folder == other, f"a rename into another directory is not modelled: {old}, {new}"
        node = self._seen[folder].pop(old_name)
        self._seen[folder][new_name] = node
        self.pending.append(Entry(folder, name=new_name, child=node, old_name=old_name))

    def _place(self, path: str) -> tuple[int, str]:
        """Return the directory of a path, and its name there."""
        folder, _, name = path.rpartition("/")
        found = self._find(folder)
        assert found is not None, path
        return found, name

    def _find(self, path: str) -> int | None:
        node = ROOT
        for name in filter(None, path.split("/")):
            if name not in self._seen[node]:
                return None
            node = self._seen[node][name]
        return node

    def _settle(self, pieces: frozenset[Piece]) -> None:
        """Make pieces durable, in their order."""
        for piece in self.pending:
            if piece not in pieces:
                continue
            if isinstance(piece, Entry):
                _enter(self._entries[piece.node], piece)
            else:
                self.images[piece.node].apply(piece)
        self.pending = [piece for piece in self.pending if piece not in pieces]

    def tree(self, kept: Pieces) -> Tree:
        """Return what there is when of all that is pending some pieces are kept."""
        entries = {node: dict(names) for node, names in self._entries.items()}
        for piece in kept:
            if isinstance(piece, Entry):
                _enter(entries[piece.node], piece)
        return dict(_paths(ROOT, "", entries))

    def overlay(self, node: int, kept: Pieces) -> Overlay:
        """Return what a file holds when of all that is pending some pieces are kept."""
        return Overlay(
            self.images[node],
            [piece for piece in kept if piece.node == node and not isinstance(piece, Entry)],
        )


def _in_pages(node: int, event: Event) -> Iterator[Bytes]:
    """Yield a write in pieces of a page at most: a disk may write any of them."""
    done = 0
    while done < len(event.data):
        offset = event.offset + done
        length = min(len(event.data) - done, PAGE_BYTES - offset % PAGE_BYTES)
        yield Bytes(node, token=event.token, offset=offset, data=event.data[done : done + length])
        done += length


def _enter(names: Entries, piece: Entry) -> None:
    """Change the entries of a directory; what cannot be, as something before it was lost, is left out."""
    if piece.old_name is not None:
        if piece.old_name in names:
            names[piece.name] = names.pop(piece.old_name)
    elif piece.child is None:
        names.pop(piece.name, None)
    else:
        names[piece.name] = piece.child


def _paths(folder: int, prefix: str, entries: Mapping[int, Entries]) -> Iterator[tuple[str, int | None]]:
    for name, node in sorted(entries[folder].items()):
        path = prefix + name
        if node in entries:
            yield path, None
            yield from _paths(node, f"{path}/", entries)
        else:
            yield path, node


def torn(piece: Bytes, sectors: frozenset[int]) -> Iterator[Bytes]:
    """Yield what is left of a piece when of its sectors only some reached the disk."""
    done = 0
    while done < len(piece.data):
        offset = piece.offset + done
        length = min(len(piece.data) - done, SECTOR_BYTES - offset % SECTOR_BYTES)
        if offset // SECTOR_BYTES in sectors:
            data = piece.data[done : done + length]
            yield Bytes(piece.node, token=piece.token, offset=offset, data=data)
        done += length


def sectors_of(piece: Bytes) -> range:
    """Return the sectors that a piece touches, as `torn` numbers them."""
    return range(piece.offset // SECTOR_BYTES, (piece.offset + len(piece.data) - 1) // SECTOR_BYTES + 1)
