"""The machine's searches."""

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.property import vocabulary as say
from tests.property.machine import numbers
from tests.property.model_search import All, Compared, Either, Not, Query, Words
from tests.property.rules_read import ReadRules, flags, page_sizes, views

QUERY_BYTES_MAX: Final = 1_024


class SearchRules(ReadRules):
    """Searches."""

    @rule(
        queries=st.lists(say.terms, min_size=1, max_size=4), include_archived=flags, page_size=page_sizes, view=views
    )
    def search_for_single_terms(self, *, queries: list[Query], **request: Any) -> None:
        for query in queries:
            self.search(query, **request)

    @rule(
        queries=st.lists(say.queries, min_size=1, max_size=3), include_archived=flags, page_size=page_sizes, view=views
    )
    def search_for_several_terms(self, *, queries: list[Query], **request: Any) -> None:
        for query in queries:
            self.search(query, **request)

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
        run = list(self.model.runs.values())[number % len(self.model.runs)]
        instant_us = (run.create_us if field == "created" else run.update_us) + near_us
        query = Compared(field, comparison, instant_us, "")
        self.search(query, include_archived=is_archived_too, page_size=0, view=1)

    @rule(number=numbers, length=st.sampled_from((7, 8, 9, 13, 20, 36)), is_negated=flags)
    def search_for_an_id(self, *, number: int, length: int, is_negated: bool) -> None:
        """By a word that is an id, or a prefix of one, which may lie between any two of its parts."""
        word = Words(self.any_id(number)[:length])
        self.search(Not(word) if is_negated else word, include_archived=True, page_size=0, view=1)

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
