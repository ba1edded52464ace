"""What RunInsights promises, by looking at all runs each time: no counter, no index, nothing kept.

In the manner of `model`. Only the text that errors have in common is the server's: `common_error` has its
own tests.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from runindex_server.schema.error_text import common_error
from tests.property.model_arguments import DEFAULT, Answer, Request, refuse
from tests.property.model_data import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, DataModel
from tests.property.model_figures import finished, state_counts
from tests.property.model_insights_arguments import (
    BY_COUNT,
    INSIGHT_CHECKS,
    INTERVALS_MAX,
    INTERVALS_US,
    checked_insight,
)
from tests.property.model_run import ACTIVE, ARCHIVED, PAUSED, ModelRun, Transition, shown
from tests.property.model_search import Query
from tests.property.model_tree import tree

ITEMS: Final = {
    "GetRunHistory": "transitions",
    "ListTags": "tags",
    "ListStaleRuns": "runs",
    "ListErrors": "errors",
}
"""The collections, each with the field of its answer."""

Place = tuple[Any, ...]
"""Where an item stands in its collection: the smaller, the nearer to its beginning."""


@dataclass(frozen=True)
class PlaceCursor:
    """What the model knows of a page token.

    Attributes:
        place: Of the last item of the page.
        ordinal: Of the run that the collection is of; 0 for none.
        now_us: The time of the first page.
    """

    place: Place
    ordinal: int
    now_us: int


class InsightsModel(DataModel):
    """A store with one caller, what its runs hold, and what they come to."""

    def page(
        self, method: str, request: Request, *, cursor: Any, query: Query | None = None
    ) -> tuple[Answer, Any]:
        """Answer one page of a collection."""
        if method not in ITEMS:
            return super().page(method, request, cursor=cursor, query=query)
        args = checked_insight(method, request)
        run = self._found(args["run_id"]) if "run_id" in args else None
        ordinal = run.ordinal if run else 0
        if cursor is not None and cursor.ordinal != ordinal:
            self._refuse("INVALID_PAGE_TOKEN", field="page_token")
        now_us = self.wall_us if cursor is None else cursor.now_us
        return self._page_of(ITEMS[method], self._items(method, args, run, now_us), args, cursor, ordinal)

    def _page_of(
        self,
        field: str,
        items: Iterable[tuple[Place, Answer]],
        args: Request,
        cursor: PlaceCursor | None,
        ordinal: int = 0,
    ) -> tuple[Answer, PlaceCursor | None]:
        """Return the items that come after those of the page before."""
        rest = sorted(
            (item for item in items if cursor is None or item[0] > cursor.place), key=lambda item: item[0]
        )
        size = min(args.get("page_size", 0) or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        answer = self._answer(**{field: [shown for _, shown in rest[:size]] or None})
        if len(rest) <= size:
            return answer, None
        now_us = self.wall_us if cursor is None else cursor.now_us
        return answer, PlaceCursor(rest[size - 1][0], ordinal, now_us)

    def _checked(self, method: str, request: Request) -> Request:
        if method in INSIGHT_CHECKS:
            return checked_insight(method, request)
        return super()._checked(method, request)

    def _read(self, method: str, args: Request) -> Answer:
        match method:
            case "GetRunStats":
                return self._stats(args)
            case "GetRunTree":
                return self._answer(**tree(self.runs, self._found(args["run_id"]), args))
        return super()._read(method, args)

    def _stats(self, args: Request) -> Answer:
        runs = [run for run in self.runs.values() if "tag" not in args or args["tag"] in run.tags]
        answer = self._answer(by_state=state_counts(runs), count=len(runs) or None, finished=finished(runs))
        if not args.get("interval"):
            return answer
        interval_us = INTERVALS_US[args["interval"]]
        # What ends right now is told, too.
        bound, end_us = (
            ("end_time", args["end_time"]) if "end_time" in args else ("start_time", self.wall_us + 1)
        )
        # An interval that begins at the end does not belong to it.
        numbers = range(args["start_time"] // interval_us, -(-end_us // interval_us))
        if end_us <= args["start_time"] or len(numbers) > INTERVALS_MAX:
            refuse("INVALID_FIELD", bound)
        by_number = {
            number: [run for run in runs if _ended_in(run, number, interval_us)] for number in numbers
        }
        answer["intervals"] = [
            {"start_time": number * interval_us, "finished": finished(ended)}
            for number, ended in by_number.items()
        ]
        answer["intervals_finished"] = finished(run for ended in by_number.values() for run in ended)
        return answer

    def _items(
        self, method: str, args: Request, run: ModelRun | None, now_us: int
    ) -> Iterable[tuple[Place, Answer]]:
        """Return the items of a collection, each with its place."""
        match method:
            case "GetRunHistory":
                assert run is not None
                return [((one.version,), _shown_transition(one)) for one in run.transitions]
            case "ListTags":
                return self._tags(args)
            case "ListStaleRuns":
                return self._stale(args, now_us)
            case _:
                return self._errors(args)

    def _listed(self, args: Request) -> list[ModelRun]:
        """Return the runs that are asked for: the archived ones too, or not."""
        runs = self.runs.values()
        return [run for run in runs if run.state != ARCHIVED or args.get("include_archived")]

    def _tags(self, args: Request) -> Iterable[tuple[Place, Answer]]:
        carried = [tag for run in self._listed(args) for tag in run.tags]
        for tag in {tag for tag in carried if tag.startswith(args.get("prefix", ""))}:
            count = carried.count(tag)
            place = (-count if args.get("order") == BY_COUNT else 0, tag.encode())
            yield place, {"tag": tag, "count": count}

    def _stale(self, args: Request, now_us: int) -> Iterable[tuple[Place, Answer]]:
        for run in self.runs.values():
            is_asked = run.state in (args.get("states") or (ACTIVE, PAUSED))
            if is_asked and run.run_id != DEFAULT and run.activity_us <= now_us - args["idle_for"]:
                yield (run.activity_us, run.ordinal), shown(run, args.get("view", 0))

    def _errors(self, args: Request) -> Iterable[tuple[Place, Answer]]:
        failed = [(common_error(run.error), run) for run in self._listed(args) if run.error is not None]
        for error in {error for error, _ in failed}:
            group = [run for its_error, run in failed if its_error == error]
            newest = max(group, key=lambda run: run.ordinal)
            shown_group = {"count": len(group), "example": shown(newest, args.get("view", 0))}
            yield (-len(group), -newest.ordinal), {"error": error, **shown_group} if error else shown_group


def _ended_in(run: ModelRun, number: int, interval_us: int) -> bool:
    """Tell whether a run ended in an interval, finished or not."""
    return run.end_us is not None and run.end_us // interval_us == number


def _shown_transition(transition: Transition) -> Answer:
    shown_states = {"from_state": transition.from_state} if transition.from_state else {}
    return {
        **shown_states,
        "to_state": transition.to_state,
        "time": transition.time_us,
        "version": transition.version,
    }
