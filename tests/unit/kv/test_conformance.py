"""What every store does: one suite, run on each."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from runindex_server.errors import RunNotFound, StoreClosed
from runindex_server.kv.api import (
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    WRITE_BYTES_MAX,
    EnvelopeError,
    KeyPresentError,
    ReadTxn,
    Store,
    WriteTxn,
    decode_counter,
    encode_counter,
)
from tests.support.clock import ManualClock

Run = Callable[[Coroutine[Any, Any, Any]], Any]

EVERYTHING = (b"", b"\xff" * (KEY_BYTES_MAX + 1))


def put_all(*keys: bytes) -> Callable[[WriteTxn], None]:
    def put(txn: WriteTxn) -> None:
        for key in keys:
            txn.put(key, b"value of " + key)

    return put


def rows(txn: ReadTxn) -> list[tuple[bytes, bytes]]:
    return list(txn.scan(*EVERYTHING))


def keys_in(start: bytes, end: bytes, **how: Any) -> Callable[[ReadTxn], list[bytes]]:
    return lambda txn: [key for key, _ in txn.scan(start, end, **how)]


class Boom(Exception):
    pass


def boom(txn: ReadTxn | WriteTxn) -> None:
    raise Boom


# Rows.


def test_put_get_delete(store: Store, run: Run) -> None:
    run(store.write(put_all(b"a", b"b")))
    assert run(store.read(lambda txn: txn.get(b"a"))) == b"value of a"
    run(store.write(lambda txn: txn.put(b"a", b"")))
    assert run(store.read(lambda txn: txn.get(b"a"))) == b""
    run(store.write(lambda txn: txn.delete(b"a")))
    assert run(store.read(lambda txn: txn.get(b"a"))) is None
    assert run(store.read(rows)) == [(b"b", b"value of b")]


def test_delete_of_an_absent_row_does_nothing(store: Store, run: Run) -> None:
    run(store.write(lambda txn: txn.delete(b"a")))
    assert run(store.read(rows)) == []


def test_write_and_read_return_what_the_function_returns(store: Store, run: Run) -> None:
    assert run(store.write(lambda _: 7)) == 7
    assert run(store.read(lambda _: "seven", offload=True)) == "seven"


def test_get_many_is_aligned_with_its_keys(store: Store, run: Run) -> None:
    run(store.write(put_all(b"a", b"b")))
    keys = [b"b", b"x", b"a", b"b"]
    values = [b"value of b", None, b"value of a", b"value of b"]
    assert run(store.read(lambda txn: txn.get_many(keys))) == values
    assert run(store.read(lambda txn: txn.get_many([]))) == []


def test_insert_adds_an_absent_row(store: Store, run: Run) -> None:
    run(store.write(lambda txn: txn.insert(b"a", b"1")))
    assert run(store.read(rows)) == [(b"a", b"1")]


@pytest.mark.parametrize("make_present", [put_all(b"a"), lambda txn: txn.add(b"a", 1)])
def test_insert_refuses_a_key_with_a_row(
    store: Store, run: Run, make_present: Callable[[WriteTxn], None]
) -> None:
    run(store.write(make_present))
    with pytest.raises(KeyPresentError):
        run(store.write(lambda txn: txn.insert(b"a", b"1")))


def test_insert_sees_the_changes_of_its_own_write(store: Store, run: Run) -> None:
    def insert_again(txn: WriteTxn) -> None:
        txn.insert(b"a", b"1")
        with pytest.raises(KeyPresentError):
            txn.insert(b"a", b"2")
        txn.delete(b"a")
        txn.insert(b"a", b"3")

    run(store.write(insert_again))
    assert run(store.read(rows)) == [(b"a", b"3")]


def test_a_write_sees_its_own_changes(store: Store, run: Run) -> None:
    run(store.write(put_all(b"a", b"b")))

    def change(txn: WriteTxn) -> list[bytes | None]:
        txn.put(b"a", b"new")
        txn.delete(b"b")
        txn.put(b"c", b"made")
        return [txn.get(key) for key in (b"a", b"b", b"c", b"d")]

    assert run(store.write(change)) == [b"new", None, b"made", None]
    assert run(store.read(rows)) == [(b"a", b"new"), (b"c", b"made")]


def test_an_exception_writes_nothing(store: Store, run: Run) -> None:
    def fail(txn: WriteTxn) -> None:
        txn.put(b"a", b"1")
        txn.add(b"n", 1)
        txn.next_revision()
        txn.next_ordinal()
        txn.issue_time_us(strictly_later=True)
        raise Boom

    before = run(store.write(lambda txn: (txn.next_revision(), txn.next_ordinal(), txn.issue_time_us())))
    with pytest.raises(Boom):
        run(store.write(fail))
    assert run(store.read(rows)) == []
    after = run(store.write(lambda txn: (txn.next_revision(), txn.next_ordinal(), txn.issue_time_us())))
    assert after == (before[0] + 1, before[1] + 1, before[2])


@pytest.mark.parametrize("offload", [False, True])
def test_an_exception_of_a_read_reaches_the_caller(store: Store, run: Run, *, offload: bool) -> None:
    with pytest.raises(Boom):
        run(store.read(boom, offload=offload))


@pytest.mark.parametrize("offload", [False, True])
def test_stop_iteration_reaches_the_caller_as_an_error(store: Store, run: Run, *, offload: bool) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        run(store.read(lambda txn: next(txn.scan(*EVERYTHING)), offload=offload))
    with pytest.raises(RuntimeError, match="StopIteration"):
        run(store.write(lambda _: next(iter(()))))


# Scans.


def test_rows_are_in_the_order_of_unsigned_bytes(store: Store, run: Run) -> None:
    keys = [
        b"\x00",
        b"\x00\x00",
        b"\x00\xff",
        b"\x01",
        b"a",
        b"a\x00",
        b"ab",
        b"b",
        b"\x7f",
        b"\x80",
        b"\xff",
    ]
    keys.append(b"\xff" * KEY_BYTES_MAX)
    run(store.write(put_all(*reversed(keys))))
    assert run(store.read(keys_in(*EVERYTHING))) == keys
    assert run(store.read(keys_in(*EVERYTHING, reverse=True))) == keys[::-1]


BOUNDS = [b"", b"\x00", b"a", b"a\x00", b"b", b"bb", b"c", b"d", b"\xff", b"b" * 600, b"\xff" * 600]


@pytest.mark.parametrize("reverse", [False, True])
def test_ranges_are_half_open(store: Store, run: Run, *, reverse: bool) -> None:
    keys = [b"a", b"b", b"b" * KEY_BYTES_MAX, b"c", b"\xff" * KEY_BYTES_MAX]
    run(store.write(put_all(*keys)))
    for start, end in itertools.product(BOUNDS, BOUNDS):
        expected = sorted((key for key in keys if start <= key < end), reverse=reverse)
        assert run(store.read(keys_in(start, end, reverse=reverse))) == expected, (start, end)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_of_an_empty_store_yields_nothing(store: Store, run: Run, *, reverse: bool) -> None:
    assert run(store.read(keys_in(*EVERYTHING, reverse=reverse))) == []


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [None, 0, 1, 2, 3, 4])
def test_a_scan_ends_at_its_limit(store: Store, run: Run, limit: int | None, *, reverse: bool) -> None:
    run(store.write(put_all(b"a", b"b", b"c")))
    expected = [b"c", b"b", b"a"] if reverse else [b"a", b"b", b"c"]
    found = run(store.read(keys_in(b"a", b"z", reverse=reverse, limit=limit)))
    assert found == expected[:limit]


def test_scans_can_be_read_in_turns(store: Store, run: Run) -> None:
    run(store.write(put_all(b"a1", b"a2", b"b1", b"b2")))

    def merge(txn: ReadTxn) -> list[tuple[bytes, bytes]]:
        pairs = zip(txn.scan(b"a", b"b"), txn.scan(b"b", b"c", reverse=True), strict=True)
        return [(left[0], right[0]) for left, right in pairs]

    assert run(store.read(merge)) == [(b"a1", b"b2"), (b"a2", b"b1")]


@pytest.mark.parametrize("rows_read", [0, 1])
def test_no_scan_outlives_its_transaction(store: Store, run: Run, rows_read: int) -> None:
    run(store.write(put_all(b"a", b"b")))

    def keep(txn: ReadTxn) -> Any:
        scan = txn.scan(*EVERYTHING)
        for _ in range(rows_read):
            next(scan)
        return scan

    kept = run(store.read(keep))
    with pytest.raises(RuntimeError, match="ended"):
        next(kept)


# Counters.


def test_counters_add_up(store: Store, run: Run) -> None:
    def add(txn: WriteTxn) -> list[int]:
        sums = [txn.get_counter(b"n")]
        for delta in (5, -2):
            txn.add(b"n", delta)
            sums.append(txn.get_counter(b"n"))
        return sums

    assert run(store.read(lambda txn: txn.get_counter(b"n"))) == 0
    assert run(store.write(add)) == [0, 5, 3]
    assert run(store.write(add)) == [3, 8, 6]
    assert run(store.read(lambda txn: txn.get_counter(b"n"))) == 6
    run(store.write(lambda txn: txn.add(b"n", -10)))
    assert run(store.read(lambda txn: txn.get_counter(b"n"))) == -4


def test_many_counters_are_added_to_as_one_by_one(store: Store, run: Run) -> None:
    def add(txn: WriteTxn) -> list[int]:
        txn.add_many({b"n": 2, b"m": -1, b"k": 0})
        txn.add(b"n", 1)
        txn.put(b"m", encode_counter(7))
        txn.add_many({b"n": 4, b"m": 1})
        txn.delete(b"n")
        txn.add_many({b"n": 5})
        return [txn.get_counter(key) for key in (b"n", b"m", b"k")]

    assert run(store.write(add)) == [5, 8, 0]
    run(store.write(lambda txn: txn.add_many({b"n": -5, b"m": 2})))
    assert [(key, decode_counter(value)) for key, value in run(store.read(rows))] == [(b"m", 10)]


def test_counters_show_in_scans_as_rows(store: Store, run: Run) -> None:
    run(store.write(put_all(b"a", b"z")))
    run(store.write(lambda txn: [txn.add(b"n", -3), txn.add(b"m", 2**63 - 1)]))
    found = dict(run(store.read(rows)))
    assert list(found) == [b"a", b"m", b"n", b"z"]
    assert found[b"n"] == encode_counter(-3) == b"\xff" * 7 + b"\xfd"
    assert decode_counter(found[b"m"]) == 2**63 - 1


def test_a_counter_of_zero_has_no_row(store: Store, run: Run) -> None:
    run(store.write(lambda txn: [txn.add(b"n", 2), txn.add(b"m", 0), txn.add(b"k", 1), txn.add(b"k", -1)]))
    assert run(store.read(keys_in(*EVERYTHING))) == [b"n"]
    run(store.write(lambda txn: txn.add(b"n", -2)))
    assert run(store.read(rows)) == []


def test_a_deleted_counter_begins_at_zero(store: Store, run: Run) -> None:
    run(store.write(lambda txn: txn.add(b"n", 7)))

    def delete_and_add(txn: WriteTxn) -> list[int]:
        txn.add(b"n", 1)
        txn.delete(b"n")
        deleted = txn.get_counter(b"n")
        txn.add(b"n", 2)
        return [deleted, txn.get_counter(b"n")]

    assert run(store.write(delete_and_add)) == [0, 2]
    assert run(store.read(lambda txn: txn.get_counter(b"n"))) == 2
    run(store.write(lambda txn: [txn.delete(b"n"), txn.add(b"n", 3), txn.add(b"n", -3)]))
    assert run(store.read(rows)) == []


def test_a_counter_passes_64_bits_refused_whole(store: Store, run: Run) -> None:
    run(store.write(lambda txn: txn.add(b"n", 2**63 - 1)))
    with pytest.raises(EnvelopeError):
        run(store.write(lambda txn: [txn.put(b"a", b"1"), txn.add(b"n", 1)]))
    assert run(store.read(keys_in(*EVERYTHING))) == [b"n"]
    assert run(store.read(lambda txn: txn.get_counter(b"n"))) == 2**63 - 1


# Sequences and time.


def test_sequences_grow_by_one(store: Store, run: Run) -> None:
    assert run(store.read(lambda txn: txn.revision)) == 0

    def allot(txn: WriteTxn) -> list[int]:
        return [
            txn.revision,
            txn.next_revision(),
            txn.next_revision(),
            txn.revision,
            txn.next_ordinal(),
            txn.next_ordinal(),
        ]

    assert run(store.write(allot)) == [0, 1, 2, 2, 1, 2]
    assert run(store.read(lambda txn: txn.revision)) == 2
    assert run(store.write(allot)) == [2, 3, 4, 4, 3, 4]


def test_a_write_that_allots_nothing_keeps_the_revision(store: Store, run: Run) -> None:
    run(store.write(lambda txn: txn.next_revision()))
    run(store.write(put_all(b"a")))
    assert run(store.read(lambda txn: txn.revision)) == 1


def test_time_is_the_later_of_the_clock_and_the_last_time_issued(
    store: Store, run: Run, clock: ManualClock
) -> None:
    start_us = clock.now_us()

    def issue(txn: WriteTxn) -> int:
        return txn.issue_time_us()

    assert run(store.write(issue)) == start_us
    clock.advance(5)
    assert run(store.write(issue)) == start_us + 5
    clock.set(start_us - 1_000_000)
    assert run(store.write(issue)) == start_us + 5
    clock.set(start_us + 6)
    assert run(store.write(issue)) == start_us + 6


def test_strictly_later_times_never_repeat(store: Store, run: Run, clock: ManualClock) -> None:
    start_us = clock.now_us()

    def issue(txn: WriteTxn) -> list[int]:
        return [txn.issue_time_us(strictly_later=True), txn.issue_time_us(strictly_later=True)]

    assert run(store.write(issue)) == [start_us, start_us + 1]
    assert run(store.write(issue)) == [start_us + 2, start_us + 3]
    assert run(store.write(lambda txn: txn.issue_time_us())) == start_us + 3
    clock.advance(100)
    assert run(store.write(issue)) == [start_us + 100, start_us + 101]


# Refusals.


def refuse(txn: ReadTxn | WriteTxn) -> None:
    run_id = "0192f300-0000-7000-8000-000000000000"
    raise RunNotFound(run_id)


def test_a_refusal_carries_the_revision_that_was_seen(store: Store, run: Run) -> None:
    run(store.write(lambda txn: [txn.next_revision(), txn.next_revision()]))
    with pytest.raises(RunNotFound) as of_read:
        run(store.read(refuse))
    with pytest.raises(RunNotFound) as of_offloaded_read:
        run(store.read(refuse, offload=True))
    with pytest.raises(RunNotFound) as of_write:
        run(store.write(lambda txn: [txn.next_revision(), refuse(txn)]))
    # A revision that was allotted and not written never existed.
    assert {of.value.revision for of in (of_read, of_offloaded_read, of_write)} == {2}


# Bounds.


@pytest.mark.parametrize("byte", [b"\x00", b"\xff"])
@pytest.mark.parametrize("key_bytes", [1, KEY_BYTES_MAX - 1, KEY_BYTES_MAX])
def test_keys_within_the_bounds_are_taken(store: Store, run: Run, byte: bytes, key_bytes: int) -> None:
    key = byte * key_bytes
    run(store.write(lambda txn: txn.insert(key, b"1")))
    assert run(store.read(rows)) == [(key, b"1")]
    assert run(store.read(lambda txn: txn.get(key))) == b"1"
    run(store.write(lambda txn: txn.delete(key)))
    run(store.write(lambda txn: txn.add(key, 1)))
    assert run(store.read(lambda txn: txn.get_counter(key))) == 1


@pytest.mark.parametrize("key_bytes", [0, KEY_BYTES_MAX + 1, 600])
def test_keys_outside_the_bounds_are_refused(store: Store, run: Run, key_bytes: int) -> None:
    key = bytes(key_bytes)
    writes: list[Callable[[WriteTxn], Any]] = [
        lambda txn: txn.put(key, b""),
        lambda txn: txn.insert(key, b""),
        lambda txn: txn.delete(key),
        lambda txn: txn.add(key, 1),
        lambda txn: txn.add_many({b"n": 1, key: 1}),
        lambda txn: txn.get(key),
        lambda txn: txn.get_counter(key),
    ]
    reads: list[Callable[[ReadTxn], Any]] = [
        lambda txn: txn.get(key),
        lambda txn: txn.get_many([b"a", key]),
        lambda txn: txn.get_counter(key),
    ]
    for write in writes:
        with pytest.raises(EnvelopeError):
            run(store.write(write))
    for read in reads:
        with pytest.raises(EnvelopeError):
            run(store.read(read))


@pytest.mark.parametrize("value_bytes", [VALUE_BYTES_MAX - 1, VALUE_BYTES_MAX, VALUE_BYTES_MAX + 1])
def test_values_are_bounded(store: Store, run: Run, value_bytes: int) -> None:
    value = b"\xab" * value_bytes
    if value_bytes <= VALUE_BYTES_MAX:
        run(store.write(lambda txn: txn.put(b"a", value)))
        assert run(store.read(lambda txn: txn.get(b"a"))) == value
        return
    for write in (lambda txn: txn.put(b"a", value), lambda txn: txn.insert(b"a", value)):
        with pytest.raises(EnvelopeError):
            run(store.write(write))


def write_of(write_bytes: int) -> Callable[[WriteTxn], None]:
    """Return a write of that many bytes: rows, a delete of 3 bytes, a counter of 2 and 8."""

    def write(txn: WriteTxn) -> None:
        left = write_bytes - 13
        txn.delete(b"old")
        txn.add(b"nn", 1)
        for number in itertools.count():
            if left <= 0:
                break
            value_bytes = min(left - 4, VALUE_BYTES_MAX)
            txn.put(b"r%03d" % number, bytes(value_bytes))
            left -= 4 + value_bytes

    return write


@pytest.mark.parametrize("write_bytes", [WRITE_BYTES_MAX - 1, WRITE_BYTES_MAX, WRITE_BYTES_MAX + 1])
def test_writes_are_bounded(store: Store, run: Run, write_bytes: int) -> None:
    if write_bytes <= WRITE_BYTES_MAX:
        run(store.write(write_of(write_bytes)))
        found = run(store.read(rows))
        assert sum(len(key) + len(value) for key, value in found) + len(b"old") == write_bytes
        return
    with pytest.raises(EnvelopeError):
        run(store.write(write_of(write_bytes)))
    assert run(store.read(rows)) == []


def test_a_row_written_twice_counts_once(store: Store, run: Run) -> None:
    value = bytes(VALUE_BYTES_MAX)
    run(store.write(lambda txn: [txn.put(b"a", value) for _ in range(20)]))
    assert run(store.read(keys_in(*EVERYTHING))) == [b"a"]


# Concurrency.


def increment(txn: WriteTxn) -> int:
    seen = decode_counter(txn.get(b"seen") or encode_counter(0))
    txn.put(b"seen", encode_counter(seen + 1))
    txn.add(b"n", 1)
    return txn.next_revision()


def test_concurrent_writes_are_serialised(store: Store, run: Run) -> None:
    async def write_many() -> list[int]:
        return await asyncio.gather(*(store.write(increment) for _ in range(100)))

    revisions = run(write_many())
    assert sorted(revisions) == list(range(1, 101))
    assert run(store.read(lambda txn: txn.get_counter(b"n"))) == len(revisions)
    assert run(store.read(lambda txn: txn.get(b"seen"))) == encode_counter(len(revisions))


def test_a_failing_write_leaves_its_neighbours_alone(store: Store, run: Run) -> None:
    async def write_many() -> list[int | BaseException | None]:
        writes = [store.write(boom if number % 3 == 0 else increment) for number in range(30)]
        return await asyncio.gather(*writes, return_exceptions=True)

    outcomes = run(write_many())
    acknowledged = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert len(acknowledged) == 20
    assert all(isinstance(outcome, int | Boom) for outcome in outcomes)
    assert run(store.read(lambda txn: txn.get_counter(b"n"))) == 20


def test_cancelled_writes_happen_whole_or_not_at_all(store: Store, run: Run) -> None:
    async def write_and_cancel() -> None:
        tasks = [asyncio.ensure_future(store.write(increment)) for _ in range(30)]
        await tasks[5]
        for task in tasks[10:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Queued behind what still runs.
        await store.write(increment)

    run(write_and_cancel())
    count = run(store.read(lambda txn: txn.get_counter(b"n")))
    assert 11 <= count <= 31
    assert run(store.read(lambda txn: txn.get(b"seen"))) == encode_counter(count)
    assert run(store.read(lambda txn: txn.revision)) == count


# Closing.


def test_a_closed_store_refuses_every_call(store: Store, run: Run) -> None:
    run(store.close())
    run(store.close())
    for call in (lambda: store.read(rows), lambda: store.read(rows, offload=True), lambda: store.write(boom)):
        with pytest.raises(StoreClosed):
            run(call())


def test_close_finishes_what_was_handed_over(store: Store, run: Run) -> None:
    async def write_and_close() -> list[int]:
        writes = [asyncio.ensure_future(store.write(increment)) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.gather(store.close(), store.close())
        return await asyncio.gather(*writes)

    assert sorted(run(write_and_close())) == list(range(1, 11))
