"""`get`, `tree`, `history` and `count`, and how runs are named."""

import json
from collections.abc import Callable

import pytest

from runindex import Client
from runindex.cli.exits import EXIT_NOT_FOUND, EXIT_REFUSED, EXIT_USAGE
from runindex.v1 import run_index_pb2 as pb
from runindex_server.search import planner
from tests.clients.python.faulty import FaultyServer
from tests.clients.python_cli.conftest import Run, run_id
from tests.support.calls import UNKNOWN_ID
from tests.support.clock import HOUR_US, MINUTE_US, SECOND_US, ManualClock
from tests.support.server import StartServer

ONE, TWO, THREE, FOUR = (run_id(number) for number in range(1, 5))


def test_get_tells_all_that_is_recorded(run: Run, client: Client, clock: ManualClock) -> None:
    client.create(tags=["nightly"])
    client.create(parent=ONE, tags=["step", "eu"], metadata={"model": "large", "limits": {"steps": 50}})
    clock.advance(90 * SECOND_US)
    client.fail(TWO, "Timeout\nafter 31 s\x1b[2J")
    client.archive(TWO)
    clock.advance(2 * HOUR_US)

    assert run("get", TWO) == (
        0,
        f"""\
Run        {TWO}
State      archived
Outcome    failed
Error      Timeout
           after 31 s\\x1b[2J
Tags       step, eu
Created    2 h ago (2026-03-01 12:00:30 UTC)
Changed    2 h ago (2026-03-01 12:02:00 UTC)
Ended      2 h ago (2026-03-01 12:02:00 UTC)
Took       1m 29s
Parent     {ONE}
Version    3, at revision 5
Metadata   {{
             "limits": {{
               "steps": 50
             }},
             "model": "large"
           }}
""",
        "",
    )


def test_get_leaves_out_what_is_not_there(run: Run, client: Client) -> None:
    client.create()

    assert run("get", ONE).out == (
        f"Run        {ONE}\n"
        "State      active\n"
        "Created    now (2026-03-01 12:00:30 UTC)\n"
        "Changed    now (2026-03-01 12:00:30 UTC)\n"
        "Version    1, at revision 2\n"
    )


def test_get_tells_copies_and_when_they_go(run: Run, client: Client, clock: ManualClock) -> None:
    client.create()
    run("clone", ONE)
    run("retention", "set", "delete_after=30d", TWO)
    client.close_run(TWO)
    told = run("get", TWO).out.splitlines()

    assert f"Copy of    {ONE}" in told
    assert "Expires    in 29 d (2026-03-31 12:00:30 UTC)" in told or (
        "Expires    in 30 d (2026-03-31 12:00:30 UTC)" in told
    )


def test_of_several_runs_each_that_there_is_is_told(run: Run, client: Client) -> None:
    client.create()
    client.create()
    code, out, err = run("get", ONE, UNKNOWN_ID, TWO)

    assert (code, err) == (EXIT_NOT_FOUND, f"RUN_NOT_FOUND: No run has the id {UNKNOWN_ID}.\n")
    assert [line for line in out.splitlines() if line.startswith("Run ")] == [
        f"Run        {ONE}",
        f"Run        {TWO}",
    ]
    assert out.count("\n\nRun ") == 1
    code, out, _ = run("get", ONE, UNKNOWN_ID, TWO, "-o", "json")
    assert (code, [found["run_id"] for found in json.loads(out)]) == (EXIT_NOT_FOUND, [ONE, TWO])
    assert run("get", TWO, ONE, "-o", "ids").out == f"{TWO}\n{ONE}\n"
    assert run("get", UNKNOWN_ID, "-o", "json").out == "[]\n"


# How runs are named.


@pytest.mark.parametrize(
    "name",
    [
        ONE,
        ONE.upper(),
        ONE.replace("-", ""),
        f"{{{ONE}}}",
        f"urn:uuid:{ONE}",
        ONE[:-1],
        "0192f3aa-0001",
        "0192F3AA0001",
        ONE[:14],
    ],
)
def test_a_run_is_named_by_its_id_or_a_beginning(run: Run, client: Client, name: str) -> None:
    client.create()
    client.create()
    client.archive(ONE)

    assert run("get", name, "-o", "ids") == (0, f"{ONE}\n", "")


def test_the_default_run_is_named_as_such(run: Run) -> None:
    assert run("get", "default", "-o", "ids").out == "default\n"
    assert run("get", "defa", "-o", "ids").out == "default\n"


@pytest.mark.parametrize("name", ["019", "019g", "", "0192f3aa 0001", "tag:x", "0192f3aa*", "x" * 50])
def test_what_names_no_run_is_wrong_usage(run: Run, name: str) -> None:
    assert run("get", ONE, name) == (
        EXIT_USAGE,
        "",
        f"{name!r} is no id of a run, nor a beginning of one of 4 characters or more.\n",
    )


def test_a_beginning_of_no_id_is_not_found(run: Run) -> None:
    told = "No id begins with 0192f3aa-0001, of all runs, archived ones too.\n"

    assert run("get", "0192f3aa-0001") == (EXIT_NOT_FOUND, "", told)


@pytest.mark.parametrize(("count", "more"), [(2, ""), (5, ""), (6, " and more")])
def test_a_beginning_of_several_ids_is_refused_and_they_are_named(
    run: Run, client: Client, count: int, more: str
) -> None:
    made = [client.create().run_id for _ in range(count)]
    client.archive(made[-1])
    newest = ", ".join(made[::-1][:5])

    assert run("get", "0192f3aa") == (
        EXIT_NOT_FOUND,
        "",
        f"Several ids begin with 0192f3aa: {newest}{more}.\n",
    )


def test_a_beginning_is_looked_up_in_one_call(invoke: Run, faulty: Callable[..., FaultyServer]) -> None:
    found = pb.SearchRunsResponse(runs=[pb.Run(run_id=ONE)])
    server = faulty(found, pb.GetRunRetentionResponse())

    assert invoke("retention", "get", "0192f3aa", "-o", "ids", "--address", server.target).out == f"{ONE}\n"
    methods = [method.rpartition("/")[2] for method, _ in server.calls]
    assert methods == ["SearchRuns", "GetRunRetention"]


def test_a_beginning_that_is_looked_for_too_long_is_refused(
    invoke: Run, start: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A prefix of too many ids is checked on candidates, and of those the server looks at three.
    monkeypatch.setattr(planner, "ID_PREFIX_RUNS_MAX", 1)
    server = start(search_budget_records=3)
    with Client(server.target) as client:
        for number in (1, 2):
            client.create(run_id=f"0192f3aa-000{number}-7000-8000-000000000000")
        for number in range(5):
            client.create(run_id=f"0292f3aa-000{number}-7000-8000-000000000000")

    assert invoke("get", "0192", "--address", server.target) == (
        EXIT_NOT_FOUND,
        "",
        "So many ids begin with 0192 that the server stopped looking: give more of it.\n",
    )


def test_ids_come_on_standard_input(run: Run, client: Client) -> None:
    client.create()
    client.create()

    assert run("get", "-", "-o", "ids", stdin=f"{ONE}\n {TWO[:13]} \n\n").out == f"{ONE}\n{TWO}\n"
    assert run("get", "-o", "ids", stdin=f"{ONE}\n{ONE}\n").out == f"{ONE}\n"
    assert run("get", TWO, "-", "-o", "ids", stdin=ONE).out == f"{TWO}\n{ONE}\n"
    assert run("get", TWO, "-o", "ids", stdin=ONE).out == f"{TWO}\n"
    assert run("get", "-o", "ids") == (0, "", "")


def test_what_is_no_text_names_no_runs(invoke: Run) -> None:
    assert invoke("get", stdin=b"\xff") == (EXIT_USAGE, "", "What came on standard input is no text.\n")


def test_at_a_terminal_nobody_waits_for_ids(run: Run) -> None:
    assert run("get", is_typed=True, stdin=ONE) == (
        EXIT_USAGE,
        "",
        "Which runs? Give ids, beginnings of 4 characters or more, or - for ids on standard input.\n",
    )


# Trees.


@pytest.fixture
def family(client: Client, clock: ManualClock) -> None:
    """Record a run with two children, one of which has one, and another below that."""
    client.create(tags=["root"])
    client.create(parent=ONE, tags=["search"])
    client.create(parent=ONE)
    client.create(parent=TWO, tags=["leaf", "eu"])
    clock.advance(2 * MINUTE_US)
    client.fail(FOUR, "no")
    client.create(parent=FOUR)


FIVE = run_id(5)


@pytest.mark.usefixtures("family")
def test_a_tree_is_drawn(run: Run) -> None:
    assert run("tree", ONE) == (
        0,
        (
            f"{ONE}  active  root\n"
            f"├─ {THREE}  active\n"
            f"└─ {TWO}  active  search\n"
            f"   └─ {FOUR}  failed  1m 59s  leaf, eu\n"
            f"      └─ {FIVE}  active\n"
        ),
        "",
    )


@pytest.mark.usefixtures("family")
def test_a_tree_shows_where_a_run_stands(run: Run) -> None:
    assert run("tree", FOUR[:13]).out == (
        f"{ONE}  active  root\n"
        f"└─ {TWO}  active  search\n"
        f"   └─ {FOUR}  failed  1m 59s  leaf, eu\n"
        f"      └─ {FIVE}  active\n"
    )


@pytest.mark.usefixtures("family")
def test_what_a_tree_leaves_out_is_told(run: Run, client: Client) -> None:
    told = "There are more descendants than these: see --depth and --limit.\n"
    _, out, err = run("tree", ONE, "--depth", "1")

    assert (out, err) == (
        f"{ONE}  active  root\n├─ {THREE}  active\n└─ {TWO}  active  search\n   └─ 1 child not shown\n",
        told,
    )
    _, out, err = run("tree", ONE, "--limit", "1")
    assert (out, err) == (
        f"{ONE}  active  root\n├─ {THREE}  active\n└─ 1 child not shown\n",
        told,
    )
    client.archive(TWO)
    assert run("tree", ONE).out == f"{ONE}  active  root\n├─ {THREE}  active\n└─ 1 child not shown\n"
    assert run("tree", ONE, "--archived").out.splitlines()[2].endswith("archived  1m 59s  search")


@pytest.mark.usefixtures("family")
def test_orphans_are_told(run: Run, client: Client) -> None:
    client.delete(ONE)
    told = "The topmost run had a parent, which was deleted.\n"

    assert run("tree", TWO).err == told
    assert run("tree", FOUR).err == told


def test_ancestors_that_are_left_out_are_told(run: Run, client: Client) -> None:
    above = None
    for _ in range(102):
        above = client.create(parent=above).run_id
    assert above is not None
    _, out, err = run("tree", above)

    assert (len(out.splitlines()), err) == (101, "There are more ancestors than these.\n")


@pytest.mark.usefixtures("family")
def test_a_tree_for_programs(run: Run, client: Client) -> None:
    assert run("tree", TWO, "-o", "ids").out == f"{TWO}\n{FOUR}\n{FIVE}\n"
    client.update_metadata(TWO, {"a": 1})
    found = json.loads(run("tree", TWO, "-o", "json").out)
    assert list(found) == [
        "root",
        "ancestors",
        "descendants",
        "truncated",
        "ancestors_truncated",
        "revision",
    ]
    assert found["root"]["run"]["metadata"] == {"a": 1}
    assert found["root"]["children"] == {"FAILED": 1}
    assert [node["run"]["run_id"] for node in found["ancestors"]] == [ONE]
    assert json.loads(run("tree", TWO, "-o", "jsonl").out) == found


# Histories and counts.


def test_a_history_tells_each_change(run: Run, client: Client, clock: ManualClock) -> None:
    client.create()
    clock.advance(HOUR_US)
    client.pause(ONE)
    clock.advance(MINUTE_US)
    client.resume(ONE)

    assert run("history", ONE) == (
        0,
        (
            "time                     when       version  state             by\n"
            "2026-03-01 12:00:30 UTC  1 h ago          1  active\n"
            "2026-03-01 13:00:30 UTC  1 min ago        2  active -> paused\n"
            "2026-03-01 13:01:30 UTC  now              3  paused -> active\n"
        ),
        "",
    )
    created, paused = (change.time for change in client.insights.history(ONE, limit=2))
    lines = run("history", ONE, "-o", "jsonl", "--limit", "2").out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "from_state": None,
            "to_state": "ACTIVE",
            "time": f"{created:%FT%T.%fZ}",
            "version": 1,
            "actor": "",
        },
        {
            "from_state": "ACTIVE",
            "to_state": "PAUSED",
            "time": f"{paused:%FT%T.%fZ}",
            "version": 2,
            "actor": "",
        },
    ]
    assert run("history", ONE, "--limit", "1").err == "There are more than these 1: see --limit.\n"


def test_a_count_is_a_number(run: Run, client: Client) -> None:
    for _ in range(3):
        client.create()
    client.cancel(ONE)
    client.archive(TWO)

    assert run("count") == (0, "3\n", "")
    assert run("count", "--archived").out == "4\n"
    assert run("count", "--state", "cancelled", "--state", "archived").out == "2\n"
    assert run("count", "--by-state").out == (
        "active     2\npaused     0\ncompleted  0\nfailed     0\ncancelled  1\nall        3\n"
    )
    assert run("count", "--state", "failed", "-o", "jsonl").out == '{"count": 0, "by_state": {"FAILED": 0}}\n'
    assert json.loads(run("count", "-o", "json").out)["count"] == 3


@pytest.mark.parametrize("arguments", [["history", ONE], ["count"], ["stats"]])
def test_what_has_no_ids_prints_none(run: Run, arguments: list[str]) -> None:
    assert run(*arguments, "-o", "ids") == (
        EXIT_USAGE,
        "",
        f"-o ids: what `{arguments[0]}` prints has no ids.\n",
    )


def test_the_nil_id_is_refused_by_the_server(run: Run) -> None:
    code, out, err = run("get", "00000000-0000-0000-0000-000000000000")

    assert (code, out) == (EXIT_REFUSED, "")
    assert err.startswith("INVALID_RUN_ID: ")
