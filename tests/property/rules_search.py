"""The machine's searches."""

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.property import vocabulary as say
from tests.property.machine import numbers
from tests.property.model_run import ModelRun
from tests.property.model_search import (
    COMPARISONS,
    All,
    Compared,
    Either,
    Not,
    Query,
    Words,
    queries_about,
)
from tests.property.rules_read import ReadRules, flags, page_sizes, views
from tests.support.clock import DAY_US, SECOND_US

QUERY_BYTES_MAX: Final = 1_024


class SearchRules(ReadRules):
    """Searches."""

    @rule(
        queries=st.lists(say.terms, min_size=1, max_size=4),
        include_archived=flags,
        page_size=page_sizes,
        view=views,
    )
    def search_for_single_terms(self, *, queries: list[Query], **request: Any) -> None:
        for query in queries:
            self.search(query, **request)

    @rule(
        queries=st.lists(say.queries, min_size=1, max_size=3),
        include_archived=flags,
        page_size=page_sizes,
        view=views,
    )
    def search_for_several_terms(self, *, queries: list[Query], **request: Any) -> None:
        for query in queries:
            self.search(query, **request)

    @rule(
        number=numbers,
        choices=st.lists(numbers, min_size=1, max_size=6),
        is_negated=st.sampled_from((False, False, True)),
        include_archived=flags,
    )
    def search_for_what_a_run_has(
        self, *, number: int, choices: list[int], is_negated: bool, **request: Any
    ) -> None:
        queries = queries_about(self.run(number))
        for choice in choices:
            query = queries[choice % len(queries)]
            self.search(Not(query) if is_negated else query, **request, page_size=0, view=1)

    @rule(
        number=numbers,
        field=st.sampled_from(("created", "updated")),
        near_s=st.sampled_from((-1, 0, 1)),
        later_us=st.sampled_from((0, SECOND_US, DAY_US)),
    )
    def search_for_an_age(self, *, number: int, field: str, near_s: int, later_us: int) -> None:
        """Of a whole number of seconds, to the microsecond; on later pages as on the first."""
        run = self.run(number)
        then_us = run.create_us if field == "created" else run.update_us
        now_us = max(self.model.wall_us, self.model.issued_us)
        now_us += (then_us - now_us) % SECOND_US
        self.turn(now_us - self.model.wall_us)
        age_s = (now_us - then_us) // SECOND_US + near_s
        walk_count = len(self.walks)
        for comparison in COMPARISONS if age_s >= 0 else ():
            self.search(Compared(field, comparison, age_s, "s"), include_archived=True, page_size=1, view=1)
        self.turn(later_us)
        for walk in self.walks[walk_count:]:
            self.walks.remove(walk)
            self.keep(self.following(walk, page_size=3))

    @rule(
        field=st.sampled_from(("created", "updated")),
        comparison=say.comparisons,
        number=numbers,
        near_us=st.sampled_from((-1, 0, 1)),
        is_archived_too=flags,
    )
    def search_for_an_instant(
        self, *, field: str, comparison: str, number: int, near_us: int, is_archived_too: bool
    ) -> None:
        """Around the very microsecond of some run."""
        run = self.run(number)
        instant_us = (run.create_us if field == "created" else run.update_us) + near_us
        query = Compared(field, comparison, instant_us, "")
        self.search(query, include_archived=is_archived_too, page_size=0, view=1)

    @rule(number=numbers, length=st.sampled_from((7, 8, 9, 13, 20, 36)), is_negated=flags)
    def search_for_an_id(self, *, number: int, length: int, is_negated: bool) -> None:
        """By a word that is an id, or a prefix of one, which may lie between any two of its parts."""
        word = Words(self.any_id(number)[:length])
        self.search(Not(word) if is_negated else word, include_archived=True, page_size=0, view=1)

    def run(self, number: int) -> ModelRun:
        """Return a run that exists."""
        runs = list(self.model.runs.values())
        return runs[number % len(runs)]

    def search(self, query: Query, **request: Any) -> None:
        """Begin a search, unless the contract leaves open what it means."""
        text = query.text()
        if len(text.encode()) > QUERY_BYTES_MAX:
            return
        if self.model.wall_us < self.model.issued_us and has_age(query):
            # Whether ages count from the wall clock or from the store's is told nowhere.
            return
        self.begin("SearchRuns", {"query": text, **request}, query=query)


def has_age(query: Query) -> bool:
    """Tell whether a query compares an age with now."""
    if isinstance(query, All | Either):
        return any(map(has_age, query.parts))
    if isinstance(query, Not):
        return has_age(query.part)
    return isinstance(query, Compared) and bool(query.unit) and query.field != "duration"
