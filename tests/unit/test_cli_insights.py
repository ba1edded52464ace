"""The commands that tell what runs come to: what they print, and how they exit."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from typer.testing import CliRunner

from runindex.v1 import insights_pb2 as pb
from runindex_server.cli import insights
from runindex_server.cli.answers import echo_table
from runindex_server.cli.app import app
from runindex_server.cli.exits import EXIT_REFUSED
from runindex_server.limits import RETENTION_DURATION_US_MAX
from tests.support import calls
from tests.support.calls import Stub, archive, close, fail, pause
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, ManualClock
from tests.support.server import RunningServer

NOWHERE = "127.0.0.1:1"
COLOUR = re.compile(r"\x1b\[\d*m")
COMMANDS = (["stats"], ["tags"], ["stale", "1h"], ["errors"])

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store_kind() -> str:
    """Let all run on one store: what these tests are about is not what answers come from."""
    return "memory"


@pytest.fixture(autouse=True)
def one_clock(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the commands the clock of the server."""
    monkeypatch.setattr(insights, "SystemClock", lambda: clock)


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a command."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def run(server: RunningServer) -> Run:
    """Return what runs a command on the server."""
    return lambda *arguments: invoke(*arguments, "--address", server.target)


def create(stub: Stub, *tags: str) -> str:
    return calls.create(stub, tags=tags).run_id


def rows(printed: str) -> list[list[str]]:
    """Return the cells of a table that was printed, its titles first."""
    return [line.split() for line in printed.splitlines()]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_where_no_server_answers_it_is_said(arguments: list[str]) -> None:
    told = f"No answer from {NOWHERE}: is a server running there?\n"

    assert invoke(*arguments, "--address", NOWHERE) == (EXIT_REFUSED, "", told)


@pytest.mark.parametrize("arguments", COMMANDS)
def test_each_is_told_for_programs_too(arguments: list[str], run: Run) -> None:
    code, out, err = run(*arguments, "--json")

    assert (code, err) == (0, "")
    assert json.loads(out)["revision"] == "1"


# Figures.


def test_stats_tell_states_outcomes_rate_and_durations(run: Run, stub: Stub, clock: ManualClock) -> None:
    ids = [create(stub, "nightly") for _ in range(3)]
    create(stub, "nightly")
    clock.advance(90 * SECOND_US)
    close(stub, ids[0])
    close(stub, ids[1])
    fail(stub, ids[2])
    archive(stub, ids[1])
    code, out, err = run("stats")

    assert (code, err) == (0, "")
    lines = dict(line.split(None, 1) for line in out.replace("Error rate", "Rate").splitlines())
    assert lines["Runs"] == "5: active 2, paused 0, completed 1, failed 1, cancelled 0, archived 1"
    assert lines["Finished"] == "3: completed 2, failed 1, cancelled 0"
    assert lines["Rate"] == "33.33 %"
    assert lines["Durations"].startswith("mean 1m 29s, p50 1m ")
    assert run("stats", "--tag", "nightly")[1].startswith("Runs         4: active 1,")


def test_stats_of_what_has_not_finished_tell_no_rate(run: Run) -> None:
    code, out, err = run("stats", "--tag", "none")

    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()] == ["Runs         0", "Finished     0"]


@pytest.mark.parametrize(
    ("by", "since", "first", "count"),
    [
        ("hour", ["--since", "2h"], "2026-03-01 11:00", 3),
        ("hour", [], "2026-02-28 13:00", 25),
        ("day", ["--since", "2d"], "2026-02-28", 3),
        ("day", [], "2026-01-31", 31),
    ],
)
def test_stats_by_interval_are_a_table_without_a_gap(
    by: str, since: list[str], first: str, count: int, run: Run, stub: Stub, clock: ManualClock
) -> None:
    fail(stub, create(stub))
    clock.advance(HOUR_US if by == "hour" else DAY_US)
    code, out, err = run("stats", "--by", by, *since)

    assert (code, err) == (0, "")
    _, _, printed = out.partition("\n\n")
    titles, *intervals, together = printed.splitlines()
    assert titles.split("  ")[0] == f"{by} (UTC)"
    assert len(intervals) == count
    assert intervals[0].startswith(first)
    assert [line.split("  ")[0] for line in intervals] == sorted(line.split("  ")[0] for line in intervals)
    told = [line.split()[first.count(" ") + 1 :] for line in intervals]
    assert told[-2][:6] == ["1", "0", "1", "0", "100.00", "%"]
    assert {tuple(cells) for cells in (*told[:-2], told[-1])} == {("0",) * 4 + ("-",) * 5}
    assert together.split()[:9] == ["all", "of", "these", "1", "0", "1", "0", "100.00", "%"]


def test_stats_for_programs_are_the_response(
    run: Run, stub: Stub, server: RunningServer, clock: ManualClock
) -> None:
    close(stub, create(stub))
    _, out, _ = run("stats", "--by", "hour", "--since", "1h", "--json")
    request = pb.GetRunStatsRequest(interval=pb.STATS_INTERVAL_HOUR)
    request.start_time.FromMicroseconds(clock.now_us() - HOUR_US)

    assert Parse(out, pb.GetRunStatsResponse()) == server.insights_stub().GetRunStats(request)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--since", "2h"], "--since goes with --by"),
        (["--by", "hour", "--since", "yesterday"], "--since: 'yesterday' is no span"),
        (["--by", "hour", "--since", "52w"], "400"),
        (["--by", "hour", "--tag", "nightly"], "tag"),
        (["--tag", ""], "tag"),
    ],
)
def test_stats_that_there_are_not_are_refused(arguments: list[str], told: str, run: Run) -> None:
    code, out, err = run("stats", *arguments)

    assert (code, out) == (EXIT_REFUSED, "")
    assert told in err


def test_stats_since_before_there_was_time_are_refused_as_any_others(run: Run) -> None:
    code, _, err = run("stats", "--by", "day", "--since", "9000w")

    assert code == EXIT_REFUSED
    assert "400" in err


# Tags.


@pytest.fixture
def tagged(stub: Stub) -> None:
    """Make runs with tags, one of them archived."""
    for tags in (("a",), ("a", "b"), ("b", "team/x"), ("b", "two words")):
        create(stub, *tags)
    archive(stub, create(stub, "team/y", "a"))


@pytest.mark.usefixtures("tagged")
@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        ([], ["2 a", "3 b", "1 team/x", "1 two words"]),
        (["--by-count"], ["3 b", "2 a", "1 team/x", "1 two words"]),
        (["team/"], ["1 team/x"]),
        (["team/", "--archived"], ["1 team/x", "1 team/y"]),
        (["--archived", "--by-count"], ["3 a", "3 b", "1 team/x", "1 team/y", "1 two words"]),
    ],
)
def test_tags_are_listed_with_their_counts(arguments: list[str], listed: list[str], run: Run) -> None:
    code, out, err = run("tags", *arguments)

    assert (code, err) == (0, "")
    titles, *lines = [" ".join(cells) for cells in rows(out)]
    assert titles == "runs tag"
    assert lines == listed


@pytest.mark.usefixtures("tagged")
@pytest.mark.parametrize("page_size", [1, 2, 3, 1_000])
@pytest.mark.parametrize("limit", [1, 3, 4, 5])
def test_a_list_pages_by_itself_up_to_its_limit(
    page_size: int, limit: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insights, "PAGE_SIZE_MAX", page_size)
    code, out, err = run("tags", "--limit", str(limit))
    _, for_programs, silence = run("tags", "--limit", str(limit), "--json")

    assert (code, silence) == (0, "")
    count = min(limit, 4)
    assert len(out.splitlines()) == 1 + count
    assert err == (f"There are more than these {count}: see --limit.\n" if limit < 4 else "")
    told = json.loads(for_programs)
    assert [row["tag"] for row in told["tags"]] == ["a", "b", "team/x", "two words"][:count]
    assert bool(told["nextPageToken"]) == (limit < 4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tags"], "No run carries such a tag."),
        (["stale", "1h"], "No run is stale."),
        (["errors"], "No run has failed."),
    ],
)
def test_that_there_is_nothing_is_told_beside(arguments: list[str], told: str, run: Run) -> None:
    assert run(*arguments) == (0, "", f"{told}\n")


@pytest.mark.parametrize("arguments", [["tags"], ["stale", "1h"], ["errors"]])
def test_a_limit_of_nothing_is_refused(arguments: list[str], run: Run) -> None:
    code, out, _ = run(*arguments, "--limit", "0")

    assert code != 0
    assert out == ""


# Stale runs.


def test_stale_runs_are_listed_by_age(run: Run, stub: Stub, clock: ManualClock) -> None:
    paused, active = create(stub, "nightly", "gpu"), create(stub)
    pause(stub, paused)
    clock.advance(DAY_US)
    create(stub)
    clock.advance(2 * HOUR_US + 5 * MINUTE_US)
    code, out, err = run("stale", "3h")

    assert (code, err) == (0, "")
    assert rows(out) == [
        ["run", "state", "idle", "for", "tags"],
        [paused, "paused", "1d", "2h", "5m", "nightly,", "gpu"],
        [active, "active", "1d", "2h", "5m"],
    ]


@pytest.mark.parametrize(("state", "listed"), [("active", 1), ("paused", 2)])
def test_stale_runs_of_one_state(state: str, listed: int, run: Run, stub: Stub, clock: ManualClock) -> None:
    create(stub)
    for _ in range(2):
        pause(stub, create(stub))
    clock.advance(HOUR_US)
    code, out, _ = run("stale", "30m", "--state", state)

    assert code == 0
    assert [cells[1] for cells in rows(out)[1:]] == [state] * listed


def test_stale_runs_for_programs_have_what_the_table_has(run: Run, stub: Stub, clock: ManualClock) -> None:
    run_id = create(stub, "nightly")
    clock.advance(HOUR_US)
    _, out, _ = run("stale", "1800s", "--json")
    (told,) = json.loads(out)["runs"]

    assert (told["runId"], told["state"], told["tags"]) == (run_id, "RUN_STATE_ACTIVE", ["nightly"])
    assert told["activityTime"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("idle_for", "told"),
    [
        ("soon", "IDLE_FOR: 'soon' is no span"),
        (f"{RETENTION_DURATION_US_MAX // SECOND_US // 604_800 + 1}w", "is no span"),
        ("0s", "idle_for"),
    ],
)
def test_spans_that_are_none_are_refused(idle_for: str, told: str, run: Run) -> None:
    code, out, err = run("stale", idle_for)

    assert (code, out) == (EXIT_REFUSED, "")
    assert told in err


def test_the_longest_span_is_taken(run: Run) -> None:
    assert run("stale", f"{RETENTION_DURATION_US_MAX // SECOND_US // 604_800}w")[0] == 0


# Errors.


def test_errors_are_listed_by_group(run: Run, stub: Stub) -> None:
    ids = [create(stub) for _ in range(4)]
    for number, run_id in enumerate(ids[:2]):
        fail(stub, run_id, f"no answer after {number} s")
    fail(stub, ids[2], "disk full")
    fail(stub, ids[3], "disk full")
    archive(stub, ids[3])
    code, out, err = run("errors")

    assert (code, err) == (0, "")
    assert rows(out) == [
        ["runs", "newest", "example", "error"],
        ["2", ids[1], "no", "answer", "after", "<n>", "s"],
        ["1", ids[2], "disk", "full"],
    ]
    assert rows(run("errors", "--archived")[1])[1] == ["2", ids[3], "disk", "full"]


def test_an_error_for_programs_is_whole(run: Run, stub: Stub) -> None:
    run_id = create(stub, "nightly")
    fail(stub, run_id, "a line\nand another")
    _, out, _ = run("errors", "--json")
    (group,) = json.loads(out)["errors"]

    assert (group["error"], group["count"]) == ("a line", "1")
    assert (group["example"]["runId"], group["example"]["error"]) == (run_id, "a line\nand another")


def test_an_error_gives_the_terminal_no_orders(run: Run, stub: Stub) -> None:
    fail(stub, create(stub), "\x1b[2Jgone\x07")
    _, out, _ = run("errors")

    assert out.endswith(r"\x1b[<n>Jgone\x07" + "\n")


# Tables.


@pytest.fixture
def draw(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return what gives the lines of a table that is drawn on a terminal of 60 characters."""
    for name, value in (("COLUMNS", "60"), ("LINES", "25"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)

    def drawn(columns: tuple[str, ...], *rows: tuple[str, ...]) -> list[str]:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)  # That of the moment.
        echo_table(columns, rows)
        return [line.rstrip() for line in COLOUR.sub("", capsys.readouterr().out).splitlines()]

    return drawn


def test_a_table_on_a_terminal_folds_what_is_long(draw: Callable[..., list[str]]) -> None:
    lines = draw((">runs", "error"), ("1,200", "[bold]" + "x" * 60), ("1", "\x1b[31m"))

    assert lines[0] == " runs  error"
    assert lines[1] == "1,200  [bold]" + "x" * 47
    assert lines[2] == "       " + "x" * 13
    assert lines[3] == r"    1  \x1b[31m"


def test_a_table_is_wider_than_a_terminal_before_it_cuts_a_number(draw: Callable[..., list[str]]) -> None:
    ids = "i" * 50
    lines = draw(("run", ">runs", ">p99"), (ids, "1,000,000", "3h 20m 5s"))

    assert lines[1] == f"{ids}  1,000,000  3h 20m 5s"


def test_a_table_elsewhere_is_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows_told: list[tuple[Any, ...]] = [("1,200", "y" * 300), ("1", "")]
    echo_table((">runs", "tag"), rows_told)

    assert capsys.readouterr().out == f" runs  tag\n1,200  {'y' * 300}\n    1\n"
