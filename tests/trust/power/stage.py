"""A folder in which one state of a disk after the other is laid out, by what differs from the last."""

import os
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Final

from tests.trust.power.disk import PAGE_BYTES, Disk, Overlay, Pieces, Tree
from tests.trust.power.recorder import DATA_DIR

DATA_FILE: Final = f"{DATA_DIR}/store/data.mdb"
FREE_FILES: Final = frozenset({"LOCK", "lock.mdb"})
"""Files whose content means nothing once their process is gone. They are not counted when states are told
apart, and are laid out in several ways."""

FREE_BYTES: Final = (b"", bytes(65_664), b"\xff" * 65_664, None)
"""What such a file may hold after a crash; None for that it is not there."""

LONG_AGO_NS: Final = 10**18
"""When all files were written last, as they are laid out: so that any write since shows."""


class State:
    """What a disk holds after a loss of power.

    Attributes:
        tree: Its files and directories.
        files: Those that mean something.
        digest: Tells it from others.
    """

    def __init__(self, disk: Disk, kept: Pieces) -> None:
        """Keep some pieces of what is pending."""
        self.tree: Tree = disk.tree(kept)
        self.files: dict[str, Overlay] = {
            path: disk.overlay(node, kept)
            for path, node in self.tree.items()
            if node is not None and path.rpartition("/")[2] not in FREE_FILES
        }
        counted = tuple(sorted(path for path in self.tree if path.rpartition("/")[2] not in FREE_FILES))
        held = tuple((path, file.size, file.total) for path, file in self.files.items())
        self.digest = blake2b(repr((counted, held)).encode(), digest_size=16).hexdigest()

    @property
    def has_store(self) -> bool:
        """Whether there is a store in its place."""
        return DATA_FILE.rpartition("/")[0] in self.tree


class Stage:
    """A folder, and what was laid out in it last."""

    def __init__(self, folder: Path) -> None:
        """Take a folder that is there and empty."""
        self._folder = folder
        self._names: tuple[tuple[str, int | None], ...] | None = None
        self._shown: dict[str, dict[int, int]] = {}
        self._turn = 0

    @property
    def data_dir(self) -> Path:
        """The data directory of the state."""
        return self._folder / DATA_DIR

    @property
    def data_file(self) -> Path:
        """The data file of the store in the state."""
        return self._folder / DATA_FILE

    def lay_out(self, state: State) -> None:
        """Make the folder what the disk holds."""
        names = tuple(state.tree.items())
        if names != self._names or not state.has_store or self.is_written():
            self._clear(state)
            self._names = names
        for path, file in state.files.items():
            self._write(path, file)
        self._free_files(state)
        if self.data_file.exists():
            os.utime(self.data_file, ns=(LONG_AGO_NS, LONG_AGO_NS))

    def is_written(self) -> bool:
        """Tell whether somebody has written the data file of the store since it was laid out."""
        return not self.data_file.exists() or self.data_file.stat().st_mtime_ns != LONG_AGO_NS

    def _clear(self, state: State) -> None:
        for entry in self._folder.iterdir():
            shutil.rmtree(entry)
        self._shown.clear()
        for path, node in state.tree.items():
            if node is None:
                (self._folder / path).mkdir(mode=0o700)

    def _write(self, path: str, file: Overlay) -> None:
        """Write the pages of a file that are not as they should be."""
        shown = self._shown.setdefault(path, {})
        wanted = {**file.base.hashes, **file.hashes}
        fd = os.open(self._folder / path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(fd, file.size)
            for number in wanted.keys() | shown.keys():
                if shown.get(number, 0) != wanted.get(number, 0) or number * PAGE_BYTES >= file.size:
                    room = file.size - number * PAGE_BYTES
                    if room > 0:
                        os.pwrite(fd, file.page(number)[:room], number * PAGE_BYTES)
        finally:
            os.close(fd)
        self._shown[path] = {n: h for n, h in wanted.items() if n * PAGE_BYTES < file.size}

    def _free_files(self, state: State) -> None:
        """Lay out files whose content means nothing, each time in another way."""
        for path, node in state.tree.items():
            if node is None or path.rpartition("/")[2] not in FREE_FILES:
                continue
            self._turn += 1
            held = FREE_BYTES[self._turn % len(FREE_BYTES)]
            if held is None:
                (self._folder / path).unlink(missing_ok=True)
            else:
                (self._folder / path).write_bytes(held)
