"""Search: whatever was written, and how much of it is merged, the term index answers as the records do."""

from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any, Final
from unittest.mock import patch

from hypothesis import given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runindex_server import limits
from runindex_server.jobs import merge
from runindex_server.kv.api import ReadTxn
from runindex_server.schema.run import DEFAULT_RUN_ID, Run, RunId, RunState
from runindex_server.schema.text import words
from runindex_server.search import decoded, index, overlay, planner
from runindex_server.search.effort import TooMuchWork
from runindex_server.search.expression import (
    And,
    Created,
    Duration,
    Expression,
    Id,
    IdPrefix,
    Interval,
    Not,
    Or,
    Outcome,
    Parent,
    State,
    Tag,
    Text,
    Times,
    Updated,
)
from runindex_server.search.index import TermIndex
from runindex_server.search.naive import NaiveSearch
from runindex_server.search.postings import BLOCK_SIZE
from tests.support.search_world import NOW_US, Snapshot, World, drive, encoded, find, find_by_pages

BOUNDS: Final = (
    (limits, "TERMS_MAX", 40),
    (limits, "PREFIX_TERMS_MAX", 3),
    (merge, "CHANGES_MAX", 4),
    (merge, "POSTINGS_MAX", 24),
    (merge, "WRITE_BYTES_MAX", 8 * merge.ROW_BYTES_MAX),
    (merge, "LAG_MAX", 2),
    (overlay, "SEGMENT_CHANGES_MAX", 2),
    (overlay, "HELD_BYTES_MAX", 40 * overlay.TERM_BYTES),
    (overlay, "UNSORTED_TERMS_MAX", 3),
    (decoded, "DECODED_BYTES_MAX", 8 * decoded.ENTRY_BYTES),
    (planner, "ID_PREFIX_RUNS_MAX", 2),
    (index, "RECORDS_READ_AT_ONCE", 2),
    (index, "RECORD_UNIT_BYTES", 128),
    (index, "OFFSETS_LISTED_MAX", 3),
)
"""The bounds of search and merging, so low that small worlds pass them."""

LONG: Final = "w" * 70
PATH: Final = "a path of more than two dozen bytes"
IDS: Final = (
    DEFAULT_RUN_ID,
    RunId(bytes.fromhex("c0ffee00" + "0" * 24)),
    RunId(bytes.fromhex("c0ffee00" + "0" * 23 + "1")),
    RunId(bytes.fromhex("c0ffee01" + "0" * 24)),
    RunId(bytes.fromhex("c1" + "0" * 30)),
    RunId(bytes.fromhex("0" * 31 + "1")),
    RunId(b"\xff" * 16),
)
VOCABULARY: Final = (
    *(
        "alpha",
        "alphabet",
        "al",
        "beta",
        "gpt-4o",
        "Straße",
        "STRASSE",
        "日本",
        "cafe\u0301",
        "failed",
        "active",
    ),
    *(LONG, LONG + "x", LONG[:47], "c0ffee00", "snake_case", "a.b", "x\x00y", "..."),
)
KEYS: Final = ("a", "b", "a.b", "", "two words", PATH, "n\x00l", "alpha")
FINISHED: Final = (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)
UNFINISHED: Final = (RunState.ACTIVE, RunState.PAUSED)

vocabulary = st.sampled_from(VOCABULARY)
texts = st.lists(vocabulary, max_size=4).map(" ".join)
numbers = st.sampled_from((0.0, 5.0, -1.5, 0.1, 1e21, 2.0**60))
scalars = st.one_of(texts, texts, st.booleans(), st.none(), numbers)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=6,
)
# Now and then a run with more terms than a run may have.
many_terms = st.just({"many": " ".join(f"alpha{number}" for number in range(50))})
objects = st.one_of(*[st.dictionaries(st.sampled_from(KEYS), values, max_size=3)] * 5, many_terms)
tag_lists = st.lists(st.one_of(vocabulary, st.just("t" * 100)), max_size=3, unique=True).map(tuple)

times = st.integers(-3, 40).map(lambda offset: NOW_US + offset)
spans = st.integers(-3, 40)
bounds = st.sampled_from(("start_us", "end_us"))
intervals_of_times = st.builds(lambda name, us: Interval(**{name: us}), bounds, times)
intervals_of_spans = st.builds(lambda name, us: Interval(**{name: us}), bounds, spans)
instants = st.one_of(
    intervals_of_times.map(Times), intervals_of_spans.map(lambda ages: Times(ages, is_age=True))
)
paths = st.sampled_from((None, None, None, *KEYS, "a.b.a", "b.a", f"{PATH}.a", "many"))
phrases = st.builds(
    lambda parts, path, cut: Text(tuple(parts)[: cut or None], path=path),
    st.lists(vocabulary, min_size=1, max_size=2).map(lambda parts: words(" ".join(parts))).filter(bool),
    paths,
    st.sampled_from((1, 1, 0)),
)
prefixes = st.builds(
    lambda text, size: replace(text, words=(*text.words[:-1], text.words[-1][:size]), is_prefix=True),
    phrases,
    st.sampled_from((1, 2, 5, 47, 60)),
)
leaves: st.SearchStrategy[Expression] = st.one_of(
    phrases,
    phrases,
    prefixes,
    prefixes,
    st.sampled_from(RunState).map(State),
    st.sampled_from(FINISHED).map(Outcome),
    st.one_of(vocabulary, st.just("t" * 100)).map(Tag),
    st.sampled_from(IDS).map(Parent),
    st.sampled_from(IDS).map(Id),
    st.sampled_from(("c", "c0ffee00", "0", "f", "c0ffee0", "0" * 32, "d")).map(IdPrefix),
    instants.map(Created),
    instants.map(Updated),
    intervals_of_spans.map(Duration),
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(tuple).map(And),
        st.lists(inner, min_size=2, max_size=3).map(tuple).map(Or),
    ),
    max_leaves=5,
)


class SearchMachine(RuleBasedStateMachine):
    """Runs come, change and go; merging goes on in between, in pieces, in several steps at once."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = ExitStack()
        for module, name, bound in BOUNDS:
            self.patches.enter_context(patch.object(module, name, bound))
        self.world = World()
        self.index = TermIndex()
        self.ordinal = 0
        self.now_us = NOW_US
        self.merging: list[Coroutine[Any, Any, bool]] = []
        self.kept: list[Snapshot] = []

    def teardown(self) -> None:
        for step in self.merging:
            step.close()
        self.world.merge()
        self.check(self.world.snapshot(), Not(Text(("nothing",))))
        self.patches.close()

    def pick(self, data: st.DataObject) -> Run:
        return self.world.runs[data.draw(st.sampled_from(sorted(self.world.runs)), label="ordinal")]

    @rule(
        data=st.data(),
        gap=st.sampled_from((1, 1, 1, 2, BLOCK_SIZE - 1, BLOCK_SIZE, 3 * BLOCK_SIZE)),
        metadata=objects,
        tags=tag_lists,
        imported_age_us=st.one_of(st.none(), st.none(), st.integers(0, 40)),
    )
    def create(
        self,
        *,
        data: st.DataObject,
        gap: int,
        metadata: dict[str, Any],
        tags: tuple[str, ...],
        imported_age_us: int | None,
    ) -> None:
        taken = {run.run_id for run in self.world.runs.values()}
        free = [run_id for run_id in IDS if run_id not in taken]
        self.ordinal += gap
        self.now_us += 1
        create_us = self.now_us - (imported_age_us or 0)
        self.world.write(
            Run(
                run_id=data.draw(st.sampled_from(free)) if free else RunId(self.ordinal.to_bytes(16, "big")),
                ordinal=self.ordinal,
                generation=1,
                state=RunState.ACTIVE,
                version=1,
                revision=1,
                create_us=create_us,
                update_us=create_us,
                tags=tags,
                parent=data.draw(st.one_of(st.none(), st.sampled_from(IDS))),
                metadata=encoded(metadata),
                activity_us=0,
                is_imported=imported_age_us is not None,
            )
        )

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data(), metadata=objects, tags=tag_lists)
    def change(self, data: st.DataObject, metadata: dict[str, Any], tags: tuple[str, ...]) -> None:
        run = self.pick(data)
        self.now_us += 1
        self.world.write(run._replace(metadata=encoded(metadata), tags=tags, update_us=self.now_us))

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data(), error=texts, state=st.sampled_from((*FINISHED, RunState.PAUSED, RunState.ARCHIVED)))
    def move(self, data: st.DataObject, error: str, state: RunState) -> None:
        run = self.pick(data)
        if run.is_archived:
            return
        self.now_us += 1
        self.world.write(
            run._replace(
                state=state,
                error=error if state is RunState.FAILED else run.error,
                outcome=state if state in FINISHED else run.outcome,
                end_us=None if state is RunState.PAUSED else run.end_us or self.now_us,
                update_us=self.now_us,
            )
        )

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.world.delete(self.pick(data).ordinal)

    @rule()
    def write_nothing_searched(self) -> None:
        drive(self.world.store.write(lambda txn: txn.next_revision()))

    @rule()
    def merge_all(self) -> None:
        self.world.merge()

    @rule()
    def begin_merging(self) -> None:
        self.merging.append(merge.merge_step(self.world.store))

    @precondition(lambda self: self.merging)
    @rule(data=st.data(), writes=st.integers(1, 4))
    def go_on_merging(self, data: st.DataObject, writes: int) -> None:
        step = data.draw(st.sampled_from(self.merging), label="step")
        try:
            for _ in range(writes):
                step.send(None)
        except StopIteration:
            self.merging.remove(step)

    @precondition(lambda self: self.merging)
    @rule(data=st.data())
    def crash_merging(self, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(self.merging), label="step")
        step.close()
        self.merging.remove(step)

    @rule()
    def keep_snapshot(self) -> None:
        self.kept.append(self.world.snapshot())

    @rule(expression=expressions)
    def search(self, expression: Expression) -> None:
        self.check(self.world.snapshot(), expression)

    @precondition(lambda self: self.kept)
    @rule(expression=expressions, data=st.data())
    def search_kept(self, expression: Expression, data: st.DataObject) -> None:
        self.check(data.draw(st.sampled_from(self.kept), label="snapshot"), expression)

    @rule(
        expression=expressions,
        page_size=st.integers(1, 3),
        budget=st.integers(1, 3),
        include_archived=st.booleans(),
    )
    def search_by_pages(
        self, *, expression: Expression, page_size: int, budget: int, include_archived: bool
    ) -> None:
        txn = self.world.snapshot()
        asked = {"include_archived": include_archived, "now_us": self.now_us}
        expected = find(NaiveSearch(), txn, expression, **asked)

        with patch.object(index, "POSTINGS_MAX", 3):
            for searched in (self.index, NaiveSearch()):
                found = find_by_pages(searched, txn, expression, page_size=page_size, budget=budget, **asked)
                assert found == expected

    @invariant()
    def every_run_is_found(self) -> None:
        # With an index of its own: what the other one keeps in memory shall miss changes now and then.
        found = find(TermIndex(), self.world.snapshot(), Created(Times(Interval())), include_archived=True)

        assert found == sorted(self.world.runs, reverse=True)

    def check(self, txn: ReadTxn, expression: Expression) -> None:
        asked = {"now_us": self.now_us}
        expected = find(NaiveSearch(), txn, expression, **asked)
        note(f"expected {expected}")

        # Given up for too much work, a search may leave behind what the next ones find.
        for work_max in (3, 12, 48):
            with suppress(TooMuchWork):
                assert find(self.index, txn, expression, wanted=1, work_max=work_max, **asked) == expected
        for searched in (self.index, TermIndex()):
            assert find(searched, txn, expression, **asked) == expected


TestSearch = SearchMachine.TestCase


def random_text(chance: Random) -> str:
    """Return a few words of the vocabulary."""
    return " ".join(chance.choices(VOCABULARY, k=chance.randrange(4)))


def random_world() -> World:
    """Return a world in which all words meet in many ways: some fifty runs, of which half is merged."""
    chance = Random(1)
    world = World()
    for place in range(70):
        ordinal = (place % 3) * BLOCK_SIZE + place + 1
        state = chance.choice([RunState.ACTIVE, *RunState])
        is_imported = chance.random() < 0.2
        created_us = NOW_US + (chance.randrange(40) if is_imported else ordinal)
        world.write(
            Run(
                run_id=IDS[place] if place < len(IDS) else RunId(chance.randbytes(16)),
                ordinal=ordinal,
                generation=1,
                state=state,
                version=1,
                revision=1,
                create_us=created_us,
                update_us=created_us + chance.randrange(9),
                end_us=None if state in UNFINISHED else created_us + chance.randrange(30),
                outcome=state if state in FINISHED else None,
                error=random_text(chance) if state is RunState.FAILED else None,
                tags=tuple(set(chance.choices([*VOCABULARY, "t" * 100, "t" * 101], k=chance.randrange(3)))),
                parent=chance.choice([None, *IDS]),
                metadata=encoded(
                    {
                        key: {"a": random_text(chance)} if key == PATH else random_text(chance)
                        for key in chance.sample(KEYS, chance.randrange(4))
                    }
                ),
                activity_us=0,
                is_imported=is_imported,
            )
        )
        if chance.random() < 0.2 and place > len(IDS):
            world.delete(ordinal)
        if place == 35:
            world.merge()
    return world


@cache
def random_snapshot() -> Snapshot:
    return random_world().snapshot()


@settings(max_examples=8 * settings().max_examples)
@given(expression=expressions, include_archived=st.booleans())
def test_any_query_of_a_world_where_all_words_meet(*, expression: Expression, include_archived: bool) -> None:
    txn = random_snapshot()
    expected = find(NaiveSearch(), txn, expression, include_archived=include_archived)

    assert find(TermIndex(), txn, expression, include_archived=include_archived) == expected
