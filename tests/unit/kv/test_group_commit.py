"""Group commit: writes that come together share one commit, and notice nothing else of each other."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

import pytest

from runindex_server.errors import CommitOutcomeUnknown, Overloaded, RunNotFound, StoreFull
from runindex_server.kv import group_commit
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.group_commit import GROUP_MAX, GroupCommit, Outcome, TakeGroup, WriteFunction
from runindex_server.kv.lmdb_store import LmdbStore

Run = Callable[[Coroutine[Any, Any, Any]], Any]
OpenLmdb = Callable[..., LmdbStore]

EVERYTHING: Final = (b"", b"\xff" * 401)
WAIT_S: Final = 30.0


def rows(txn: ReadTxn) -> list[tuple[bytes, bytes]]:
    return list(txn.scan(*EVERYTHING))


def put(key: bytes, value: bytes = b"") -> Callable[[WriteTxn], int]:
    """Return a write that puts a row and returns its revision."""

    def write(txn: WriteTxn) -> int:
        txn.put(key, value)
        return txn.next_revision()

    return write


class Hold:
    """A write that holds up the writer's thread, so that what comes meanwhile is one group."""

    def __init__(self) -> None:
        self._runs, self._may_go_on = threading.Event(), threading.Event()

    def __call__(self, _: WriteTxn) -> None:
        self._runs.set()
        assert self._may_go_on.wait(WAIT_S)

    async def until_it_runs(self) -> None:
        assert await asyncio.to_thread(self._runs.wait, WAIT_S)

    def release(self) -> None:
        self._may_go_on.set()


def together(store: LmdbStore, run: Run, fns: Sequence[WriteFunction]) -> list[Any]:
    """Make writes that come together, and return what each returned or raised."""
    hold = Hold()

    async def write() -> list[Any]:
        first = asyncio.ensure_future(store.write(hold))
        await hold.until_it_runs()
        waiting = [asyncio.ensure_future(store.write(fn)) for fn in fns]
        await asyncio.sleep(0)
        hold.release()
        await first
        return list(await asyncio.gather(*waiting, return_exceptions=True))

    outcomes: list[Any] = run(write())
    return outcomes


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the groups that are committed from now on, the first of which is the hold."""
    sizes: list[int] = []
    commit = LmdbStore._commit

    def note(store: LmdbStore, take: TakeGroup) -> list[Outcome]:
        outcomes = commit(store, take)
        sizes.append(len(outcomes))
        return outcomes

    monkeypatch.setattr(LmdbStore, "_commit", note)
    return sizes


def test_writes_that_come_together_share_a_commit(open_store: OpenLmdb, run: Run, groups: list[int]) -> None:
    store = open_store()

    assert together(store, run, [put(b"%d" % number) for number in range(9)]) == list(range(1, 10))

    assert groups == [1, 9]
    run(store.close())
    assert run(open_store().read(rows)) == [(b"%d" % number, b"") for number in range(9)]


def test_each_sees_those_before_it(open_store: OpenLmdb, run: Run, groups: list[int]) -> None:
    store = open_store()

    def append(txn: WriteTxn) -> tuple[bytes | None, int]:
        before = txn.get(b"a")
        txn.put(b"a", (before or b"") + b"x")
        txn.add(b"n", 1)
        return before, txn.get_counter(b"n")

    assert together(store, run, [append] * 3) == [(None, 1), (b"x", 2), (b"xx", 3)]
    assert groups == [1, 3]


def test_who_is_refused_touches_nobody(open_store: OpenLmdb, run: Run, groups: list[int]) -> None:
    store = open_store()
    fault = ZeroDivisionError()

    def refuse(txn: WriteTxn) -> None:
        txn.put(b"refused", b"")
        txn.next_revision()
        raise RunNotFound("x")

    def break_down(txn: WriteTxn) -> None:
        txn.delete(b"a")
        raise fault

    first, refusal, second, broken, third = together(
        store, run, [put(b"a"), refuse, put(b"b"), break_down, put(b"c")]
    )

    assert (first, second, third) == (1, 2, 3)
    assert isinstance(refusal, RunNotFound)
    assert refusal.revision == 1
    assert broken is fault
    assert groups == [1, 5]
    assert run(store.read(rows)) == [(b"a", b""), (b"b", b""), (b"c", b"")]


def test_who_goes_away_while_waiting_writes_nothing(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    hold = Hold()

    async def write() -> None:
        first = asyncio.ensure_future(store.write(hold))
        await hold.until_it_runs()
        leaving, staying = (asyncio.ensure_future(store.write(put(key))) for key in (b"leaving", b"staying"))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        hold.release()
        await first
        assert await staying == 1
        assert leaving.cancelled()

    run(write())
    assert run(store.read(rows)) == [(b"staying", b"")]


def test_groups_are_bounded_in_number(open_store: OpenLmdb, run: Run, groups: list[int]) -> None:
    store = open_store()

    outcomes = together(store, run, [put(b"%04d" % number) for number in range(2 * GROUP_MAX + 1)])

    assert outcomes == list(range(1, 2 * GROUP_MAX + 2))
    assert groups == [1, GROUP_MAX, GROUP_MAX, 1]


def test_groups_are_bounded_in_bytes(open_store: OpenLmdb, run: Run, groups: list[int]) -> None:
    store = open_store()

    def put_much(number: int) -> WriteFunction:
        def write(txn: WriteTxn) -> int:
            for place in range(7):
                txn.put(b"%d-%d" % (number, place), bytes(200_000))
            return number

        return write

    assert together(store, run, [put_much(number) for number in range(5)]) == list(range(5))
    assert groups == [1, 3, 2]


def test_one_that_finds_no_room_leaves_the_others_theirs(open_store: OpenLmdb, run: Run) -> None:
    map_bytes = 14 * 1024 * 1024
    store = open_store(map_bytes=map_bytes)

    def put_too_much(txn: WriteTxn) -> None:
        for place in range(10):
            txn.put(b"much-%d" % place, bytes(200_000))

    def fill(number: int) -> WriteFunction:
        return lambda txn: [txn.put(b"fill-%03d-%d" % (number, place), bytes(200_000)) for place in range(5)]

    for number in range(13):
        run(store.write(fill(number)))

    small, refused, other = together(store, run, [put(b"a"), put_too_much, put(b"b")])

    assert isinstance(refused, StoreFull)
    assert (small, other) == (1, 2)
    assert run(store.read(lambda txn: txn.get_many([b"a", b"much-0", b"b"]))) == [b"", None, b""]


# The queue by itself.


@pytest.fixture
def committer(request: pytest.FixtureRequest) -> Iterator[Callable[..., GroupCommit]]:
    """Return what makes a queue over a commit function; each is closed after the test."""
    made: list[GroupCommit] = []

    def make(commit: Callable[[TakeGroup], list[Outcome]]) -> GroupCommit:
        made.append(GroupCommit(commit))
        return made[-1]

    yield make
    for queue in made:
        queue.close()


def test_nobody_learns_anything_before_the_commit_has_returned(
    run: Run, committer: Callable[..., GroupCommit]
) -> None:
    is_committing, may_return = threading.Event(), threading.Event()

    def commit(take: TakeGroup) -> list[Outcome]:
        fns = take()
        is_committing.set()
        assert may_return.wait(WAIT_S)
        return [Outcome(error=CommitOutcomeUnknown()) for _ in fns]

    queue = committer(commit)

    async def write() -> None:
        waiting = asyncio.ensure_future(queue.write(put(b"a")))
        await asyncio.to_thread(is_committing.wait, WAIT_S)
        assert not waiting.done()
        may_return.set()
        with pytest.raises(CommitOutcomeUnknown):
            await waiting

    run(write())


def test_what_comes_while_others_write_goes_along(run: Run, committer: Callable[..., GroupCommit]) -> None:
    others_write, others_are_done = threading.Event(), threading.Event()
    groups: list[int] = []

    def commit(take: TakeGroup) -> list[Outcome]:
        others_write.set()
        assert others_are_done.wait(WAIT_S)
        groups.append(len(take()))
        assert len(take()) == groups[-1]
        return [Outcome("done") for _ in take()]

    queue = committer(commit)

    async def write() -> list[str]:
        calls = [asyncio.ensure_future(queue.write(put(b"a")))]
        await asyncio.to_thread(others_write.wait, WAIT_S)
        calls += [asyncio.ensure_future(queue.write(put(b"b"))) for _ in range(3)]
        await asyncio.sleep(0)
        others_are_done.set()
        return list(await asyncio.gather(*calls))

    assert run(write()) == ["done"] * 4
    assert groups == [4]


def test_who_all_go_away_before_they_are_taken_stop_nobody(
    run: Run, committer: Callable[..., GroupCommit]
) -> None:
    others_write, others_are_done = threading.Event(), threading.Event()

    def commit(take: TakeGroup) -> list[Outcome]:
        others_write.set()
        assert others_are_done.wait(WAIT_S)
        return [Outcome("done") for _ in take()]

    queue = committer(commit)

    async def write() -> str:
        leaving = asyncio.ensure_future(queue.write(put(b"a")))
        await asyncio.to_thread(others_write.wait, WAIT_S)
        leaving.cancel()
        await asyncio.sleep(0)
        others_are_done.set()
        return await queue.write(put(b"b"))

    assert run(write()) == "done"


def test_what_did_not_go_with_its_group_goes_first_in_the_next(
    run: Run, committer: Callable[..., GroupCommit]
) -> None:
    order: list[str] = []
    names = {put(name.encode()): name for name in "abcde"}

    def commit_one(take: TakeGroup) -> list[Outcome]:
        order.append(names[take()[0]])
        return [Outcome(order[-1])]

    queue = committer(commit_one)

    async def write() -> list[str]:
        return list(await asyncio.gather(*map(queue.write, names)))

    assert run(write()) == list("abcde")
    assert order == list("abcde")


def test_a_full_queue_refuses(
    run: Run, committer: Callable[..., GroupCommit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "QUEUE_MAX", 3)
    is_committing, may_return = threading.Event(), threading.Event()

    def commit(take: TakeGroup) -> list[Outcome]:
        fns = take()
        is_committing.set()
        assert may_return.wait(WAIT_S)
        return [Outcome("done") for _ in fns]

    queue = committer(commit)

    async def write() -> list[str]:
        calls = [asyncio.ensure_future(queue.write(put(b"a")))]
        await asyncio.to_thread(is_committing.wait, WAIT_S)
        calls += [asyncio.ensure_future(queue.write(put(b"a"))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await queue.write(put(b"a"))
        may_return.set()
        return list(await asyncio.gather(*calls))

    assert run(write()) == ["done"] * 4
