"""A store on a full disk, a failing disk, and damaged pages."""

import asyncio
import errno
import resource
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Self

import lmdb
import pytest

from runindex_server.errors import CommitOutcomeUnknown, StoreClosed, StoreCorrupt, StoreFull
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.lmdb_environment import DELETES_BYTES_MIN
from runindex_server.kv.lmdb_store import LmdbStore
from runindex_server.kv.seal import break_seal

Run = Callable[[Coroutine[Any, Any, Any]], Any]
OpenLmdb = Callable[..., LmdbStore]

EVERYTHING: Final = (b"", b"\xff" * 401)

MAP_BYTES: Final = 1024 * 1024
"""Soon full."""

WAIT_S: Final = 30.0


def rows(txn: ReadTxn) -> list[tuple[bytes, bytes]]:
    return list(txn.scan(*EVERYTHING))


def put(key: bytes, value: bytes = b"") -> Callable[[WriteTxn], None]:
    return lambda txn: txn.put(key, value)


@pytest.mark.parametrize("value_bytes", [0, 300, 5_000, 40_000])
def test_a_full_map_refuses_growth_but_not_reads_and_deletes(
    open_store: OpenLmdb, run: Run, value_bytes: int
) -> None:
    store = open_store(map_bytes=MAP_BYTES)
    rows_at_once = max(1, 4_000 // (value_bytes + 16))

    def put_some(txn: WriteTxn) -> list[bytes]:
        keys = [b"%012d" % txn.next_ordinal() for _ in range(rows_at_once)]
        for key in keys:
            txn.put(key, bytes(value_bytes))
        return keys

    written: list[bytes] = []

    def put_for_ever() -> None:
        while True:
            written.extend(run(store.write(put_some)))

    with pytest.raises(StoreFull):
        put_for_ever()
    assert len(written) * (value_bytes + 20) > MAP_BYTES // 3
    assert run(store.read(lambda txn: [key for key, _ in txn.scan(*EVERYTHING)])) == written

    for start in range(0, len(written), rows_at_once):
        some = written[start : start + rows_at_once]
        run(store.write(lambda txn, some=some: [txn.delete(key) for key in some]))
    assert run(store.read(rows)) == []
    # What was freed is used again.
    assert len(run(store.write(put_some))) == rows_at_once


@contextmanager
def file_size_limit(file_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_grow_is_a_full_store(open_store: OpenLmdb, data_dir: Path, run: Run) -> None:
    store = open_store()
    run(store.write(put(b"a", bytes(10_000))))
    with file_size_limit((data_dir / "store" / "data.mdb").stat().st_size):
        with pytest.raises(StoreFull):
            run(store.write(put(b"b", bytes(200_000))))
        assert run(store.read(lambda txn: txn.get_many([b"a", b"b"]))) == [bytes(10_000), None]
    run(store.write(put(b"b", bytes(200_000))))
    run(store.close())
    assert run(open_store().read(rows)) == [(b"a", bytes(10_000)), (b"b", bytes(200_000))]


# Failing.


def engine_error(error_type: type[lmdb.Error], code: int = 0) -> lmdb.Error:
    """Return an error with a code, which the engine sets and the constructor does not."""
    error = error_type("made up")
    vars(error)["code"] = code
    return error


@contextmanager
def failing(
    store: LmdbStore, operation: str, error_type: type[lmdb.Error], code: int = 0, *, panics: bool = False
) -> Iterator[None]:
    """Let an operation of the engine's transactions fail."""
    environment: Any = store._environment
    engine = environment._env
    environment._env = FailingEngine(engine, operation, engine_error(error_type, code), panics=panics)
    yield
    environment._env = engine


class FailingTxn:
    """A transaction of the engine, one operation of which fails."""

    def __init__(self, txn: lmdb.Transaction, operation: str, error: lmdb.Error) -> None:
        self._txn = txn
        self._operation = operation
        self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._txn.abort()

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._operation else getattr(self._txn, name)

    def _fail(self, *_: Any, **__: Any) -> None:
        if self._operation == "commit":
            self._txn.abort()
        raise self._error


class FailingEngine:
    """An environment of the engine, an operation of whose transactions fails."""

    def __init__(self, engine: Any, operation: str, error: lmdb.Error, *, panics: bool = False) -> None:
        self._engine = engine
        self._operation = operation
        self._error = error
        self._panics = panics

    def begin(self, *, write: bool = False) -> Any:
        if self._panics and not write:
            raise engine_error(lmdb.PanicError)
        if write and self._operation == "begin":
            raise self._error
        return FailingTxn(self._engine.begin(write=write), self._operation, self._error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@pytest.mark.parametrize("operation", ["put", "commit"])
@pytest.mark.parametrize(
    ("error_type", "code"),
    [
        (lmdb.MapFullError, 0),
        (lmdb.DiskError, errno.ENOSPC),
        (lmdb.Error, errno.ENOSPC),
        (lmdb.Error, errno.EDQUOT),
        (lmdb.Error, errno.EFBIG),
    ],
)
def test_a_full_disk_is_told_and_survived(
    open_store: OpenLmdb, run: Run, operation: str, error_type: type[lmdb.Error], code: int
) -> None:
    store = open_store()
    with failing(store, operation, error_type, code), pytest.raises(StoreFull):
        run(store.write(put(b"a")))
    run(store.write(put(b"b")))
    assert run(store.read(rows)) == [(b"b", b"")]


def test_a_write_that_a_full_disk_cut_short_is_told_and_survived(
    open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=DELETES_BYTES_MIN))
    with failing(store, "commit", lmdb.Error, errno.EIO), pytest.raises(StoreFull):
        run(store.write(put(b"a")))
    run(store.write(put(b"b")))
    assert run(store.read(rows)) == [(b"b", b"")]


def test_the_last_of_the_disk_is_left_for_deletes(
    open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine copies each page that it changes: on a disk without any room nothing could be deleted."""
    store = open_store()
    run(store.write(put(b"a")))
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=DELETES_BYTES_MIN - 8 * 4_096))
        with pytest.raises(StoreFull):
            run(store.write(put(b"b")))
        run(store.write(lambda txn: txn.delete(b"a")))
    run(store.write(put(b"b")))
    assert run(store.read(rows)) == [(b"b", b"")]


def test_free_pages_of_the_file_are_used_on_a_full_disk(
    open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    keys = [b"%08d" % number for number in range(30)]
    for part in (keys[:15], keys[15:]):
        run(store.write(lambda txn, of=part: [txn.put(key, bytes(100_000)) for key in of]))
    run(store.write(lambda txn: [txn.delete(key) for key in keys]))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    run(store.write(put(b"b")))
    assert run(store.read(rows)) == [(b"b", b"")]


@pytest.mark.parametrize(
    ("operation", "error_type", "code", "panics"),
    [
        ("begin", lmdb.PanicError, 0, True),
        ("begin", lmdb.LockError, errno.EAGAIN, False),
        ("put", lmdb.CorruptedError, 0, False),
        ("commit", lmdb.Error, errno.EIO, False),
        # The disk was full for the meta page.
        ("commit", lmdb.DiskError, errno.ENOSPC, True),
        ("commit", lmdb.PanicError, 0, True),
    ],
)
def test_an_unknown_outcome_stops_the_store(
    open_store: OpenLmdb,
    run: Run,
    operation: str,
    error_type: type[lmdb.Error],
    code: int,
    *,
    panics: bool,
) -> None:
    fatal: list[str] = []
    store = open_store(on_fatal=lambda: fatal.append("stopped"))
    run(store.write(put(b"a")))

    async def write_three() -> list[BaseException | None]:
        writes = [store.write(put(key)) for key in (b"b", b"c", b"d")]
        return await asyncio.gather(*writes, return_exceptions=True)

    with failing(store, operation, error_type, code, panics=panics):
        outcomes = run(write_three())
    # Those that came too late for the first one's group find the store stopped.
    assert type(outcomes[0]) is CommitOutcomeUnknown
    assert {type(outcome) for outcome in outcomes} <= {CommitOutcomeUnknown, StoreClosed}
    calls: list[Coroutine[Any, Any, Any]] = [
        store.read(rows),
        store.read(rows, offload=True),
        store.write(put(b"e")),
    ]
    for call in calls:
        with pytest.raises(StoreClosed):
            run(call)
    assert fatal == ["stopped"]
    run(store.close())
    # The engine was sound after all.
    assert run(open_store().read(rows)) == [(b"a", b"")]


def test_what_waits_behind_an_unknown_outcome_is_not_written(open_store: OpenLmdb, run: Run) -> None:
    store = open_store(on_fatal=lambda: None)
    runs, may_go_on = threading.Event(), threading.Event()

    def write_slowly(txn: WriteTxn) -> None:
        txn.put(b"a", b"")
        runs.set()
        assert may_go_on.wait(WAIT_S)

    async def write_behind() -> list[BaseException | None]:
        first = asyncio.ensure_future(store.write(write_slowly))
        assert await asyncio.to_thread(runs.wait, WAIT_S)
        behind = [asyncio.ensure_future(store.write(put(key))) for key in (b"b", b"c")]
        await asyncio.sleep(0)
        may_go_on.set()
        return await asyncio.gather(first, *behind, return_exceptions=True)

    with failing(store, "commit", lmdb.PanicError, panics=True):
        outcomes = run(write_behind())
    assert [type(outcome) for outcome in outcomes] == [CommitOutcomeUnknown, StoreClosed, StoreClosed]
    run(store.close())
    assert run(open_store().read(rows)) == []


@pytest.mark.parametrize(
    "error_type", [lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.BadRslotError, lmdb.InvalidError]
)
def test_damage_that_a_read_meets_is_told(
    open_store: OpenLmdb, run: Run, error_type: type[lmdb.Error]
) -> None:
    store = open_store()
    calls: list[Coroutine[Any, Any, Any]] = [
        store.read(lambda txn: txn.get(b"a")),
        store.read(lambda txn: txn.get(b"a"), offload=True),
        store.write(lambda txn: txn.get(b"a")),
    ]
    with failing(store, "get", error_type):
        for call in calls:
            with pytest.raises(StoreCorrupt) as refusal:
                run(call)
            assert "made up" in refusal.value.detail
    run(store.write(put(b"a")))
    assert run(store.read(rows)) == [(b"a", b"")]


def test_damaged_pages_are_told_not_returned(open_store: OpenLmdb, data_dir: Path, run: Run) -> None:
    store = open_store()
    run(store.write(lambda txn: [txn.put(b"%08d" % number, bytes(200)) for number in range(1_000)]))
    run(store.close())
    path = data_dir / "store" / "data.mdb"
    pages = bytearray(path.read_bytes())
    for start in range(2 * 4096, len(pages), 4096):
        # Every leaf of the rows loses its type.
        if pages[start + 10] == 0x02 and pages.find(b"00000", start, start + 4096) >= 0:
            pages[start + 10] = 0x40
    path.write_bytes(pages)
    break_seal(path)
    store = open_store()
    with pytest.raises(StoreCorrupt):
        run(store.read(lambda txn: txn.get(b"00000500")))


@pytest.mark.parametrize("place", [0, 23, 24, 27])
def test_a_damaged_row_of_sequences_is_found(
    open_store: OpenLmdb, data_dir: Path, run: Run, place: int
) -> None:
    """A flipped bit in what the store counts by would give numbers that were given before."""
    store = open_store()
    run(store.write(lambda txn: txn.next_revision()))
    run(store.close())
    flip_in_sequences(data_dir / "store", place)
    break_seal(data_dir / "store" / "data.mdb")
    store = open_store()

    with pytest.raises(StoreCorrupt):
        run(store.read(lambda txn: txn.revision))
    with pytest.raises(StoreCorrupt):
        run(store.write(lambda txn: txn.next_revision()))


def flip_in_sequences(directory: Path, place: int) -> None:
    """Flip a bit in the row of sequences, behind the store's back."""
    with lmdb.open(str(directory), max_dbs=2) as env:
        sequences = env.open_db(b"sequences")
        with env.begin(write=True) as txn:
            ((key, value),) = list(txn.cursor(sequences))
            damaged = bytearray(value)
            damaged[place] ^= 1
            txn.put(key, bytes(damaged), db=sequences)
