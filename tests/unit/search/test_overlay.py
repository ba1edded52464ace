"""The overlay: it is read once, serves snapshots old and new, and threads at once."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from runindex_server.jobs import merge
from runindex_server.schema import keys, terms
from runindex_server.search import effort, overlay
from runindex_server.search.effort import Effort, TooMuchWork
from runindex_server.search.expression import Tag
from runindex_server.search.index import TermIndex
from runindex_server.search.overlay import Net, Overlay, OverlayView
from runindex_server.search.postings import decode_posting
from tests.support.search_world import Snapshot, World, drive, find, make_run

TERM = terms.tag("t")


def members(kept: Overlay, txn: Snapshot) -> list[int]:
    """Return the runs with the tag `t`, the overlay laid over the posting."""
    found = decode_posting(keys.posting(TERM, 0), txn.get(keys.posting(TERM, 0)))
    net = view(kept, txn).nets(TERM).get(0)
    return list(found if net is None else net.over(found))


def view(kept: Overlay, txn: Snapshot, *, work_max: int | None = None) -> OverlayView:
    """Return what is pending in a snapshot."""
    return kept.view(txn, Effort(work_max))


def rows_of_view(kept: Overlay, txn: Snapshot) -> int:
    """Return how many rows it takes to see what is pending in a snapshot."""
    txn.rows_read = 0
    view(kept, txn)
    return txn.rows_read


def test_only_what_is_new_is_read() -> None:
    made = World(*(make_run(number, tags=("t",)) for number in range(1, 101)))
    kept = Overlay()

    assert rows_of_view(kept, made.snapshot()) == 101
    assert rows_of_view(kept, made.snapshot()) == 1
    made.write(make_run(101, tags=("t",)))
    assert rows_of_view(kept, made.snapshot()) == 2
    assert members(kept, made.snapshot()) == list(range(1, 102))


def test_merging_leaves_it_right() -> None:
    made = World(make_run(1, tags=("t",)), make_run(2, tags=("t",)))
    kept = Overlay()
    view(kept, made.snapshot())
    made.change(1, tags=())
    view(kept, made.snapshot())
    made.merge()

    assert members(kept, made.snapshot()) == [2]
    assert rows_of_view(kept, made.snapshot()) == 1


def test_what_was_merged_unseen_is_not_missed() -> None:
    made = World(make_run(1, tags=("t",)))
    kept = Overlay()
    view(kept, made.snapshot())
    made.change(1, tags=())
    view(kept, made.snapshot())
    made.change(1, tags=("t",))
    made.merge()
    made.write(make_run(2))

    assert members(kept, made.snapshot()) == [1]


def test_an_old_snapshot_sees_what_it_saw() -> None:
    made = World(make_run(1, tags=("t",)))
    kept = Overlay()
    first = made.snapshot()
    made.write(make_run(2, tags=("t",)))
    second = made.snapshot()
    made.merge()
    made.change(1, tags=())
    third = made.snapshot()

    for txn, expected in ((third, [2]), (first, [1]), (second, [1, 2])) * 2:
        assert members(kept, txn) == expected


def test_an_old_snapshot_does_not_displace_what_is_kept() -> None:
    made = World(make_run(1, tags=("t",)))
    kept = Overlay()
    old = made.snapshot()
    made.merge()
    made.change(1, tags=())
    view(kept, made.snapshot())
    view(kept, old)

    assert rows_of_view(kept, made.snapshot()) == 1


@pytest.mark.parametrize("changes_max", [1, 3, 100])
def test_what_is_merged_is_dropped_in_the_end(changes_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "SEGMENT_CHANGES_MAX", changes_max)
    made = World(*(make_run(number, tags=("t",)) for number in range(1, 12)))
    kept = Overlay()
    old = made.snapshot()
    view(kept, old)
    made.merge()
    view(kept, made.snapshot())

    assert view(kept, made.snapshot()).terms_in(b"", b"\xff") == set()
    assert members(kept, made.snapshot()) == list(range(1, 12))
    assert members(kept, old) == list(range(1, 12))


def test_nothing_is_read_twice_though_some_is_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is merged goes, and what stays is not read again for that."""
    monkeypatch.setattr(overlay, "SEGMENT_CHANGES_MAX", 2)
    monkeypatch.setattr(merge, "CHANGES_MAX", 4)
    made = World(*(make_run(number, tags=("t", f"n{number}")) for number in range(1, 11)))
    kept = Overlay()
    view(kept, made.snapshot())
    drive(merge.merge_step(made.store))

    assert rows_of_view(kept, made.snapshot()) == 1
    assert view(kept, made.snapshot()).terms_in(b"tn", b"to") == {b"tn%d" % place for place in range(5, 11)}
    assert members(kept, made.snapshot()) == list(range(1, 11))


@pytest.mark.parametrize("held", [-1, 0, 1_000, 2_500, 1_000_000])
def test_what_is_too_much_to_be_kept_is_still_seen(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "HELD_BYTES_MAX", held)
    monkeypatch.setattr(overlay, "SEGMENT_CHANGES_MAX", 2)
    made = World(*(make_run(number, tags=("t",)) for number in range(1, 6)))
    made.change(2, tags=())
    made.change(3, tags=("u",))
    kept = Overlay()

    for _ in range(2):
        assert members(kept, made.snapshot()) == [1, 4, 5]
        assert view(kept, made.snapshot()).terms_in(b"tt", b"tv") == {b"tt", b"tu"}
        made.change(5, tags=("t", "v"))
        made.change(3, tags=())


def test_little_work_reads_little_and_keeps_it() -> None:
    made = World(*(make_run(number, tags=("t",)) for number in range(1, 11)))
    kept = Overlay()
    txn = made.snapshot()

    for _ in range(2):
        with pytest.raises(TooMuchWork):
            view(kept, txn, work_max=4 * effort.CHANGE)
    assert view(kept, txn, work_max=2 * effort.CHANGE).nets(TERM)[0].joining == BitMap(range(1, 11))


def test_little_work_waits_for_nobody() -> None:
    made = World(make_run(1, tags=("t",)))
    kept = Overlay()
    with kept._lock, pytest.raises(TooMuchWork):
        view(kept, made.snapshot(), work_max=1_000)

    view(kept, made.snapshot(), work_max=1_000)
    with kept._lock:
        assert view(kept, made.snapshot(), work_max=0).nets(TERM)


@pytest.mark.parametrize("unsorted_max", [0, 1, 1_000])
def test_terms_are_told_by_range(unsorted_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "UNSORTED_TERMS_MAX", unsorted_max)
    made = World(make_run(1, tags=("b", "a")), make_run(70_000, tags=("b", "c")))
    kept = Overlay()

    assert view(kept, made.snapshot()).terms_in(b"t", b"u") == {b"ta", b"tb", b"tc"}
    assert view(kept, made.snapshot()).terms_in(b"tb", b"tc") == {b"tb"}
    made.write(make_run(2, tags=("aa", "d")))
    assert view(kept, made.snapshot()).terms_in(b"ta", b"tb") == {b"ta", b"taa"}


def test_changes_are_told_by_block() -> None:
    made = World(make_run(1, tags=("t",)), make_run(70_000, tags=("t",)))
    made.merge()
    made.change(1, tags=())
    made.write(make_run(2, tags=("t",)))
    nets = view(Overlay(), made.snapshot()).nets(TERM)

    assert nets == {0: Net(BitMap([2]), BitMap([1]))}
    assert nets[0].over(BitMap([1, 5])) == BitMap([2, 5])


changed = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12)


@given(first=changed, second=changed, members=st.sets(st.integers(0, 5)))
def test_changes_after_changes_are_both(
    first: list[tuple[int, bool]], second: list[tuple[int, bool]], members: set[int]
) -> None:
    def net(changes: list[tuple[int, bool]]) -> Net:
        last = dict(changes)
        return Net(
            BitMap(place for place, joins in last.items() if joins),
            BitMap(place for place, joins in last.items() if not joins),
        )

    assert net(first).then(net(second)) == net(first + second)
    one_by_one = net(second).over(net(first).over(BitMap(members)))
    assert net(first + second).over(BitMap(members)) == one_by_one


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval_s)


def test_threads_share_it(hasty_threads: None) -> None:
    made = World()
    index = TermIndex()
    expected: list[tuple[Snapshot, list[int]]] = []
    for number in range(1, 61):
        made.write(make_run(number, tags=("t",)))
        if number % 7 == 0:
            made.delete(number)
        if number % 20 == 0:
            made.merge()
        expected.append((made.snapshot(), sorted(made.runs, reverse=True)))

    def search(place: int) -> bool:
        txn, found = expected[place * 17 % len(expected)]
        return find(index, txn, Tag("t")) == found

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(search, range(600)))
