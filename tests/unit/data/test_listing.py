"""Pages: in the order of names' bytes, cut by number and by bytes, and bound to one life of the run."""

from typing import Any

import pytest

from runindex_server import limits
from runindex_server.data import documents, events, states, values
from runindex_server.data.events import EventQuery
from runindex_server.data.items import NumberedVersion
from runindex_server.data.listing import Page, PageRequest, Place, fill_page
from runindex_server.errors import InvalidPageToken, RunNotFound, StoreCorrupt
from runindex_server.schema.data_keys import ItemKind
from tests.support.stores import IN_MEMORY
from tests.unit.data.world import ANY, RUN, World, encoded, shown

NAMES = [" ", "A", "a", "aa", "aab", "ab", "a~", "b", "é", "€", "𝄞", "\U0010ffff"]


def put(world: World, name: str, value: bytes = b"v") -> None:
    world.call(values.put_value, name, value, ANY)


def name_of(version: NumberedVersion) -> bytes:
    return version.name.encode()


def names(world: World, prefix: str = "", *, size: int = 100) -> list[str]:
    pages = world.pages(
        lambda txn, run_id, page: values.list_values(txn, run_id, prefix, page, name_of), size=size
    )
    assert all(len(page) == size for page in pages[:-1])
    assert all(page for page in pages[1:])
    return [name.decode() for page in pages for name in page]


@pytest.mark.parametrize("size", [1, 2, 5, len(NAMES) - 1, len(NAMES), len(NAMES) + 1])
def test_names_are_listed_in_the_order_of_their_bytes(world: World, size: int) -> None:
    for name in reversed(NAMES):
        put(world, name)
    world.call(states.set_state, "cell", b"v", ANY)
    assert names(world, size=size) == sorted(NAMES, key=str.encode) == NAMES


@pytest.mark.parametrize("prefix", ["a", "aa", "aab", "é", "\U0010ffff", "x", "b"])
def test_a_prefix_is_one_of_characters(world: World, prefix: str) -> None:
    for name in NAMES:
        put(world, name)
    expected = [name for name in NAMES if name.startswith(prefix)]
    assert names(world, prefix) == names(world, prefix, size=1) == expected


def test_what_is_deleted_is_not_listed(world: World) -> None:
    for name in "abc":
        put(world, name)
    world.call(values.delete_value, "b", ANY)
    assert names(world) == ["a", "c"]
    put(world, "b")
    assert names(world) == ["a", "b", "c"]


def test_pages_go_on_whatever_comes_and_goes(world: World) -> None:
    for name in "bdf":
        put(world, name)

    def page(after: Place | None) -> Page:
        return world.ask(values.list_values, "", PageRequest(1, after), name_of)

    first = page(None)
    for name in "ac":
        put(world, name)
    for name in "bd":
        world.call(values.delete_value, name, ANY)
    second = page(first.end)
    third = page(second.end)
    assert [*first.items, *second.items, *third.items] == [b"b", b"c", b"f"]
    assert third.end is None


def test_a_history_is_newest_first_and_has_the_deletions(world: World) -> None:
    put(world, "k", b"1")
    world.call(values.delete_value, "k", ANY)
    put(world, "k", b"3")
    put(world, "k2", b"other")
    history = [b"k@3=3", b"k@2=", b"k@1=1"]
    for size in (1, 2, 3, 4):
        pages = world.pages(
            lambda txn, run_id, page: values.get_value_history(txn, run_id, "k", page, shown), size=size
        )
        assert [item for page in pages for item in page] == history
    assert world.ask(values.get_value_history, "unknown", PageRequest(9), shown) == Page([], None)


@pytest.mark.parametrize("before", [1, 2, 50])
def test_a_page_ends_by_bytes(before: int, world: World) -> None:
    run = world.run
    largest = limits.PAGE_BYTES_MAX
    rows = [(b"%d" % number, b"x" * (largest // before)) for number in range(before)]
    assert len(fill_page(run, rows, 100).items) == before

    longer = [*rows[:-1], (b"last", rows[-1][1] + b"x" * (largest % before + 1))]
    page = fill_page(run, longer, 100)
    assert len(page.items) == max(before - 1, 1)
    assert (page.end is None) == (before == 1)


def test_a_page_reads_one_row_more_at_most(world: World) -> None:
    read = []

    def rows() -> Any:
        for number in range(10):
            read.append(number)
            yield b"%d" % number, b"x"

    assert fill_page(world.run, rows(), 3).end == Place(world.run.generation, b"2")
    assert read == [0, 1, 2, 3]


LISTS: list[Any] = [
    lambda txn, run_id, page: values.list_values(txn, run_id, "", page, shown),
    lambda txn, run_id, page: values.get_value_history(txn, run_id, "a", page, shown),
    lambda txn, run_id, page: states.list_states(txn, run_id, "", page, shown),
    lambda txn, run_id, page: documents.list_documents(txn, run_id, "", page, shown),
    lambda txn, run_id, page: events.read_events(txn, run_id, EventQuery(), page, repr_of),
]


def repr_of(event: Any) -> bytes:
    return repr(event).encode()


def fill(world: World) -> None:
    for name in "aab":
        put(world, name)
        world.call(states.set_state, name, b"v", ANY)
        world.call(documents.merge_document, name, encoded({}), ANY)
        world.call(events.append_events, [events.EventDraft("s", b"v")], None)


@pytest.mark.parametrize("method", LISTS)
def test_a_page_belongs_to_one_life_of_the_run(world: World, method: Any) -> None:
    fill(world)
    end = world.ask(method, PageRequest(1)).end
    assert end is not None
    world.delete()
    with pytest.raises(RunNotFound):
        world.ask(method, PageRequest(1, end))
    world.create(RUN)
    fill(world)
    with pytest.raises(InvalidPageToken) as refusal:
        world.ask(method, PageRequest(1, end))
    assert "deleted since" in refusal.value.message
    assert refusal.value.revision == world.revision


@pytest.mark.parametrize("place", [Place(0, b""), Place(2**64 - 1, "é\x00".encode())])
def test_a_place_comes_back_from_its_token(place: Place) -> None:
    assert Place.unpack(place.pack()) == place


@IN_MEMORY
def test_a_head_that_leads_nowhere_is_damage(world: World) -> None:
    put(world, "a")
    version = world.keys.item_version(ItemKind.VALUE, "a", 1)
    world.write(lambda txn: txn.delete(version))
    with pytest.raises(StoreCorrupt):
        names(world)


@IN_MEMORY
def test_a_page_costs_what_it_shows(world: World) -> None:
    for number in range(200):
        put(world, f"{number:03}")
        put(world, f"{number:03}")
    for number in range(100):
        world.call(values.delete_value, f"{number:03}", ANY)
    world.store.reset()
    page = world.ask(values.list_values, "", PageRequest(10), name_of)
    assert page.items[0] == b"100"
    assert world.store.rows_touched <= 2 * (10 + 1) + 1
