"""The machine's reads: single runs, counts, and collections that are paged through while runs change."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.property import vocabulary as say
from tests.property.machine import MachineFrame, Walk, compare, numbers
from tests.property.model_arguments import Refused, Request
from tests.property.model_search import Query

SINGLE_READS = ("GetRun", "RunExists", "GetRunTags", "GetParentRun", "GetRunRetention")

views = st.sampled_from((0, 1, 2, 3))
page_sizes = st.sampled_from((0, 1, 1, 2, 3, 5, 100, 1_000, 2_000))
flags = st.booleans()


class ReadRules(MachineFrame):
    """Reads."""

    @rule(method=st.sampled_from(SINGLE_READS), about=numbers, spelling=numbers, view=views)
    def read(self, *, method: str, about: int, spelling: int, view: int) -> None:
        request: Request = {"run_id": self.run_id(about, spelling)}
        self.call(method, {**request, "view": view} if method == "GetRun" else request)

    @rule(states=st.lists(st.integers(1, 6), max_size=3), include_archived=flags)
    def count(self, **request: Any) -> None:
        self.call("CountRuns", request)

    @rule(
        states=st.lists(st.integers(1, 6), max_size=3),
        include_archived=flags,
        skip=st.sampled_from((0, 0, 1, 2, 50)),
        page_size=page_sizes,
        view=views,
    )
    def list_runs(self, **request: Any) -> None:
        self.begin("ListRuns", request)

    @rule(state=st.integers(1, 6), page_size=page_sizes, view=views)
    def query_by_state(self, **request: Any) -> None:
        self.begin("QueryRunsByState", request)

    @rule(
        tag=st.sampled_from((*say.TAGS, "absent")), include_archived=flags, page_size=page_sizes, view=views
    )
    def query_by_tag(self, **request: Any) -> None:
        self.begin("QueryRunsByTag", request)

    @rule(parent=numbers, spelling=numbers, include_archived=flags, page_size=page_sizes, view=views)
    def list_children(self, *, parent: int, spelling: int, **request: Any) -> None:
        self.begin("GetChildRuns", {"run_id": self.run_id(parent, spelling), **request})

    def begin(self, method: str, request: Request, *, query: Query | None = None) -> None:
        """Ask for a first page, and keep what is needed for the next."""
        self.keep(self.page(method, request, query=query))

    def keep(self, walk: Walk | None) -> None:
        """Keep a walk that is not at its end."""
        if walk is not None:
            self.walks.append(walk)

    @precondition(lambda self: self.walks)
    @rule(number=numbers, page_size=page_sizes, view=views)
    def turn_a_page(self, *, number: int, page_size: int, view: int) -> None:
        """Go on with any walk, which the writes since then must not have made skip or repeat."""
        walk = self.walks.pop(number % len(self.walks))
        self.keep(self.following(walk, page_size=page_size, view=view))

    @precondition(lambda self: self.walks)
    @rule(number=numbers, page_size=st.sampled_from((1, 2, 7)))
    def walk_to_the_end(self, *, number: int, page_size: int) -> None:
        walk: Walk | None = self.walks.pop(number % len(self.walks))
        while walk is not None:
            walk = self.following(walk, page_size=page_size, view=0)

    def following(self, walk: Walk, **changed: Any) -> Walk | None:
        """Ask for a walk's next page, with another size and view."""
        request = {field: value for field, value in walk.request.items() if field != "skip"} | changed
        return self.page(walk.method, request, query=walk.query, walk=walk)

    @precondition(lambda self: self.walks)
    @rule(number=numbers, damage=st.sampled_from(("cut", "flipped", "foreign")))
    def misuse_a_page_token(self, *, number: int, damage: str) -> None:
        walk = self.walks[number % len(self.walks)]
        token, method, request = walk.token, walk.method, dict(walk.request)
        request.pop("skip", None)
        match damage:
            case "cut":
                token = token[:-1]
            case "flipped":
                token = ("B" if token[0] == "A" else "A") + token[1:]
            case "foreign":
                method, request = "QueryRunsByTag", {"tag": "never said before"}
        answer = self.answer_of(method, {**request, "page_token": token})
        if isinstance(answer, Refused):
            # Told by the store or without it: the contract leaves that open.
            answer.metadata.pop("revision", None)
        compare(method, request, answer, Refused("INVALID_PAGE_TOKEN", {"field": "page_token"}))
