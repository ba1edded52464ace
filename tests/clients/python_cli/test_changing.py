"""What changes runs: what is done, what is asked first, what is shown, and what is told of what fails."""

import json
from collections.abc import Callable

import grpc
import pytest

from runindex import Client, RunState
from runindex.cli import asking
from runindex.cli.exits import (
    EXIT_DECLINED,
    EXIT_NO_ANSWER,
    EXIT_NO_RIGHT,
    EXIT_NOT_FOUND,
    EXIT_REFUSED,
    EXIT_USAGE,
)
from runindex.v1 import run_index_pb2 as pb
from tests.clients.python.faulty import FaultyServer, refusal
from tests.clients.python_cli.conftest import Run, run_id
from tests.support.calls import UNKNOWN_ID
from tests.support.clock import HOUR_US, ManualClock

ONE, TWO, THREE, FOUR = (run_id(number) for number in range(1, 5))
MISSING = f"RUN_NOT_FOUND: No run has the id {UNKNOWN_ID}.\n"

CHANGES = {
    "close": ([], "closed", RunState.COMPLETED),
    "fail": (["--error", "no"], "failed", RunState.FAILED),
    "cancel": ([], "cancelled", RunState.CANCELLED),
    "archive": ([], "archived", RunState.ARCHIVED),
    "pause": ([], "paused", RunState.PAUSED),
}
ASK = ("fail", "cancel", "archive", "delete")


@pytest.fixture(autouse=True)
def recorded(client: Client, clock: ManualClock) -> None:
    """Record three runs an hour ago."""
    client.create(tags=["nightly", "eu"])
    client.create(parent=ONE)
    client.create(tags=["nightly"])
    clock.advance(HOUR_US)


def asks(command: str) -> str:
    return (
        f"`{command}` asks first, and there is no terminal to ask on: "
        "--yes does it, --dry-run shows what it would hit.\n"
    )


def options(command: str) -> list[str]:
    return CHANGES[command][0] if command in CHANGES else []


@pytest.mark.parametrize("command", CHANGES)
def test_runs_are_changed(run: Run, client: Client, command: str) -> None:
    more, done, state = CHANGES[command]
    yes = [] if command == "pause" else ["--yes"]

    assert run(command, *more, *yes, ONE, TWO[:13]) == (0, f"{done} {ONE}\n{done} {TWO}\n", "")
    assert [client.get(run_id).state for run_id in (ONE, TWO)] == [state, state]


def test_a_run_is_failed_with_why(run: Run, client: Client) -> None:
    assert run("fail", ONE, "-e", "Timeout\nafter 31 s", "-y").code == 0
    assert client.get(ONE).error == "Timeout\nafter 31 s"
    code, out, err = run("fail", TWO, "-y")
    assert (code, out) == (EXIT_USAGE, "")
    assert "Missing option '--error'" in err


def test_paused_runs_are_resumed(run: Run, client: Client) -> None:
    client.pause(ONE)

    assert run("resume", ONE) == (0, f"resumed {ONE}\n", "")
    assert client.get(ONE).state == RunState.ACTIVE


def test_what_was_done_is_told_to_programs(run: Run) -> None:
    assert run("pause", ONE, TWO, "-o", "ids").out == f"{ONE}\n{TWO}\n"
    changes = json.loads(run("resume", ONE, TWO, "-o", "json").out)
    assert [(change["run_id"], change["version"]) for change in changes] == [(ONE, 3), (TWO, 3)]
    assert list(changes[0]) == ["run_id", "version", "update_time", "revision"]
    (line,) = run("delete", ONE, "-y", "-o", "jsonl").out.splitlines()
    assert json.loads(line) == {
        "run_id": ONE,
        "kv_keys": 0,
        "events": 0,
        "state_cells": 0,
        "documents": 0,
        "data_bytes": 0,
        "orphaned_children": 1,
        "revision": 9,
    }


# What is asked.


@pytest.mark.parametrize("command", ASK)
def test_what_cannot_be_undone_asks_and_does_nothing_without_a_terminal(
    run: Run, client: Client, command: str
) -> None:
    assert run(command, ONE, *options(command)) == (EXIT_USAGE, "", asks(command))
    assert run(command, *options(command), stdin=ONE) == (EXIT_USAGE, "", asks(command))
    assert client.get(ONE).version == 1


def test_close_asks_about_several_only(run: Run, client: Client) -> None:
    assert run("close", ONE, TWO) == (EXIT_USAGE, "", asks("close"))
    assert client.get(ONE).version == 1
    assert run("close", ONE) == (0, f"closed {ONE}\n", "")


TABLE = (
    "run                                   state   created  took  tags\n"
    f"{THREE}  active  1 h ago  -     nightly\n"
    f"{ONE}  active  1 h ago  -     nightly, eu\n"
)


@pytest.mark.parametrize("command", ["close", "fail", "cancel", "archive"])
def test_the_question_shows_what_would_be_hit(run: Run, client: Client, command: str) -> None:
    question = f"{TABLE}{command.capitalize()} these 2 runs? [y/N] "
    declined = (EXIT_DECLINED, "", f"{question}Nothing was done.\n")

    assert run(command, THREE, ONE, *options(command), can_ask=True, stdin="n\n") == declined
    assert run(command, THREE, ONE, *options(command), can_ask=True, stdin="\n") == declined
    assert {client.get(run_id).version for run_id in (ONE, THREE)} == {1}
    _, done, state = CHANGES[command]
    assert run(command, THREE, ONE, *options(command), can_ask=True, stdin="Yes\n") == (
        0,
        f"{done} {THREE}\n{done} {ONE}\n",
        question,
    )
    assert {client.get(run_id).state for run_id in (ONE, THREE)} == {state}


def test_no_answer_is_no_agreement(run: Run, client: Client) -> None:
    code, out, err = run("cancel", ONE, can_ask=True)

    assert (code, out) == (EXIT_DECLINED, "")
    assert err.endswith("Cancel this run? [y/N] \nNothing was done.\n")
    assert client.get(ONE).version == 1


def test_what_has_changed_since_it_was_shown_is_left_alone(
    run: Run, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def agree(_question: str) -> bool:
        client.add_tags(ONE, "precious")
        return True

    monkeypatch.setattr(asking, "_confirm", agree)
    code, out, err = run("delete", ONE, THREE, can_ask=True)

    assert (code, out) == (EXIT_REFUSED, f"deleted {THREE}, which held nothing\n")
    assert err.endswith(f"VERSION_MISMATCH: Run {ONE} is at version 2, not 1; read it again.\n")
    assert client.get(ONE).tags == ("nightly", "eu", "precious")


def test_nothing_to_hit_is_nothing_to_ask(run: Run) -> None:
    assert run("cancel", UNKNOWN_ID, can_ask=True) == (EXIT_NOT_FOUND, "", MISSING)
    assert run("cancel", "--yes") == (0, "", "")
    assert run("cancel", "--yes", "-o", "json") == (0, "[]\n", "")
    assert run("cancel", UNKNOWN_ID, "-o", "json", can_ask=True).out == "[]\n"


# What would be hit.


@pytest.mark.parametrize("command", [*CHANGES, "resume", "delete"])
def test_a_dry_run_does_nothing(run: Run, client: Client, command: str) -> None:
    code, out, err = run(command, ONE, UNKNOWN_ID, *options(command), "--dry-run")

    assert (code, err) == (EXIT_NOT_FOUND, f"{MISSING}Dry run: nothing was done to 1 run.\n")
    assert out.splitlines()[1].startswith(f"{ONE}  active  1 h ago  -     nightly, eu")
    assert client.get(ONE).version == 1
    assert run(command, ONE, *options(command), "--dry-run", "-o", "ids") == (0, f"{ONE}\n", "")


def test_of_what_is_deleted_it_is_told_what_it_holds(run: Run, client: Client) -> None:
    data = client.data(ONE)
    data.put("answer", 42)
    data.append("log", "a", "b")
    data.set_state("step", 1)
    data.set_document("plan", {})
    data.set_document("notes", {})
    held = "1 key, 2 events, 1 cell, 2 documents, 1 child that stays"

    assert run("delete", "--dry-run", ONE, TWO) == (
        0,
        (
            "run                                   state   created  took  tags         holds\n"
            f"{ONE}  active  1 h ago  -     nightly, eu  {held}\n"
            f"{TWO}  active  1 h ago  -                  nothing\n"
        ),
        "Dry run: nothing was done to 2 runs.\n",
    )
    (line,) = run("delete", "--dry-run", ONE, "-o", "jsonl").out.splitlines()
    assert json.loads(line)["holdings"] == {
        "kv_keys": 1,
        "events": 2,
        "state_cells": 1,
        "documents": 2,
        "children": 1,
    }
    code, out, err = run("delete", ONE, can_ask=True, stdin="y\n")
    assert (code, err.splitlines()[1].split("  ")[-1]) == (0, held)
    assert out == (
        f"deleted {ONE}, which held 1 key, 2 events, 1 cell, 2 documents, 36 B, "
        "1 child without a parent now\n"
    )
    assert client.get(ONE, default=None) is None


def test_what_is_held_is_counted_up_to_a_bound(
    run: Run, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runindex.cli.holdings.COUNTED_MAX", 2)
    for key in "abc":
        client.data(ONE).put(key, 1)
        client.data(ONE).append("log", 1)

    assert "2 or more keys, 3 events, 1 child that stays\n" in run("delete", "--dry-run", ONE).out


# What fails.


def test_what_fails_is_told_and_the_others_go_on(run: Run, client: Client) -> None:
    client.close_run(TWO)
    told = (
        f"INVALID_STATE_TRANSITION: Run {TWO} is RUN_STATE_COMPLETED and cannot become RUN_STATE_CANCELLED: "
        "only RUN_STATE_ARCHIVED can follow.\n"
    )

    assert run("cancel", "--yes", ONE, TWO, THREE) == (
        EXIT_REFUSED,
        f"cancelled {ONE}\ncancelled {THREE}\n",
        told,
    )
    assert run("pause", UNKNOWN_ID, "abcd") == (
        EXIT_NOT_FOUND,
        "",
        f"No id begins with abcd, of all runs, archived ones too.\n{MISSING}",
    )
    assert run("cancel", "--yes", UNKNOWN_ID, TWO)[0] == EXIT_REFUSED
    assert run("cancel", "--yes", "default").err == (
        "DEFAULT_RUN_PROTECTED: The default run is immortal: it does not allow 'cancel'.\n"
    )


def test_what_is_listed_is_hit(run: Run, client: Client) -> None:
    listed = run("list", "--tag", "nightly", "-o", "ids").out

    assert run("cancel", "--yes", stdin=listed).out == f"cancelled {THREE}\ncancelled {ONE}\n"
    assert [found.run_id for found in client.runs(states="active")] == [TWO, "default"]


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (
            refusal(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN"),
            EXIT_NO_ANSWER,
            "SHUTTING_DOWN: refused: SHUTTING_DOWN\n",
        ),
        (
            refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
            EXIT_NO_RIGHT,
            "PERMISSION_DENIED: refused: PERMISSION_DENIED\n",
        ),
    ],
)
def test_what_would_fail_for_all_ends_it(
    invoke: Run, faulty: Callable[..., FaultyServer], status: object, code: int, told: str
) -> None:
    server = faulty(pb.PauseRunResponse(version=2), status)

    assert invoke("pause", ONE, TWO, THREE, "--address", server.target) == (code, f"paused {ONE}\n", told)
    assert {request.run_id for request in server.requests(pb.PauseRunRequest)} == {ONE, TWO}


def test_json_is_whole_also_when_it_ends_early(invoke: Run, faulty: Callable[..., FaultyServer]) -> None:
    server = faulty(pb.PauseRunResponse(version=2), grpc.StatusCode.PERMISSION_DENIED)
    code, out, err = invoke("pause", ONE, TWO, "-o", "json", "--address", server.target)

    assert (code, [change["run_id"] for change in json.loads(out)]) == (EXIT_NO_RIGHT, [ONE])
    assert err == f"The call to {server.target} failed: PERMISSION_DENIED: as it was told\n"
