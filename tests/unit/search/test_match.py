"""Matching: what a query finds, told on one run by its record."""

import pytest

from runindex_server.schema.document import Document
from runindex_server.schema.run import DEFAULT_RUN_ID, Run, RunId, RunState
from runindex_server.search.match import matches
from runindex_server.search.query import parse_query
from tests.support.clock import HOUR_US, START_US
from tests.support.search_world import make_run

PARENT = RunId(bytes.fromhex("00000000000000000000000000abcdef"))
RUN = make_run(
    0xC0FFEE00 << 96,
    ordinal=7,
    state=RunState.ARCHIVED,
    outcome=RunState.FAILED,
    error="CUDA error: out of memory\n  at layer 7",
    tags=("prod", "Team A", "gpt-4o"),
    parent=PARENT,
    metadata={
        "model": "gpt-4o-mini",
        "config": {"lr": 0.1, "layers": [12, 24.0], "tuned": True, "note": None, "deep": {"er": "Straße"}},
        "two words": "x",
    },
    create_us=START_US,
    update_us=START_US + HOUR_US,
    end_us=START_US + HOUR_US // 2,
)


def finds(query: str, run: Run = RUN, *, now_us: int = START_US + 2 * HOUR_US) -> bool:
    return matches(Document(run), parse_query(query), now_us=now_us)


@pytest.mark.parametrize(
    "query",
    [
        "archived",
        "prod",
        "PROD",
        "team",
        "memory",
        "gpt",
        "strasse",
        "STRASSE",
        "true",
        "12",
        "24",
        "model",
        "config",
        "er",
        "x",
        "gpt-4o",
        "gpt-4o-mini",
        "out-of-memory",
        '"error: out of MEMORY"',
        '"two words"',
        '"layer 7"',
        "0.1",
        "mem*",
        "gpt-4*",
        "out-of-mem*",
        "meta.model:gpt",
        "meta.model:mini",
        "meta.model:gp*",
        'meta.model:"4o mini"',
        "meta.config.layers:24",
        "meta.config.tuned:true",
        "meta.config.lr:0.1",
        "meta.config.deep.er:stras*",
    ],
)
def test_words_that_are_there(query: str) -> None:
    assert finds(query)
    assert not finds(f"-{query}")


@pytest.mark.parametrize(
    "query",
    [
        "failed",
        "active",
        "mem",
        "memor",
        "emory*",
        '"memory out"',
        '"out memory"',
        '"prod team"',
        '"mini 12"',
        '"model config"',
        "gpt-4",
        "null",
        "24.0",
        "abcdef",
        "_strata_retention",
        "meta.model:model",
        "meta.config:12",
        "meta.config.deep:strasse",
        "meta.deep.er:strasse",
        "meta.Model:gpt",
        "meta.missing:x",
    ],
)
def test_words_that_are_not(query: str) -> None:
    assert not finds(query)
    assert finds(f"-{query}")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state:archived", True),
        ("state:failed", False),
        ("outcome:failed", True),
        ("outcome:completed", False),
        ("tag:prod", True),
        ("tag:Prod", False),
        ("tag:pro", False),
        ("tag:Team", False),
        ('tag:"Team A"', True),
        ("tag:gpt-4o", True),
        ("parent:00000000-0000-0000-0000-000000abcdef", True),
        ("parent:default", False),
        ("id:c0ffee00-0000-0000-0000-000000000000", True),
        ("id:c0ffee00-0000-0000-0000-000000000001", False),
        ("id:c*", True),
        ("id:c0ffee00-0000*", True),
        ("id:c0ffee01*", False),
        ("c0ffee00", True),
        ("c0ffee00*", True),
        ("c0ffee01", False),
        ("c0ffee0", False),
        ("c0ffee00-0000-0000-0000-000000000000", True),
    ],
)
def test_fields(query: str, expected: bool) -> None:  # noqa: FBT001
    assert finds(query) is expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("created>2026-03-01", True),
        ("created>2026-03-02", False),
        ("created>=2026-03-01T12:00:30.123456Z", True),
        ("created>2026-03-01T12:00:30.123456Z", False),
        ("created<=2026-03-01T12:00:30.123456Z", True),
        ("created<2026-03-01T12:00:30.123456Z", False),
        ("created<2h", False),
        ("created<=2h", True),
        ("created>2h", False),
        ("created>=2h", True),
        ("updated<=1h", True),
        ("updated<1h", False),
        ("updated<61m", True),
        ("updated>0.9h", True),
        ("duration>=30m", True),
        ("duration>30m", False),
        ("duration<=30m", True),
        ("duration<30m", False),
    ],
)
def test_times(query: str, expected: bool) -> None:  # noqa: FBT001
    assert finds(query) is expected


def test_a_run_without_an_end_matches_no_duration() -> None:
    run = make_run()

    assert not finds("duration>=0s", run)
    assert not finds("duration<1w", run)
    assert finds("-duration>=0s", run)


def test_the_default_run_goes_by_its_name_alone() -> None:
    run = make_run(run_id=DEFAULT_RUN_ID)

    for query in ("default", "default*", "id:default", "id:d*", "id:defau*"):
        assert finds(query, run)
    for query in ("00000000", "id:0*", "id:00000000-0000*"):
        assert not finds(query, run)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("prod memory", True),
        ("prod missing", False),
        ("missing OR prod", True),
        ("missing OR absent", False),
        ("missing prod OR memory", True),
        ("(missing OR prod) memory", True),
        ("prod -missing", True),
        ("prod -memory", False),
        ("-missing -absent", True),
        ("-(missing OR prod)", False),
        ("--prod", True),
    ],
)
def test_operators(query: str, expected: bool) -> None:  # noqa: FBT001
    assert finds(query) is expected
