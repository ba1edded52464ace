"""`list` and `search`: which runs, how they are printed, and how far."""

import json

import pytest

from runindex import Client
from runindex.cli.exits import EXIT_NO_ANSWER, EXIT_REFUSED, EXIT_USAGE
from tests.clients.python_cli.conftest import EPOCH, Run, run_id
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, ManualClock

ONE, TWO, THREE, FOUR = (run_id(number) for number in range(1, 5))
TITLES = "run                                   state"


@pytest.fixture(autouse=True)
def recorded(client: Client, clock: ManualClock) -> None:
    """Record four runs, in four hours."""
    client.create(tags=["nightly", "eu"], metadata={"model": "large"})
    clock.advance(HOUR_US)
    client.create(tags=["nightly", 'say "no" \\ (twice)'])
    clock.advance(HOUR_US)
    client.create(tags=["nightly", "eu"])
    clock.advance(31 * SECOND_US)
    client.fail(THREE, "Timeout after 31 s")
    client.create()
    clock.advance(3 * MINUTE_US)
    client.close_run(FOUR)
    client.archive(FOUR)


def ids(told: str) -> list[str]:
    return told.splitlines()


def test_a_table_has_what_people_look_for(run: Run) -> None:
    assert run("list") == (
        0,
        (
            f"run                                   state   created    took    tags\n"
            f"{THREE}  failed  3 min ago  31.0 s  nightly, eu\n"
            f'{TWO}  active  1 h ago    -       nightly, say "no" \\ (twice)\n'
            f"{ONE}  active  2 h ago    -       nightly, eu\n"
            f"default                               active  2 h ago    -\n"
        ),
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [THREE, TWO, ONE, "default"]),
        (["--archived"], [FOUR, THREE, TWO, ONE, "default"]),
        (["--state", "archived"], [FOUR]),
        (["--state", "FAILED"], [THREE]),
        (["--state", "failed", "--state", "active"], [THREE, TWO, ONE, "default"]),
        (["--tag", "eu"], [THREE, ONE]),
        (["--tag", "eu", "--tag", "nightly"], [THREE, ONE]),
        (["--tag", 'say "no" \\ (twice)', "--tag", "nightly"], [TWO]),
        (["--tag", 'say "no" \\ (twice)', "--state", "active"], [TWO]),
        (["--tag", "eu", "--state", "failed"], [THREE]),
        (["--tag", "eu", "--state", "failed", "--state", "active"], [THREE, ONE]),
        (["--tag", "none"], []),
        (["--since", "61m"], [THREE]),
        (["--since", "1.5h"], [THREE, TWO]),
        (["--since", "1.5h", "--archived"], [FOUR, THREE, TWO]),
        (["--since", "1.5h", "--state", "active"], [TWO]),
        (["--since", "2026-03-01"], [THREE, TWO, ONE, "default"]),
        (["--since", "2026-03-02"], []),
        (["--since", "2026-03-01T13:00:30.123456Z"], [THREE, TWO]),
        (["--since", "2026-03-01T15:00:30.123457+02:00"], [THREE]),
        (["--limit", "2"], [THREE, TWO]),
        (["--since", "3h", "--limit", "2"], [THREE, TWO]),
    ],
)
def test_options_choose_runs(run: Run, arguments: list[str], expected: list[str]) -> None:
    code, out, err = run("list", "-o", "ids", *arguments)

    assert (code, ids(out), err) == (0, expected, "")


@pytest.mark.parametrize("since", ["2", "2y", "yesterday", "2026-13-01", "2026-03-01T12:00:30", "", "-2h"])
def test_a_time_that_is_none_is_wrong_usage(run: Run, since: str) -> None:
    assert run("list", f"--since={since}") == (
        EXIT_USAGE,
        "",
        f"--since: {since!r} is neither a span such as 90m or 7d nor a date or an instant.\n",
    )


def test_a_state_that_is_none_is_wrong_usage(run: Run) -> None:
    code, out, err = run("list", "--state", "lost")

    assert (code, out) == (EXIT_USAGE, "")
    assert "'lost' is not one of 'active', 'paused', 'completed', 'failed', 'cancelled', 'archived'" in err


def test_json_has_the_fields_of_a_run_and_no_others(run: Run) -> None:
    code, out, err = run("list", "--state", "failed", "-o", "json")

    assert (code, err) == (0, "")
    assert json.loads(out) == [
        {
            "run_id": THREE,
            "state": "FAILED",
            "version": 2,
            "create_time": "2026-03-01T14:00:30.123456Z",
            "update_time": "2026-03-01T14:01:01.123456Z",
            "activity_time": "2026-03-01T14:01:00.000000Z",
            "end_time": "2026-03-01T14:01:01.123456Z",
            "duration": 31.0,
            "expire_time": None,
            "outcome": "FAILED",
            "error": "Timeout after 31 s",
            "tags": ["nightly", "eu"],
            "parent_run_id": None,
            "cloned_from": None,
            "creator": "",
            "revision": 5,
            "metadata": {},
        }
    ]


def test_lines_of_json_are_the_same_runs(run: Run) -> None:
    lines = [json.loads(line) for line in run("list", "-o", "jsonl").out.splitlines()]

    assert lines == json.loads(run("list", "-o", "json").out)
    assert [line["metadata"] for line in lines] == [{}, {}, {"model": "large"}, {}]


def test_nothing_is_told_to_people_only(run: Run) -> None:
    assert run("list", "--tag", "none") == (0, "", "No runs.\n")
    assert run("list", "--tag", "none", "-o", "json") == (0, "[]\n", "")
    assert run("list", "--tag", "none", "-o", "jsonl") == (0, "", "")


def test_what_fails_prints_no_empty_document(invoke: Run) -> None:
    assert invoke("list", "-o", "json", "--address", "127.0.0.1:1")[:2] == (EXIT_NO_ANSWER, "")


def test_a_table_ends_and_says_so(run: Run, client: Client) -> None:
    for _ in range(98):
        client.create()
    code, out, err = run("list")

    assert (code, len(out.splitlines()), err) == (0, 101, "There are more than these 100: see --limit.\n")
    assert len(run("list", "-o", "ids").out.splitlines()) == 102
    assert len(run("list", "-o", "json", "--limit", "101").out.splitlines()) == 103
    assert len(run("list", "--limit", "102").out.splitlines()) == 103
    assert run("list", "--limit", "102").err == ""
    assert run("list", "--limit", "1").err == "There are more than these 1: see --limit.\n"


def test_a_limit_of_nothing_is_wrong_usage(run: Run) -> None:
    assert run("list", "--limit", "0").code == EXIT_USAGE


# Search.


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (["timeout"], [THREE]),
        (["tag:eu state:active"], [ONE]),
        (["tag:eu", "state:active"], [ONE]),
        (["meta.model:lar*"], [ONE]),
        (["--archived", "duration>1m"], [FOUR]),
        (["--", "-tag:nightly"], ["default"]),
        (["--limit", "1", "tag:eu"], [THREE]),
    ],
)
def test_a_search_finds_runs(run: Run, query: list[str], expected: list[str]) -> None:
    code, out, err = run("search", "-o", "ids", *query)

    assert (code, ids(out), err) == (0, expected, "")


def test_what_is_found_is_listed(run: Run) -> None:
    assert run("search", "timeout").out == (
        "run                                   state   created    took    tags\n"
        f"{THREE}  failed  3 min ago  31.0 s  nightly, eu\n"
    )
    assert json.loads(run("search", "large", "-o", "json").out)[0]["metadata"] == {"model": "large"}


def test_a_query_that_cannot_be_read_is_shown_where(run: Run) -> None:
    assert run("search", "tag:eu", "((") == (
        EXIT_REFUSED,
        "",
        "  tag:eu ((\n          ^\nINVALID_QUERY: query: parentheses hold no term, at position 8.\n",
    )


def test_ages_count_by_the_clock_of_the_server(run: Run, clock: ManualClock) -> None:
    assert run("list", "--since", "61m", "-o", "ids", now=lambda: EPOCH).out == f"{THREE}\n"
    clock.advance(DAY_US)
    assert run("list", "--since", "1d", "-o", "ids", now=lambda: EPOCH).out == ""
