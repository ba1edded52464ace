"""Search: each sentence of its grammar in the contract, before and after its terms are merged.

How search follows changes, and how it stops, is in `test_search_index`; pages are in `test_paging`.
"""

from typing import Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    Stub,
    archive,
    check_refused,
    close,
    create,
    fail,
    pause,
    search_ids,
    set_retention,
)
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, ManualClock
from tests.support.methods import KEEP_3
from tests.support.server import RunningServer
from tests.support.stores import IN_MEMORY

MARCH_2_US: Final = 1_772_409_600_000_000
"""2026-03-02T00:00:00Z: half a day after the clock of a test starts."""

PAUSED_ID: Final = "0192f3a4-5b6c-7d8e-9f00-112233445566"
"""The id of the run `paused`; no id that the server makes begins so."""

DONE_ID: Final = "0abcdef0-1111-4222-8333-444455556666"
"""The id of the run `done`."""


@pytest.fixture(params=["pending", "merged", "half merged"])
def names(
    request: pytest.FixtureRequest, server: RunningServer, stub: Stub, clock: ManualClock
) -> dict[str, str]:
    """Create the runs of these tests and return their names by id, in the order of creation."""
    clock.set(MARCH_2_US)
    metadata = {"model": "gpt-4o", "note": "Quick, brown fox", "n": 42, "flag": True, "a.b": "dotted"}
    done = create(stub, run_id=DONE_ID, tags=["prod", "a b"], metadata=metadata).run_id
    clock.advance(5 * MINUTE_US)
    close(stub, done)

    clock.set(MARCH_2_US + DAY_US + 12 * HOUR_US)
    deep = {"team": "search infra", "list": ["one two", "three", {"leaf": "four"}], "n": 7}
    metadata = {"model": "gpt-4o-mini", "note": "fox brown", "n": 1.5, "flag": False, "deep": deep}
    failed = create(stub, tags=["prod(eu)", "Prod"], metadata=metadata).run_id
    clock.advance(10 * MINUTE_US)
    fail(stub, failed, "Timeout: connection_lost after 30 s")
    if request.param == "half merged":
        server.run_jobs()

    clock.set(MARCH_2_US + 2 * DAY_US)
    archived = create(stub, tags=["prod"], metadata={"model": "claude-3"}).run_id
    fail(stub, archived, "disk full")
    archive(stub, archived)

    clock.set(MARCH_2_US + 3 * DAY_US)
    child = create(stub, parent=done, metadata={"text": "Straße ΑΣ", "null": None, "empty": {}}).run_id

    clock.set(MARCH_2_US + 4 * DAY_US)
    paused = create(stub, run_id=PAUSED_ID, tags=["x"], metadata={"ref": "see gpt 4o"}).run_id
    pause(stub, paused)
    set_retention(stub, paused, KEEP_3)
    if request.param == "merged":
        server.run_jobs()
    clock.advance(HOUR_US)
    return {
        DEFAULT: "default",
        done: "done",
        failed: "failed",
        archived: "archived",
        child: "child",
        paused: "paused",
    }


GRAMMAR: Final[dict[str, dict[str, str]]] = {
    "words": {
        "fox": "failed done",
        "FoX": "failed done",
        "fo": "",
        "foxes": "",
        "brown fox": "failed done",
        "fox timeout": "failed",
        "fox nowhere": "",
        "model": "failed done",
        "team": "failed",
        "leaf": "failed",
        "four": "failed",
        "timeout": "failed",
        "connection_lost": "failed",
        "connection": "",
        "lost": "",
        "eu": "failed",
        "prod": "failed done",
        "STRASSE": "child",
        "straße": "child",
        "ας": "child",
        "42": "done",
        "true": "done",
        "or": "",
        "_strata_retention": "",
        "nowhere": "",
    },
    "words of several parts": {
        "gpt-4o": "paused failed done",
        "4o-gpt": "",
        "gpt-4o-mini": "failed",
        "gpt-mini": "",
        "gpt.4o": "paused failed done",
        "1.5": "failed",
        "brown,fox": "done",
    },
    "phrases": {
        '"quick brown fox"': "done",
        '"QUICK brown"': "done",
        '"brown fox"': "done",
        '"fox brown"': "failed",
        '"quick fox"': "",
        '"one two"': "failed",
        '"two three"': "",
        '"a b"': "done",
        '"prod a"': "",
        '"after 30 s"': "failed",
        '"search infra"': "failed",
        '"rown fox"': "",
    },
    "prefixes": {
        "qui*": "done",
        "QUI*": "done",
        "quick*": "done",
        "connection*": "failed",
        "gpt-4*": "paused failed done",
        "gpt-4o-m*": "failed",
        "stras*": "child",
        "nowhere*": "",
    },
    "states": {
        "state:active": "child default",
        "state:paused": "paused",
        "state:completed": "done",
        "state:failed": "failed",
        "state:cancelled": "",
        "state:archived": "archived",
        "outcome:failed": "failed",
        "outcome:completed": "done",
        "outcome:cancelled": "",
        "outcome:failed state:archived": "archived",
        "state:failed OR state:archived": "archived failed",
        "-state:archived": "paused child failed done default",
        "-(state:archived)": "paused child failed done default",
        "-outcome:failed": "paused child done default",
    },
    "tags": {
        "tag:prod": "done",
        "tag:Prod": "failed",
        "tag:PROD": "",
        "tag:pro": "",
        'tag:"a b"': "done",
        'tag:"prod"': "done",
        "tag:a": "",
        "tag:prod(eu)": "failed",
        "(tag:prod(eu))": "failed",
        "(tag:prod)": "done",
        "(tag:x OR tag:Prod)": "paused failed",
        "-tag:x": "child failed done default",
    },
    "ids and parents": {
        f"id:{PAUSED_ID}": "paused",
        f"id:{PAUSED_ID.upper()}": "paused",
        f"id:{PAUSED_ID.replace('-', '')}": "paused",
        "id:0192f3a4*": "paused",
        "id:0192f3a4-5b6c-7*": "paused",
        "id:0192f3a45b6c7*": "paused",
        "id:0*": "paused child failed done",
        "id:default": "default",
        PAUSED_ID: "paused",
        PAUSED_ID.upper(): "paused",
        "0192f3a4": "paused",
        "0192F3A4": "paused",
        "0192f3a4-5b6c": "paused",
        "0192f3a": "",
        "default": "default",
        f"parent:{DONE_ID}": "child",
        f"parent:{DONE_ID.upper()}": "child",
        f"parent:{PAUSED_ID}": "",
        "parent:default": "",
        f"-id:{PAUSED_ID}": "child failed done default",
        f"-parent:{DONE_ID}": "paused failed done default",
    },
    "metadata": {
        "meta.model:gpt*": "failed done",
        "meta.model:gpt-4o": "failed done",
        "meta.model:fox": "",
        "meta.note:fox": "failed done",
        'meta.note:"brown fox"': "done",
        "meta.deep.team:infra": "failed",
        'meta.deep.team:"search infra"': "failed",
        "meta.team:infra": "",
        "meta.deep:infra": "",
        "meta.n:42": "done",
        "meta.n:1.5": "failed",
        "meta.deep.n:7": "failed",
        "meta.flag:true": "done",
        "meta.flag:false": "failed",
        "meta.Model:claude": "",
        "meta.nowhere:fox": "",
        "-meta.flag:true": "paused child failed default",
    },
    "times": {
        "created>2026-03-03": "paused child failed",
        "created>=2026-03-02": "paused child failed done",
        "created>2026-03-02": "paused child failed",
        "created<2026-03-02": "default",
        "created<=2026-03-02": "done default",
        "created>2026-03-03T12:00:00Z": "paused child",
        "created>=2026-03-03T12:00:00Z": "paused child failed",
        "created>=2026-03-03T13:00:00+01:00": "paused child failed",
        "created<2026-03-03T12:00:00.000001Z": "failed done default",
        "created>=2026-03-03 created<2026-03-04": "failed",
        "created<2d": "paused child",
        "created>2d": "failed done default",
        "created<=1h": "paused",
        "created<1h": "",
        "created<61m": "paused",
        "created>1w": "",
        "updated<1h": "",
        "updated<=3600s": "paused",
        "updated>2026-03-03T12:05:00Z": "paused child failed",
        "-created>2026-03-03": "done default",
    },
    "durations": {
        "duration>5m": "failed",
        "duration>=5m": "failed done",
        "duration<=300s": "done",
        "duration<10m": "done",
        "duration>1w": "",
        "duration>0s": "failed done",
        "-duration>5m": "paused child done default",
    },
    "expressions": {
        "claude OR quick": "done",
        "quick OR infra": "failed done",
        "quick OR infra nowhere": "done",
        "(quick OR infra) one": "failed",
        "quick or infra": "",
        "fox -quick": "failed",
        "-quick fox": "failed",
        "-fox": "paused child default",
        "--fox": "failed done",
        "-(fox OR gpt)": "child default",
        "-(fox -quick)": "paused child done default",
        "-tag:x -tag:prod": "child failed default",
        "((fox))": "failed done",
        "fox (quick OR timeout)": "failed done",
        '-"brown fox"': "paused child failed default",
        "-qui*": "paused child failed default",
        "  fox \t quick\n": "done",
        "straße OR see OR timeout": "paused child failed",
    },
}
"""Queries of each kind, and the runs that they find, newest first."""

WITH_ARCHIVED: Final = {
    "prod": "archived failed done",
    "tag:prod": "archived done",
    "outcome:failed": "archived failed",
    "claude": "archived",
    "full": "archived",
    "state:archived": "archived",
    "-state:archived": "paused child failed done default",
    "-fox": "paused child archived default",
    "created>2026-03-03": "paused child archived failed",
    "duration<1s": "archived",
}
"""The same with `include_archived`."""


def check_finds(stub: Stub, names: dict[str, str], queries: dict[str, str], **request: bool) -> None:
    """Check what queries find, and tell all that differ at once."""
    wrong = {}
    for query, expected in queries.items():
        found = " ".join(names[run_id] for run_id in search_ids(stub, query, **request))
        if found != expected:
            wrong[query] = (found, expected)
    assert wrong == {}


@pytest.mark.parametrize("kind", GRAMMAR)
def test_the_grammar(stub: Stub, names: dict[str, str], kind: str) -> None:
    """Each query finds exactly these runs, in the order newest first, archived ones hidden."""
    check_finds(stub, names, GRAMMAR[kind])


def test_archived_runs_are_found_when_asked_for(stub: Stub, names: dict[str, str]) -> None:
    """By the flag, whatever the query is."""
    check_finds(stub, names, WITH_ARCHIVED, include_archived=True)


def test_the_whole_run_is_returned(stub: Stub, names: dict[str, str]) -> None:
    """As get returns it, from the revision that the answer names."""
    for run_id in names:
        answer = stub.SearchRuns(pb.SearchRunsRequest(query=f"id:{run_id}", include_archived=True))
        shown = stub.GetRun(pb.GetRunRequest(run_id=run_id))
        assert list(answer.runs) == [shown.run]
        assert answer.revision == shown.revision


@IN_MEMORY
@pytest.mark.parametrize(
    ("query", "position"),
    [
        (" ", None),
        ("(", 0),
        (")", 0),
        ("()", 0),
        ("fox )", 4),
        ("fox (", 4),
        ("🚀x 🚀y )", 6),
        ("fox () brown", 4),
        ('"open', 0),
        ('fox "open', 4),
        ("nosuch:x", 0),
        ("fox nosuch:x", 4),
        ("state:nosuch", None),
        ("state:", None),
        ("outcome:active", None),
        ("outcome:archived", None),
        ("tag:", None),
        ("id:xyz", None),
        ("id:", None),
        ("id:00000000-0000-0000-0000-000000000000", None),
        ("parent:xyz", None),
        ("*", 0),
        ("fox *", 4),
        ("id:*", None),
        ("meta.model:", None),
        ("meta.model:*", None),
        ("created:2026-01-01", None),
        ("created>yesterday", None),
        ("created>2026-13-01", None),
        ("created>", None),
        ("created=2026-01-01", None),
        ("updated<1y", None),
        ("duration>2026-01-01", None),
        ("duration>-5m", None),
        ("state>failed", None),
        ("fox OR", None),
        ("OR fox", 0),
        ("fox OR OR brown", None),
        ("fox -", 4),
        ("-", 0),
        ('""', None),
        ('"..."', None),
        ("...", None),
    ],
)
def test_what_cannot_be_read_is_refused(stub: Stub, query: str, position: int | None) -> None:
    """With the position of the fault in code points from 0."""
    request = pb.SearchRunsRequest(query=query)

    refusal = check_refused(
        lambda: stub.SearchRuns(request), Code.INVALID_ARGUMENT, "INVALID_QUERY", field="query"
    )

    found = int(refusal.metadata["position"])
    assert 0 <= found <= len(query)
    assert position is None or found == position
