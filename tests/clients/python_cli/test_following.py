"""`list --follow`: what is new, as it comes, until Ctrl-C."""

import json
from collections.abc import Callable

import grpc
import pytest

from runindex import Client
from runindex.cli.exits import EXIT_NO_ANSWER, EXIT_USAGE
from runindex.v1 import run_index_pb2 as pb
from tests.clients.python.faulty import FaultyServer
from tests.clients.python_cli.conftest import Run, Told, run_id
from tests.support.clock import MINUTE_US, ManualClock

ONE, TWO, THREE, FOUR = (run_id(number) for number in range(1, 5))
TITLES = "time (UTC)  run                                   state                  tags"

Follow = Callable[..., Told]


@pytest.fixture
def follow(run: Run) -> Follow:
    """Return what follows while things happen, one after the other between two looks, and then Ctrl-C."""

    def follow(*arguments: str, meanwhile: tuple[Callable[[], object], ...] = ()) -> Told:
        events = iter(meanwhile)

        def sleep(_seconds: float) -> None:
            event = next(events, None)
            if event is None:
                raise KeyboardInterrupt
            event()

        return run("list", "--follow", *arguments, sleep=sleep)

    return follow


def test_new_runs_and_changes_of_state_are_printed_as_they_come(
    follow: Follow, client: Client, clock: ManualClock
) -> None:
    client.create(tags=["nightly", "eu"])
    client.create()

    def fail() -> None:
        clock.advance(MINUTE_US)
        client.fail(ONE, "no")
        client.add_tags(TWO, "unseen")

    def begin() -> None:
        clock.advance(MINUTE_US)
        client.create(tags=["new"])
        client.create(tags=["newer"])

    told = follow(meanwhile=(lambda: None, fail, begin, lambda: client.delete(THREE)))

    assert told == (
        0,
        (
            f"{TITLES}\n"
            "12:00:30    default                               active\n"
            f"12:00:30    {ONE}  active                 nightly, eu\n"
            f"12:00:30    {TWO}  active\n"
            f"12:01:30    {ONE}  active -> failed       nightly, eu\n"
            f"12:02:30    {THREE}  active                 new\n"
            f"12:02:30    {FOUR}  active                 newer\n"
            f"12:02:30    {THREE}  active -> deleted      new\n"
        ),
        "",
    )


def test_runs_that_match_no_more_are_told_once(follow: Follow, client: Client) -> None:
    client.create(tags=["nightly"])
    client.create(tags=["nightly"])
    told = follow(
        "--state",
        "active",
        "--tag",
        "nightly",
        "-o",
        "jsonl",
        meanwhile=(
            lambda: client.close_run(ONE),
            lambda: client.remove_tags(TWO, "nightly"),
            lambda: client.archive(ONE),
        ),
    )
    lines = [json.loads(line) for line in told.out.splitlines()]

    assert [(line["run_id"], line["state"]) for line in lines] == [
        (ONE, "ACTIVE"),
        (TWO, "ACTIVE"),
        (ONE, "COMPLETED"),
    ]


def test_only_the_newest_are_followed(follow: Follow, client: Client) -> None:
    client.create()
    client.create()
    told = follow(
        "--limit",
        "2",
        "-o",
        "ids",
        meanwhile=(
            client.create,
            lambda: client.cancel(ONE),
            lambda: client.cancel(TWO),
        ),
    )

    assert told == (0, f"{ONE}\n{TWO}\n{THREE}\n{TWO}\n", "")


def test_a_deleted_run_is_told_to_programs(follow: Follow, client: Client) -> None:
    client.create()
    told = follow("--since", "1h", "--limit", "1", "-o", "jsonl", meanwhile=(lambda: client.delete(ONE),))
    first, second = told.out.splitlines()

    # The default run takes its place in the list, and is no news.
    assert (json.loads(first)["run_id"], second) == (ONE, f'{{"run_id": "{ONE}", "deleted": true}}')


def test_it_asks_as_often_as_it_is_told(run: Run) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    assert run("list", "-f", "--every", "0.5", sleep=sleep).code == 0
    assert waits == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["-o", "json"],
            "--follow has no end, and so no JSON document: -o jsonl prints a line for each change.\n",
        ),
        (["--limit", "1001"], "--follow follows 1,000 runs at most.\n"),
    ],
)
def test_what_cannot_be_followed_is_wrong_usage(run: Run, arguments: list[str], told: str) -> None:
    assert run("list", "--follow", *arguments) == (EXIT_USAGE, "", told)


@pytest.mark.parametrize("every", ["0.1", "nan", "inf", "3601", "x"])
def test_it_does_not_ask_too_often_or_never(run: Run, every: str) -> None:
    assert run("list", "--follow", "--every", every).code == EXIT_USAGE


def test_it_goes_on_when_the_server_comes_back(invoke: Run, faulty: Callable[..., FaultyServer]) -> None:
    first = pb.ListRunsResponse(runs=[pb.Run(run_id=ONE, state=pb.RUN_STATE_ACTIVE)])
    second = pb.ListRunsResponse(runs=[pb.Run(run_id=ONE, state=pb.RUN_STATE_PAUSED)])
    away = [grpc.StatusCode.UNAVAILABLE] * 5
    server = faulty(first, *away, second)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if waits.count(2.0) == 3:
            raise KeyboardInterrupt

    told = invoke("list", "--follow", "-o", "jsonl", "--address", server.target, sleep=sleep)

    assert (told.code, told.err) == (0, f"No answer from {server.target}: trying again.\n")
    assert [json.loads(line)["state"] for line in told.out.splitlines()] == ["ACTIVE", "PAUSED"]


def test_without_a_server_there_is_nothing_to_follow(invoke: Run) -> None:
    assert invoke("list", "--follow", "-o", "ids", "--address", "127.0.0.1:1") == (
        EXIT_NO_ANSWER,
        "",
        "No answer from 127.0.0.1:1: is a server running there?\n",
    )
