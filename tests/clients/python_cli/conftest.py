"""Fixtures of the command line: a server whose ids and times are known, and commands that call it."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from typer.testing import CliRunner

from runindex import Client
from runindex.cli.app import app
from runindex.cli.session import World
from runindex_server.schema.run import RunId, parse_run_id
from tests.clients.python.faulty import FaultyServer, faulty_servers
from tests.support.clock import ManualClock
from tests.support.server import RunningServer, StartServer

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Told(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Told]


def run_id(number: int) -> str:
    """Return the id of the run that the server makes as the first, the second and so on."""
    return f"0192f3aa-{number:04x}-7000-8000-000000000000"


@pytest.fixture
def store_kind() -> str:
    """Return the store of the server: what it stores is tested elsewhere."""
    return "memory"


def ids_in_a_row() -> Callable[[], RunId]:
    """Return what makes ids that tests know."""
    numbers = itertools.count(1)

    def make() -> RunId:
        made = parse_run_id(run_id(next(numbers)))
        assert made is not None
        return made

    return make


@pytest.fixture
def server(start: StartServer) -> RunningServer:
    """Return a server that gives ids in a row."""
    return start(new_run_id=ids_in_a_row())


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    """Return a client of the server."""
    with Client(server.target) as client:
        yield client


@pytest.fixture
def world(clock: ManualClock) -> World:
    """Return what is around commands: the clock of the server, no waiting, and no terminal."""
    return World(
        now=lambda: EPOCH + timedelta(microseconds=clock.now_us()),
        sleep=lambda _: None,
        is_typed=False,
        can_ask=False,
        can_draw=False,
        can_draw_errors=False,
    )


@pytest.fixture
def invoke(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs a command; what it is given by name changes the world."""
    for name in ("RUNINDEX_ADDRESS", "RUNINDEX_TOKEN", "RUNINDEX_TLS_CA", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    def run(*arguments: str, stdin: str | bytes = "", **changes: Any) -> Told:
        obj = replace(world, **changes)
        result = CliRunner().invoke(app, list(arguments), input=stdin, obj=obj, prog_name="runindex")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Told(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def run(invoke: Run, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs a command on the server."""
    monkeypatch.setenv("RUNINDEX_ADDRESS", server.target)
    return invoke


@pytest.fixture
def faulty() -> Iterator[Callable[..., FaultyServer]]:
    """Return what starts servers that answer as they are told; they are stopped after the test."""
    with faulty_servers() as start:
        yield start


def is_uuid(text: str) -> bool:
    """Tell whether a text is a canonical id."""
    return str(UUID(text)) == text
