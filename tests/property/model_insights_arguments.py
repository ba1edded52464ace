"""Which arguments of RunInsights the contract refuses, and the canonical form of those it takes.

In the manner of `model_arguments`: one row for each method lists its checks in order.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Final

from tests.property.model_arguments import (
    Request,
    check_id,
    check_page_size,
    check_states,
    check_view,
    is_duration_taken,
    is_tag,
    refuse,
)
from tests.property.model_data_arguments import check_prefix
from tests.property.model_run import ARCHIVED, FINISHED

HOUR, DAY = 1, 2
INTERVALS_US: Final = {HOUR: 3_600 * 1_000_000, DAY: 86_400 * 1_000_000}
INTERVALS_MAX: Final = 400
BY_NAME, BY_COUNT = 1, 2


def _tag_if_set(args: Request) -> None:
    if "tag" in args and not is_tag(args["tag"]):
        refuse("INVALID_TAG", "tag", tagBytesMax="128", tagsMax="64")


def _interval(args: Request) -> None:
    """Times are kept with an interval only, and not by tag."""
    interval = args.get("interval", 0)
    if interval not in (0, HOUR, DAY) or (interval and "tag" in args):
        refuse("INVALID_FIELD", "interval")
    for field in ("start_time", "end_time"):
        if field in args and not interval:
            refuse("INVALID_FIELD", field)
    if interval and "start_time" not in args:
        refuse("FIELD_REQUIRED", "start_time")


def _at_least_none(field: str) -> Callable[[Request], None]:
    def check(args: Request) -> None:
        if args.get(field, 0) < 0:
            refuse("INVALID_FIELD", field)

    return check


def _order(args: Request) -> None:
    if args.get("order", 0) not in (0, BY_NAME, BY_COUNT):
        refuse("INVALID_FIELD", "order")


def _idle_for(args: Request) -> None:
    """It comes as nanoseconds, which the wire can carry, and is kept as microseconds."""
    if "idle_for" not in args:
        refuse("FIELD_REQUIRED", "idle_for")
    if not is_duration_taken(args["idle_for"]):
        refuse("INVALID_FIELD", "idle_for")
    args["idle_for"] //= 1_000


def _unfinished(args: Request) -> None:
    for index, state in enumerate(args.get("states", [])):
        if state in (*FINISHED, ARCHIVED):
            refuse("INVALID_FIELD", f"states[{index}]")


_run = check_id("run_id")

INSIGHT_CHECKS: Final = {
    "GetRunStats": (_tag_if_set, _interval),
    "GetRunHistory": (_run, check_page_size),
    "GetRunTree": (_run, _at_least_none("max_depth"), _at_least_none("max_runs"), check_view),
    "ListTags": (check_prefix, _order, check_page_size),
    "ListStaleRuns": (_idle_for, _unfinished, check_view, check_states, check_page_size),
    "ListErrors": (check_page_size, check_view),
}
"""The checks of each of the 6 methods, in their order."""


def checked_insight(method: str, request: Request) -> Request:
    """Return a request of RunInsights in canonical form.

    Raises:
        Refused: An argument is at fault.
    """
    args = deepcopy(request)
    for check in INSIGHT_CHECKS[method]:
        check(args)
    return args
