"""What is checked of a store after a loss of power, opened as the product opens it."""

import asyncio
import hashlib
import io
import marshal
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from lmdb import verify as lmdb_verify

from runindex_server.clock import SystemClock
from runindex_server.jobs.erase import erase_step
from runindex_server.jobs.merge import merge_step
from runindex_server.kv.api import ReadTxn
from runindex_server.kv.guard import StoreRefused
from runindex_server.kv.lmdb_store import LmdbStore, open_lmdb
from runindex_server.maintenance.verify.findings import Summary
from runindex_server.maintenance.verify.verification import verify
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema import keys
from runindex_server.schema.migrations import migrate
from tests.support.consistency import find_differences
from tests.trust.power.disk import PAGE_BYTES, Overlay
from tests.trust.power.ledger import Contents, read_contents
from tests.trust.power.recorder import MAP_BYTES
from tests.trust.power.stage import DATA_FILE, Stage, State

JOB_STEPS_MAX: Final = 10_000
EVERYTHING: Final = (b"", b"\xff" * 401)
PLAIN_MARSHAL: Final = 2
"""The format without references, in which equal rows are equal bytes."""


@dataclass(slots=True)
class Counts:
    """How often each check was made.

    Attributes:
        opened: States that the product opened, and of which every row was read.
        begun_anew: Of these, states without a store, in which the product made a new one.
        pages_verified: States whose pages were verified one by one.
        pages_same: States of which every page that matters is as in one that was verified.
        committed: Different contents: each was checked against its records by both checks, and then let its
            jobs come to their end and was checked again.
        resumed: Of these, those with tombstones.
    """

    opened: int = 0
    begun_anew: int = 0
    pages_verified: int = 0
    pages_same: int = 0
    committed: int = 0
    resumed: int = 0


class Failed(Exception):
    """Checks failed.

    Attributes:
        found: Each of them, with what it found.
    """

    def __init__(self, *found: tuple[str, str]) -> None:
        """Take the checks, each with what it found."""
        super().__init__(*found)
        self.found = found


@dataclass(slots=True)
class _Verdict:
    """What a verification of pages came to, and the hashes of all that it read."""

    pages: dict[int, int]
    problems: list[str]


class _Pages(io.RawIOBase):
    """A file of which is noted what was read."""

    def __init__(self, file: Overlay) -> None:
        super().__init__()
        self._file = file
        self._offset = 0
        self.read_pages: set[int] = set()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place from the beginning."""
        assert whence == 0
        self._offset = offset
        return offset

    def read(self, length: int = -1, /) -> bytes:
        """Read so many bytes, or as many as there are."""
        end = min(self._offset + length, self._file.size)
        parts = []
        for number in range(self._offset // PAGE_BYTES, -(-end // PAGE_BYTES)):
            self.read_pages.add(number)
            parts.append(self._file.page(number))
        start = self._offset % PAGE_BYTES
        found = b"".join(parts)[start : start + max(0, end - self._offset)]
        self._offset += len(found)
        return found


@dataclass(slots=True)
class Checker:
    """Checks one state after the other, and remembers what it has seen.

    Attributes:
        counts: How often each check was made.
    """

    stage: Stage
    runner: asyncio.Runner
    counts: Counts = field(default_factory=Counts)
    _verdicts: dict[tuple[int, int], list[_Verdict]] = field(default_factory=dict)
    _contents: dict[bytes, Contents | Failed] = field(default_factory=dict)

    def check(self, state: State) -> Contents:
        """Open a state and check it; return what it holds.

        Raises:
            Failed: A check failed.
        """
        self.stage.lay_out(state)
        if state.has_store:
            self._check_pages(state.files.get(DATA_FILE))
        try:
            return self._open_and_check(state)
        except (StoreRefused, OSError) as error:
            raise Failed(("opens", repr(error))) from error

    def _check_pages(self, file: Overlay | None) -> None:
        """Check the data file page by page, without the engine: every tree, and every free page."""
        if file is None:
            raise Failed(("opens", "the store has no data file"))
        verdicts = self._verdicts.setdefault((file.hash_of(0), file.hash_of(1)), [])
        for verdict in verdicts:
            if all(file.hash_of(number) == known for number, known in verdict.pages.items()):
                self.counts.pages_same += 1
                break
        else:
            pages = _Pages(file)
            try:
                problems = lmdb_verify._Verifier(pages, file.size).verify()
            except lmdb_verify.VerifyError as error:
                problems = [str(error)]
            verdict = _Verdict({number: file.hash_of(number) for number in pages.read_pages}, problems)
            verdicts.append(verdict)
            self.counts.pages_verified += 1
        if verdict.problems:
            raise Failed(("pages", "; ".join(verdict.problems)))

    def _open_and_check(self, state: State) -> Contents:
        store = open_lmdb(
            self.stage.data_dir,
            clock=SystemClock(),
            map_bytes=MAP_BYTES,
            initialise=initialise,
            on_fatal=lambda: None,
        )
        try:
            self.runner.run(migrate(store, progress=lambda *_, **__: None))
            digest = store._environment.read(_digest)
            self.counts.opened += 1
            if not state.has_store:
                self.counts.begun_anew += 1
                return self.runner.run(_check_new(store))
            if self.stage.is_written():
                raise Failed(("opens", "to open the store wrote to its data file"))
            return self._contents_of(digest, store)
        finally:
            # As the end of a process does: what is checked here is not how a store is closed.
            store._environment.close()
            assert store._lock is not None
            store._lock.release()

    def _contents_of(self, digest: bytes, store: LmdbStore) -> Contents:
        """Return what is known of contents, and check them when nothing is known yet."""
        if digest not in self._contents:
            self.counts.committed += 1
            try:
                self._contents[digest] = self.runner.run(self._check_contents(store))
            except Failed as failure:
                self._contents[digest] = failure
        known = self._contents[digest]
        if isinstance(known, Failed):
            raise known
        return known

    async def _check_contents(self, store: LmdbStore) -> Contents:
        contents = await store.read(read_contents)
        await _check_derived(store)
        has_tombstones = bool(await store.read(_tombstones))
        self.counts.resumed += has_tombstones
        for job in (erase_step, merge_step):
            for _ in range(JOB_STEPS_MAX):
                if not await job(store):
                    break
            else:
                raise Failed(("resumes", f"{job.__name__} does not come to an end"))
        if await store.read(_tombstones):
            raise Failed(("resumes", "a tombstone is left"))
        await _check_derived(store)
        if await store.read(read_contents) != contents:
            raise Failed(("resumes", "the jobs changed what callers see"))
        await store.close()
        problems = lmdb_verify.verify(str(self.stage.data_file))
        if problems:
            raise Failed(("resumes", "; ".join(problems)))
        return contents


def _digest(txn: ReadTxn) -> bytes:
    """Return what tells one contents from another, having read every row through the engine."""
    rows = marshal.dumps((txn.revision, list(txn.scan(*EVERYTHING))), PLAIN_MARSHAL)
    return hashlib.blake2b(rows, digest_size=16).digest()


def _tombstones(txn: ReadTxn) -> list[bytes]:
    return [key for key, _ in txn.scan(*keys.TOMBSTONE.range)]


async def _check_new(store: LmdbStore) -> Contents:
    """Check a store that was made because there was none."""
    contents = await store.read(read_contents)
    if contents:
        raise Failed(("opens", "a new store holds something"))
    differences = await store.read(find_differences)
    if differences:
        raise Failed(("follows", _shown(differences)))
    return contents


async def _check_derived(store: LmdbStore) -> None:
    """Check that every row follows from the records, twice: added up here, and as the product verifies it."""
    failed = []
    differences = await store.read(find_differences)
    if differences:
        failed.append(("follows", _shown(differences)))
    told = [piece async for piece in verify(store)]
    summary = told[-1]
    if not isinstance(summary, Summary) or summary.drifts:
        failed.append(("verifies", _shown(map(str, told))))
    if failed:
        raise Failed(*failed)


def _shown(lines: Iterable[str]) -> str:
    """Return the first lines."""
    return "\n  ".join(islice(lines, 5))
