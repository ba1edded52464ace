"""The machine's insights: figures, histories, trees, tags, stale runs and errors, while runs change."""

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.property import vocabulary as say
from tests.property.machine import MachineFrame, Walk, compare, numbers, outcome_of
from tests.property.model_arguments import Refused, Request
from tests.property.model_figures import made_exact
from tests.property.model_insights_arguments import BY_COUNT, BY_NAME, DAY, INTERVALS_US
from tests.property.model_run import ACTIVE, FAILED, PAUSED
from tests.property.rules_read import flags, page_sizes, views
from tests.support.clock import DAY_US, MINUTE_US

STEPS_PER_INSIGHT: Final = 3
"""Steps from a look at one insight to a look at the next."""

PAGE_SIZES: Final = (1_000, 2)
"""Of tags: all at once, or so that there is a page to turn later."""

TAG_PREFIXES: Final = ("", "", "p", "prod", "P", "ü", "x" * 128, "tag 1", "absent")
INTERVALS: Final = (0, *INTERVALS_US)

tags = st.sampled_from((*say.TAGS, "absent", "tag 1"))
some = st.sampled_from((0, 1, 1, 2, 3, 2**31 - 1))


class InsightLooks(MachineFrame):
    """What holds after every step."""

    @invariant()
    def what_runs_come_to_is_as_the_model_has_it(self) -> None:
        if self.steps % STEPS_PER_INSIGHT == 0:
            self.look_at_insights(self.steps // STEPS_PER_INSIGHT)

    def look_at_insights(self, turn: int) -> None:
        """Compare one insight after the other, about the run that was changed last."""
        run = max(self.model.runs.values(), key=lambda run: run.revision)
        number, shift = divmod(turn, 7)
        archived_too = {"include_archived": number % 2 == 0}
        match shift:
            case 0:
                self.figures({})
            case 1:
                self.figures({"tag": run.tags[number % len(run.tags)] if run.tags else "absent"})
            case 2 if run.end_us is not None:
                self.figures({"interval": DAY, "start_time": run.end_us, "end_time": run.end_us + DAY_US})
            case 2 | 3:
                self.begin_apart(
                    "ListTags", {"order": BY_COUNT, "page_size": PAGE_SIZES[number % 2], **archived_too}
                )
            case 4:
                self.walk_through("ListErrors", {"view": 1, "page_size": 2, **archived_too})
            case 5:
                self.walk_through("GetRunHistory", {"run_id": run.run_id, "page_size": 1})
            case 6:
                self.call("GetRunTree", {"run_id": run.run_id, "view": 1, **archived_too})

    def figures(self, request: Request) -> None:
        """Ask for figures. Their percentiles may be a little off."""
        expected = outcome_of(lambda: self.model.call("GetRunStats", request))
        answer = self.answer_of("GetRunStats", request)
        compare("GetRunStats", request, made_exact(answer, expected), expected)

    def walk_through(self, method: str, request: Request) -> None:
        """Ask for all pages."""
        walk = self.page(method, request)
        while walk is not None:
            walk = self.page(method, request, walk=walk)


class InsightRules(InsightLooks):
    """Reads of what runs come to."""

    @rule(
        interval=st.sampled_from(INTERVALS),
        tag=st.none() | tags,
        number=numbers,
        near_us=st.sampled_from((-1, 0, 0, 1)),
        length=st.sampled_from((None, 0, 1, 2, 30, 399, 400)),
    )
    def ask_for_figures(
        self, *, interval: int, tag: str | None, number: int, near_us: int, length: int | None
    ) -> None:
        """Of all runs or those with a tag; or around the end of one, to the very microsecond."""
        if not interval:
            self.figures({} if tag is None else {"tag": tag})
            return
        ends = [run.end_us for run in self.model.runs.values() if run.end_us is not None]
        width_us = INTERVALS_US[interval]
        time_us = (ends or [self.model.wall_us])[number % max(1, len(ends))] // width_us * width_us + near_us
        request = {"interval": interval, "start_time": time_us}
        if length is not None:
            request["end_time"] = time_us + length * width_us
        elif self.model.wall_us < self.model.issued_us:
            # Whether now is the wall clock's or the store's is told nowhere.
            return
        if number % 2 and length:
            # The same time, seen from its end.
            request["start_time"], request["end_time"] = time_us - length * width_us, time_us
        self.figures(request)

    @rule(about=numbers, spelling=numbers, page_size=page_sizes)
    def read_a_history(self, *, about: int, spelling: int, page_size: int) -> None:
        self.begin_apart("GetRunHistory", {"run_id": self.run_id(about, spelling), "page_size": page_size})

    @rule(
        about=numbers,
        spelling=numbers,
        max_depth=some,
        max_runs=some,
        include_archived=flags,
        view=views,
    )
    def read_a_tree(self, *, about: int, spelling: int, **fields: Any) -> None:
        self.call("GetRunTree", {"run_id": self.run_id(about, spelling), **fields})

    @rule(
        prefix=st.sampled_from(TAG_PREFIXES),
        include_archived=flags,
        order=st.sampled_from((0, BY_NAME, BY_COUNT, BY_COUNT)),
        page_size=page_sizes,
    )
    def list_tags(self, **request: Any) -> None:
        self.begin_apart("ListTags", request)

    @rule(
        number=numbers,
        near_us=st.sampled_from((-1, 0, 0, 1, MINUTE_US)),
        states=st.lists(st.sampled_from((ACTIVE, PAUSED)), max_size=3),
        page_size=page_sizes,
        view=views,
    )
    def list_stale_runs(self, *, number: int, near_us: int, **request: Any) -> None:
        """Around the very microsecond at which some run becomes stale."""
        runs = list(self.model.runs.values())
        idle_us = self.model.wall_us - runs[number % len(runs)].activity_us + near_us
        if self.model.wall_us >= self.model.issued_us and idle_us > 0:
            self.begin_apart("ListStaleRuns", {"idle_for": idle_us * 1_000, **request})

    @rule(include_archived=flags, page_size=page_sizes, view=views)
    def list_errors(self, **request: Any) -> None:
        self.begin_apart("ListErrors", request)

    @rule(
        number=numbers,
        error=st.sampled_from(say.ERRORS),
        tags=say.tag_lists,
        method=st.sampled_from(("AddRunTags", "RemoveRunTags", "ArchiveRun", "DeleteRun")),
    )
    def change_what_has_ended(self, *, number: int, error: str, tags: list[str], method: str) -> None:
        """The figures of a run go with its tags, stay when it is archived, and end with it."""
        failed = [run for run in self.model.runs.values() if run.state == FAILED]
        if not failed:
            self.call("CreateRun", {"tags": tags[:1]})
            failed = list(self.model.runs.values())[-1:]
            self.turn(MINUTE_US + number)
            self.call("FailRun", {"run_id": failed[0].run_id, "error": error})
        run = failed[number % len(failed)]
        request: Request = {"run_id": run.run_id}
        self.call(method, {**request, "tags": tags} if method.endswith("Tags") else request)
        for tag in sorted({*tags, *run.tags[:2]}):
            self.figures({"tag": tag})
        self.page("ListErrors", {"view": 1})

    @rule(number=numbers, is_child=flags, lives_on=flags)
    def live_again_below_oneself(self, *, number: int, is_child: bool, lives_on: bool) -> None:
        """A run that is created again below its own child, or grandchild: a circle."""
        run_id = say.CHOSEN_IDS[number % len(say.CHOSEN_IDS)]
        below = say.CHOSEN_IDS[(number + 1) % len(say.CHOSEN_IDS)]
        self.call("CreateRun", {"run_id": run_id})
        self.call("CreateChildRun", {"parent_run_id": run_id, "run_id": below})
        if not is_child:
            self.call("CreateChildRun", {"parent_run_id": below})
            below = list(self.model.runs)[-1]
        self.call("DeleteRun", {"run_id": run_id})
        self.call("GetRunTree", {"run_id": below})
        self.call("CreateChildRun", {"parent_run_id": below, "run_id": run_id})
        if not lives_on:
            self.call("ArchiveRun", {"run_id": run_id})
        for include_archived in (False, True):
            for about in (run_id, below):
                self.call("GetRunTree", {"run_id": about, "include_archived": include_archived})

    # Pages.

    @precondition(lambda self: self.walks_apart)
    @rule(number=numbers, page_size=st.sampled_from((0, 1, 2, 1_000)), to_the_end=flags)
    def turn_a_page_of_insights(self, *, number: int, page_size: int, to_the_end: bool) -> None:
        """Go on with any walk; one of a run that was deleted since goes on no more."""
        walk: Walk | None = self.walks_apart.pop(number % len(self.walks_apart))
        while walk is not None:
            walk = self.page(walk.method, {**walk.request, "page_size": page_size}, walk=walk)
            if walk is not None and not to_the_end:
                self.walks_apart.append(walk)
                break

    @precondition(lambda self: self.walks_apart)
    @rule(number=numbers, damage=st.sampled_from(("cut", "flipped", "foreign")))
    def misuse_a_page_token_of_insights(self, *, number: int, damage: str) -> None:
        walk = self.walks_apart[number % len(self.walks_apart)]
        method, request, token = walk.method, dict(walk.request), walk.token
        match damage:
            case "cut":
                token = token[:-1]
            case "flipped":
                token = ("B" if token[0] == "A" else "A") + token[1:]
            case "foreign":
                method, request = "ListTags", {"prefix": "never said before"}
        answer = self.answer_of(method, {**request, "page_token": token})
        if isinstance(answer, Refused):
            answer.metadata.pop("revision", None)
        compare(method, request, answer, Refused("INVALID_PAGE_TOKEN", {"field": "page_token"}))
