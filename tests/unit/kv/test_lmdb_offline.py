"""A store for oneself: what holds it, and writes that are done together or not at all."""

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from runindex_server.errors import RunNotFound, StoreFull
from runindex_server.kv import lmdb_environment
from runindex_server.kv.api import WRITE_BYTES_MAX, EnvelopeError, ReadTxn, WriteTxn
from runindex_server.kv.guard import DataFileForeign, StoreInUse, StoreMissing
from runindex_server.kv.lmdb_offline import LmdbOwnStore, file_at_rest, own_store, store_at_rest
from runindex_server.kv.lmdb_store import LmdbStore
from tests.support.clock import ManualClock

Run = Callable[[Coroutine[Any, Any, Any]], Any]
OpenLmdb = Callable[..., LmdbStore]

EVERYTHING: Final = (b"", b"\xff" * 401)
MAP_BYTES: Final = 64 * 1024 * 1024
VALUE_BYTES: Final = 200_000


def put(number: int) -> Callable[[WriteTxn], None]:
    """Return a write that also counts, and looks at the one before it."""

    def fn(txn: WriteTxn) -> None:
        assert number == 0 or txn.get(b"%08d" % (number - 1)) is not None
        assert txn.next_ordinal() == txn.next_revision() == number + 1
        txn.insert(b"%08d" % number, bytes(VALUE_BYTES))
        txn.add(b"count", 1)

    return fn


def contents(txn: ReadTxn) -> tuple[int, int, int]:
    """Return the revision, the number of rows, and the counter."""
    return txn.revision, sum(1 for _ in txn.scan(b"0", b"9")), txn.get_counter(b"count")


@pytest.fixture
def store(open_store: OpenLmdb, run: Run, data_dir: Path, clock: ManualClock) -> Iterator[LmdbOwnStore]:
    run(open_store().close())
    with own_store(data_dir, clock=clock, map_bytes=MAP_BYTES) as store:
        yield store


def test_writes_together_may_be_larger_than_a_write_and_than_a_group(store: LmdbOwnStore, run: Run) -> None:
    count = 3 * lmdb_environment.GROUP_BYTES_MAX // VALUE_BYTES
    assert count * VALUE_BYTES > 4 * WRITE_BYTES_MAX
    run(store.write_together([put(number) for number in range(count)]))

    assert run(store.read(contents)) == (count, count, count)


@pytest.mark.parametrize("place", [0, 1, 45, 69])
def test_when_one_of_them_fails_nothing_is_written(store: LmdbOwnStore, run: Run, place: int) -> None:
    run(store.write(lambda txn: txn.put(b"before", b"")))

    def fail(txn: WriteTxn) -> None:
        raise RunNotFound("x")

    fns: list[Callable[[WriteTxn], object]] = [put(number) for number in range(place)]
    with pytest.raises(RunNotFound):
        run(store.write_together([*fns, fail, *(lambda _: None,) * 3]))

    assert run(store.read(lambda txn: [key for key, _ in txn.scan(*EVERYTHING)])) == [b"before"]
    assert run(store.write(lambda txn: (txn.next_revision(), txn.next_ordinal()))) == (1, 1)


def test_each_of_them_is_bounded_as_a_write_is(store: LmdbOwnStore, run: Run) -> None:
    def too_much(txn: WriteTxn) -> None:
        for number in range(WRITE_BYTES_MAX // VALUE_BYTES + 1):
            txn.put(b"%d" % number, bytes(VALUE_BYTES))

    with pytest.raises(EnvelopeError):
        run(store.write_together([put(0), too_much]))
    assert run(store.read(contents)) == (0, 0, 0)


def test_when_there_is_no_room_nothing_is_written(store: LmdbOwnStore, run: Run) -> None:
    fns = [put(number) for number in range(MAP_BYTES // VALUE_BYTES)]
    with pytest.raises(StoreFull):
        run(store.write_together(fns))
    assert run(store.read(contents)) == (0, 0, 0)
    run(store.write_together([put(0)]))
    assert run(store.read(contents)) == (1, 1, 1)


def test_a_write_alone_is_as_with_any_store(store: LmdbOwnStore, run: Run) -> None:
    run(store.write(put(0)))
    assert run(store.read(contents, offload=True)) == (1, 1, 1)
    run(store.write_together([]))
    assert run(store.read(contents)) == (1, 1, 1)
    run(store.close())


def test_what_was_written_is_there_afterwards(
    open_store: OpenLmdb, run: Run, data_dir: Path, clock: ManualClock
) -> None:
    run(open_store().close())
    with own_store(data_dir, clock=clock, map_bytes=MAP_BYTES) as store:
        run(store.write_together([put(0), put(1)]))
    with store_at_rest(data_dir) as snapshots:
        assert snapshots.read(contents) == (2, 2, 2)
    with file_at_rest(data_dir / "store" / "data.mdb") as snapshots:
        assert snapshots.read(contents) == (2, 2, 2)
    again = open_store()
    assert run(again.read(contents)) == (2, 2, 2)


def openings(data_dir: Path, clock: ManualClock) -> list[Any]:
    """Return the ways to open what no server holds."""
    return [own_store(data_dir, clock=clock, map_bytes=MAP_BYTES), store_at_rest(data_dir)]


def test_a_store_that_is_held_is_refused(open_store: OpenLmdb, data_dir: Path, clock: ManualClock) -> None:
    open_store()
    for opening in (*openings(data_dir, clock), file_at_rest(data_dir / "store" / "data.mdb")):
        with pytest.raises(StoreInUse), opening:
            pass


def test_it_is_held_meanwhile(open_store: OpenLmdb, run: Run, data_dir: Path, clock: ManualClock) -> None:
    run(open_store().close())
    for opening in openings(data_dir, clock):
        with opening, pytest.raises(StoreInUse):
            open_store()
    run(open_store().close())


def test_a_folder_without_a_store_is_left_alone(tmp_path: Path, clock: ManualClock) -> None:
    for opening in openings(tmp_path / "none", clock):
        with pytest.raises(StoreMissing), opening:
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_backup_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10_000)
    with pytest.raises(DataFileForeign), file_at_rest(path):
        pass
