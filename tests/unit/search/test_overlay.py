"""The overlay: it is read once, serves snapshots old and new, and threads at once."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyroaring import BitMap

from runindex_server.schema import keys, terms
from runindex_server.search import overlay
from runindex_server.search.expression import Tag
from runindex_server.search.index import TermIndex
from runindex_server.search.overlay import Overlay
from runindex_server.search.postings import decode_posting
from tests.support.search_world import Snapshot, World, find, make_run

TERM = terms.tag("t")


def members(kept: Overlay, txn: Snapshot) -> list[int]:
    """Return the runs with the tag `t`, the overlay laid over the posting."""
    found = decode_posting(keys.posting(TERM, 0), txn.get(keys.posting(TERM, 0)))
    kept.view(txn).apply(found, TERM, 0)
    return list(found)


def rows_of_view(kept: Overlay, txn: Snapshot) -> int:
    """Return how many rows it takes to see what is pending in a snapshot."""
    txn.rows_read = 0
    kept.view(txn)
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
    kept.view(made.snapshot())
    made.change(1, tags=())
    kept.view(made.snapshot())
    made.merge()

    assert members(kept, made.snapshot()) == [2]
    assert rows_of_view(kept, made.snapshot()) == 1


def test_what_was_merged_unseen_is_not_missed() -> None:
    made = World(make_run(1, tags=("t",)))
    kept = Overlay()
    kept.view(made.snapshot())
    made.change(1, tags=())
    kept.view(made.snapshot())
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
    kept.view(made.snapshot())
    kept.view(old)

    assert rows_of_view(kept, made.snapshot()) == 1


def test_what_is_merged_is_dropped_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "SPENT_CHANGES_MAX", 10)
    made = World(*(make_run(number, tags=("t",)) for number in range(1, 12)))
    kept = Overlay()
    old = made.snapshot()
    kept.view(old)
    made.merge()
    kept.view(made.snapshot())

    assert kept.view(made.snapshot()).terms_in(b"", b"\xff") == []
    assert members(kept, made.snapshot()) == list(range(1, 12))
    assert members(kept, old) == list(range(1, 12))


def test_terms_are_told_in_order_and_once() -> None:
    made = World(make_run(1, tags=("b", "a")), make_run(70_000, tags=("b", "c")))
    view = Overlay().view(made.snapshot())

    assert view.terms_in(b"t", b"u") == [b"ta", b"tb", b"tc"]
    assert view.terms_in(b"tb", b"tc") == [b"tb"]
    assert view.blocks() == {0, 1}


def test_a_view_changes_only_what_it_is_given() -> None:
    made = World(make_run(1, tags=("t",)))
    view = Overlay().view(made.snapshot())
    offsets = BitMap()
    view.apply(offsets, TERM, 1)
    assert not offsets
    view.apply(offsets, TERM, 0)
    assert list(offsets) == [1]


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
