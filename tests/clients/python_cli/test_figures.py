"""`stats`, `tags`, `stale` and `errors`: what many runs come to."""

import json

import pytest

from runindex import Client
from runindex.cli.exits import EXIT_USAGE
from tests.clients.python_cli.conftest import Run, run_id
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, ManualClock

ONE, TWO, THREE = (run_id(number) for number in range(1, 4))
NOTHING = ("0",) * 4 + ("-",) * 5


@pytest.fixture
def recorded(client: Client, clock: ManualClock) -> None:
    """Record three runs, of which one failed and one was closed after a minute and a half."""
    client.create(tags=["nightly", "eu"], metadata={"model": "large"})
    client.create(tags=["nightly"])
    client.create(tags=["by-hand"])
    clock.advance(90 * SECOND_US)
    client.fail(ONE, "Timeout after 31 s")
    client.close_run(TWO)


@pytest.mark.usefixtures("recorded")
def test_stats_tell_states_outcomes_rate_and_durations(run: Run) -> None:
    code, out, err = run("stats")

    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == [
        "Runs       4: active 2, paused 0, completed 1, failed 1, cancelled 0, archived 0",
        "Finished   2: completed 1, failed 1, cancelled 0",
        "Failed     50.00 %",
    ]
    assert out.splitlines()[3].startswith("Durations  mean 1m 29s, p50 1m ")
    assert run("stats", "--tag", "eu").out.splitlines()[2] == "Failed     100.00 %"
    assert run("stats", "--tag", "none").out.count("\n") == 2


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("by", "since", "first", "count"),
    [
        ("hour", ["--since", "2h"], "2026-03-01 11:00", 3),
        ("hour", ["--since", "2026-03-01"], "2026-03-01 00:00", 14),
        ("hour", [], "2026-02-28 13:00", 25),
        ("DAY", ["--since", "2d"], "2026-02-28", 3),
        ("day", [], "2026-01-31", 31),
    ],
)
def test_stats_by_interval_are_a_table_without_a_gap(
    by: str, since: list[str], first: str, count: int, run: Run, clock: ManualClock
) -> None:
    clock.advance(HOUR_US if by == "hour" else DAY_US)
    code, out, err = run("stats", "--by", by, *since)

    assert (code, err) == (0, "")
    _, _, table = out.partition("\n\n")
    titles, *intervals, together = table.splitlines()
    assert titles.split("  ")[0] == f"{by.lower()} (UTC)"
    assert (len(intervals), intervals[0][: len(first)]) == (count, first)
    told = [tuple(line.split()[first.count(" ") + 1 :]) for line in intervals]
    assert told[-2][:6] == ("2", "1", "1", "0", "50.00", "%")
    assert {*told[:-2], told[-1]} == {NOTHING}
    assert together.split()[:9] == ["all", "of", "these", "2", "1", "1", "0", "50.00", "%"]


@pytest.mark.usefixtures("recorded")
def test_stats_for_programs(run: Run) -> None:
    code, out, err = run("stats", "-o", "json")
    found = json.loads(out)

    assert (code, err) == (0, "")
    assert list(found) == ["count", "by_state", "finished", "intervals", "intervals_finished", "revision"]
    assert found["by_state"]["FAILED"] == 1
    assert found["finished"]["error_rate"] == 0.5
    assert 89 < found["finished"]["durations"]["mean"] < 90
    assert (found["intervals"], found["intervals_finished"]) == ([], None)
    by_day = json.loads(run("stats", "--by", "day", "--since", "1d", "-o", "jsonl").out)
    assert [interval["start_time"] for interval in by_day["intervals"]] == [
        "2026-02-28T00:00:00.000000Z",
        "2026-03-01T00:00:00.000000Z",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--since", "1h"], "--since goes with --by hour or --by day.\n"),
        (
            ["--by", "day", "--since", "soon"],
            "--since: 'soon' is neither a span such as 90m or 7d nor a date.\n",
        ),
        (
            ["--by", "day", "--since", "999999999w"],
            "--since: '999999999w' is neither a span such as 90m or 7d nor a date.\n",
        ),
        (
            ["--by", "day", "--since", "999999d"],
            "--since: '999999d' is neither a span such as 90m or 7d nor a date.\n",
        ),
    ],
)
def test_a_time_that_is_none_is_wrong_usage(run: Run, arguments: list[str], told: str) -> None:
    assert run("stats", *arguments) == (EXIT_USAGE, "", told)


@pytest.mark.usefixtures("recorded")
def test_tags_are_listed_by_name_or_by_count(run: Run, client: Client) -> None:
    assert run("tags") == (0, "runs  tag\n   1  by-hand\n   1  eu\n   2  nightly\n", "")
    assert run("tags", "--by-count", "-o", "ids").out.splitlines()[0] == "nightly"
    assert run("tags", "n", "-o", "jsonl").out == '{"tag": "nightly", "count": 2}\n'
    client.archive(TWO)
    assert run("tags", "n", "-o", "jsonl").out == '{"tag": "nightly", "count": 1}\n'
    assert run("tags", "n", "--archived", "-o", "jsonl").out == '{"tag": "nightly", "count": 2}\n'
    assert run("tags", "--limit", "1") == (
        0,
        "runs  tag\n   1  by-hand\n",
        "There are more than these 1: see --limit.\n",
    )
    assert run("tags", "none") == (0, "", "No tags.\n")


@pytest.mark.usefixtures("recorded")
def test_stale_runs_are_listed(run: Run, client: Client, clock: ManualClock) -> None:
    client.create()
    client.pause(THREE)
    clock.advance(3 * HOUR_US)
    touched = run_id(4)
    client.add_tags(touched, "touched")
    clock.advance(MINUTE_US)

    assert run("stale", "2h", "--state", "paused") == (
        0,
        (f"run                                   state   touched  tags\n{THREE}  paused  3 h ago  by-hand\n"),
        "",
    )
    assert run("stale", "2h", "-o", "ids").out.splitlines() == [THREE]
    assert run("stale", "1m", "-o", "ids").out.splitlines() == [THREE, touched]
    assert run("stale", "1m", "--limit", "1", "-o", "ids").out.splitlines() == [THREE]
    assert json.loads(run("stale", "3h", "--state", "PAUSED", "-o", "jsonl").out)["run_id"] == THREE
    assert run("stale", "2d") == (0, "", "No run is stale.\n")


@pytest.mark.parametrize("span", ["2", "0s", "soon"])
def test_a_span_that_is_none_is_wrong_usage(run: Run, span: str) -> None:
    assert run("stale", span) == (
        EXIT_USAGE,
        "",
        f"IDLE_FOR: {span!r} is no span of time such as 90m, 2h or 7d.\n",
    )


@pytest.mark.usefixtures("recorded")
def test_errors_are_grouped(run: Run, client: Client) -> None:
    client.fail(THREE, "Timeout after 7 s")

    assert run("errors") == (
        0,
        (f"runs  newest example                        error\n   2  {THREE}  Timeout after <n> s\n"),
        "",
    )
    assert run("errors", "-o", "ids").out == f"{THREE}\n"
    assert json.loads(run("errors", "-o", "jsonl").out)["example"]["metadata"] == {}
    client.archive(THREE)
    assert json.loads(run("errors", "-o", "json").out)[0]["example"]["metadata"] == {"model": "large"}
    assert run("errors", "--archived", "-o", "ids").out == f"{THREE}\n"


def test_without_errors_people_are_told(run: Run) -> None:
    assert run("errors") == (0, "", "No run has failed.\n")
    assert run("errors", "-o", "json") == (0, "[]\n", "")
