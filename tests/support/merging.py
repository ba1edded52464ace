"""What tests of merging look at: postings, and what they should be."""

from typing import Any

from pyroaring import BitMap

from runindex_server.schema import keys
from runindex_server.schema.run import RunState
from runindex_server.schema.terms import terms_of
from runindex_server.search.postings import BLOCK_SIZE, decode_posting
from tests.support.search_world import World, make_run


def postings(world: World) -> dict[tuple[bytes, int], BitMap]:
    """Return all postings."""
    start, end = keys.POSTING.range
    rows = world.snapshot().scan(start, end)
    return {keys.split_posting(key): decode_posting(key, value) for key, value in rows}


def expected_postings(world: World) -> dict[tuple[bytes, int], BitMap]:
    """Return what the postings are when all is merged."""
    expected: dict[tuple[bytes, int], BitMap] = {}
    for ordinal, run in world.runs.items():
        for term in terms_of(run):
            expected.setdefault((term, ordinal // BLOCK_SIZE), BitMap()).add(ordinal % BLOCK_SIZE)
    return expected


def pending(world: World) -> list[int]:
    """Return the revisions that are pending."""
    start, end = keys.PENDING_TERMS.range
    return [keys.revision_of(key) for key, _ in world.snapshot().scan(start, end)]


def check_merged(world: World) -> None:
    """Check that all is merged, exactly."""
    assert pending(world) == []
    assert world.snapshot().get_counter(keys.PENDING_TERMS_COUNT) == 0
    assert postings(world) == expected_postings(world)


def busy_world() -> World:
    """Return a world in which much has happened, nothing of it merged."""
    world = World(
        *(make_run(number, tags=("t", f"n{number}")) for number in (1, 2, 3, BLOCK_SIZE, BLOCK_SIZE + 1))
    )
    world.change(1, state=RunState.COMPLETED, outcome=RunState.COMPLETED)
    world.change(2, tags=("u",))
    world.change(2, tags=("t", "u"))
    world.delete(3)
    world.change(1, state=RunState.ARCHIVED)
    world.write(make_run(BLOCK_SIZE + 2, metadata={"k": "v"}))
    world.delete(BLOCK_SIZE + 1)
    return world


def large_run(number: int, word: str) -> Any:
    """Return a run of about 1,000 terms."""
    return make_run(number, metadata={"k": " ".join(f"{word}{place}" for place in range(500))})
