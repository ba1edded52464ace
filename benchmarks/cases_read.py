"""What is measured of reads: each a script that asks, and checks every answer against the sample runs.

An answer is compared with what is expected field by field. One that equals what was found right for the same
request is right too: byte for byte, or but for the text of its page token, which carries the time.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any, Final, NamedTuple, TypeAlias

from google.protobuf.message import Message

from benchmarks.cases_insights import stats_of_a_tag, stats_of_all
from benchmarks.load import Call, Script, expect
from benchmarks.sample import (
    ENDED,
    ERROR,
    FAMILY,
    KEEP_LATEST_N,
    Sample,
    counts,
    is_archived,
    newest,
    numbers,
    parent,
    run_id,
    sample,
    state,
    tags,
    words,
)
from runindex.v1 import insights_pb2 as insights_pb
from runindex.v1 import run_index_pb2 as pb
from runindex_server.schema.run import RunId, RunState, run_id_text

SERVICE: Final = "/runindex.v1.RunIndex/"
INSIGHTS_SERVICE: Final = "/runindex.v1.RunInsights/"

ASKED_RUNS: Final = 1_000
"""Different runs that are asked for, all over the store."""

ASKED_PARENTS: Final = 8

MORE: Final = "more"
"""What stands for any page token."""

PAGE: Final = 100
HITS: Final = 10

Asked: TypeAlias = tuple[Message, Callable[[Any], bool]]
"""A request, and whether an answer to it is right."""


def is_sample(run: pb.Run, one: Sample) -> bool:
    """Tell whether a full run is what the sample says."""
    has_ended = one.outcome in ENDED
    return (
        run.run_id == run_id_text(one.run_id)
        and int(run.state) == one.state
        and run.version == one.version
        and tuple(run.tags) == one.tags
        and run.metadata.SerializeToString(deterministic=True) == one.metadata
        and run.error == (ERROR if one.outcome is RunState.FAILED else "")
        and run.parent_run_id == _text_or_empty(one.parent)
        and int(run.outcome) == (one.outcome if has_ended else pb.RUN_STATE_UNSPECIFIED)
        and run.HasField("end_time") == has_ended
    )


def _text_or_empty(of: RunId | None) -> str:
    """Return an id as text, empty for none."""
    return "" if of is None else run_id_text(of)


def _of_one_run(
    make: Callable[..., Message], is_right: Callable[[Any, Sample], bool]
) -> Callable[[int], list[Asked]]:
    """Return what asks for runs all over the store."""

    def asked(runs: int) -> list[Asked]:
        some = [sample(number) for number in numbers(runs, ASKED_RUNS)]
        return [
            (make(run_id=run_id_text(one.run_id)), lambda answer, one=one: is_right(answer, one))  # type: ignore[misc]
            for one in some
        ]

    return asked


def is_page(answer: Any, wanted: list[int], size: int) -> bool:  # noqa: ANN401  # One of several messages.
    """Tell whether a first page holds the first of the wanted runs, whole, and says if there are more."""
    expected = wanted[:size]
    is_complete = len(answer.runs) == len(expected) and all(
        map(is_sample, answer.runs, map(sample, expected))
    )
    return is_complete and bool(answer.next_page_token) == (len(wanted) > size)


def _is_listed(number: int) -> bool:
    """Tell whether a run is in listings that ask for no archived ones."""
    return not is_archived(number)


def _page(
    request: Message, is_wanted: Callable[[int], bool], size: int = PAGE
) -> Callable[[int], list[Asked]]:
    """Return what asks for the first page of the listed runs that are wanted."""

    def asked(runs: int) -> list[Asked]:
        wanted = newest(runs, lambda number: is_wanted(number) and _is_listed(number), size + 1)
        return [(request, lambda answer: is_page(answer, wanted, size))]

    return asked


def _children(runs: int) -> list[Asked]:
    """Return what asks for the children of some parents."""
    some = numbers(max(runs - FAMILY, 1), ASKED_PARENTS)
    return [_children_of(number - number % FAMILY) for number in some]


def _children_of(first: int) -> Asked:
    """Return what asks for the first page of the children of a run."""
    wanted = newest(
        first + FAMILY,
        lambda number: number > first and parent(number) == first and _is_listed(number),
        PAGE + 1,
    )
    request = pb.GetChildRunsRequest(run_id=run_id_text(run_id(first)))
    return request, lambda answer: is_page(answer, wanted, PAGE)


def _has_all(*some: str) -> Callable[[int], bool]:
    """Return what tells whether a run has words that only some runs have."""
    return lambda number: set(some) <= set(words(number))


def _is_rare_failure(number: int) -> bool:
    """Tell whether a run has the rare word, and failed."""
    return "quasar" in words(number) and state(number) is RunState.FAILED


def _search(query: str) -> pb.SearchRunsRequest:
    """Return a search for ten runs."""
    return pb.SearchRunsRequest(query=query)


def is_count(answer: pb.CountRunsResponse, runs: int) -> bool:
    """Tell whether a count of the listed runs is right: the default run is one of them."""
    expected = dict(counts(runs) + Counter({RunState.ACTIVE: 1}))
    expected.pop(RunState.ARCHIVED, None)
    found = {RunState(row.state): row.count for row in answer.by_state if row.count}
    return found == expected and answer.count == sum(expected.values())


class Read(NamedTuple):
    """A method that is measured.

    Attributes:
        path: Of the method.
        answer: What it answers with.
        asked: Returns what it is asked on a store of so many runs.
    """

    path: str
    answer: type[Message]
    asked: Callable[[int], list[Asked]]


def _read(method: str, asked: Callable[[int], list[Asked]]) -> Read:
    """Return how a method of RunIndex is measured."""
    return Read(SERVICE + method, getattr(pb, f"{method}Response"), asked)


READS: Final[Mapping[str, Read]] = {
    "GetRun": _read("GetRun", _of_one_run(pb.GetRunRequest, lambda answer, one: is_sample(answer.run, one))),
    "RunExists": _read("RunExists", _of_one_run(pb.RunExistsRequest, lambda answer, _: answer.exists)),
    "CountRuns": _read(
        "CountRuns", lambda runs: [(pb.CountRunsRequest(), lambda answer: is_count(answer, runs))]
    ),
    "GetRunTags": _read(
        "GetRunTags",
        _of_one_run(pb.GetRunTagsRequest, lambda answer, one: tuple(answer.tags) == one.tags),
    ),
    "GetParentRun": _read(
        "GetParentRun",
        _of_one_run(
            pb.GetParentRunRequest, lambda answer, one: answer.parent_run_id == _text_or_empty(one.parent)
        ),
    ),
    "GetRunRetention": _read(
        "GetRunRetention",
        _of_one_run(
            pb.GetRunRetentionRequest,
            lambda answer, one: (
                answer.policy.keep_latest_n == KEEP_LATEST_N
                if one.is_keeping
                else answer.policy.HasField("keep_all")
            ),
        ),
    ),
    "ListRuns": _read("ListRuns", _page(pb.ListRunsRequest(), lambda _: True)),
    "QueryRunsByState": _read(
        "QueryRunsByState",
        _page(
            pb.QueryRunsByStateRequest(state=pb.RUN_STATE_COMPLETED),
            lambda number: state(number) is RunState.COMPLETED,
        ),
    ),
    "QueryRunsByTag": _read(
        "QueryRunsByTag",
        _page(pb.QueryRunsByTagRequest(tag="shard-7"), lambda number: "shard-7" in tags(number)),
    ),
    "GetChildRuns": _read("GetChildRuns", _children),
    "SearchRuns: two words in 1 %": _read(
        "SearchRuns",
        _page(_search("amber falcon"), _has_all("amber", "falcon"), HITS),
    ),
    "SearchRuns: a word in all, a tag of 2 %": _read(
        "SearchRuns",
        _page(_search("nightly tag:shard-7"), lambda number: "shard-7" in tags(number), HITS),
    ),
    "SearchRuns: failed, a word of 0.01 %": _read(
        "SearchRuns",
        _page(_search("state:failed quasar"), _is_rare_failure, HITS),
    ),
    "SearchRuns: no match": _read("SearchRuns", _page(_search("zeppelin"), lambda _: False, HITS)),
}
"""By the name of a row."""


INSIGHTS: Final[Mapping[str, Read]] = {
    "GetRunStats: all": Read(INSIGHTS_SERVICE + "GetRunStats", insights_pb.GetRunStatsResponse, stats_of_all),
    "GetRunStats: a tag": Read(
        INSIGHTS_SERVICE + "GetRunStats", insights_pb.GetRunStatsResponse, stats_of_a_tag
    ),
}
"""By the name of a row, what is measured of RunInsights."""


def scripts(name: str, runs: int, callers: int) -> list[Script]:
    """Return what some callers do together to measure a read on a store of so many runs."""
    read = {**READS, **INSIGHTS}[name]
    requests = [(request.SerializeToString(), is_right) for request, is_right in read.asked(runs)]
    checks = _Checks(read.answer)
    return [
        _script(read.path, requests[place * len(requests) // callers :] + requests, checks)
        for place in range(callers)
    ]


def _script(path: str, requests: list[tuple[bytes, Callable[[Any], bool]]], checks: "_Checks") -> Script:
    """Ask some requests again and again."""
    for request, is_right in cycle(requests):
        checks.check(request, (yield Call(path, request)), is_right)


class _Checks:
    """The answers to requests that were found right."""

    def __init__(self, kind: type[Message]) -> None:
        """Know none yet.

        Args:
            kind: What the method answers with.
        """
        self._kind = kind
        self._has_token = "next_page_token" in kind.DESCRIPTOR.fields_by_name
        self._last: dict[bytes, bytes] = {}
        self._right: dict[bytes, bytes] = {}

    def check(self, request: bytes, answer: bytes, is_right: Callable[[Any], bool]) -> None:
        """Refuse an answer unless it is right.

        Raises:
            WrongAnswer: It is not.
        """
        if answer == self._last.get(request):
            return
        message: Any = self._kind.FromString(answer)
        known = answer
        if self._has_token and message.next_page_token:
            message.next_page_token = MORE
            known = message.SerializeToString()
        if known != self._right.get(request):
            expect(is_right(message), message)
            self._right[request] = known
        self._last[request] = answer
