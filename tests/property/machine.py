"""The machine's frame: a server over a store on disk, its model, and the comparison of one with the other."""

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import grpc
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from runindex_server.kv.api import Store
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.runs.bootstrap import initialise
from tests.property.model import Cursor
from tests.property.model_arguments import DEFAULT, Answer, Refused, Request, canonical_id
from tests.property.model_data import DataCursor
from tests.property.model_insights import PlaceCursor
from tests.property.model_retention import NO_POLICY, Policy, StoreModel
from tests.property.model_search import Query
from tests.property.model_templates import ID_CHOSEN
from tests.property.vocabulary import CHOSEN_IDS, SPELLINGS, UNKNOWN_ID
from tests.property.wire import Stubs, ask, stored_policy
from tests.support.clock import DAY_US, SECOND_US, ManualClock
from tests.support.consistency import check_store
from tests.support.server import LoopThread, RunningServer

MAP_BYTES: Final = 64 * 1024 * 1024
MEMORY_DIR: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where the stores lie: what a disk does to them is another test's matter."""

STEPS_PER_LISTING: Final = 3
STEPS_PER_CHECK: Final = 6
"""Steps from one comparison of all runs, and of the whole store, to the next."""

numbers = st.integers(0, 999)
"""Choose a run, a spelling or a call made before: by number, as what there is to choose changes."""


class Walk(NamedTuple):
    """A collection that is being paged through."""

    method: str
    request: Request
    query: Query | None
    token: str
    cursor: Cursor | DataCursor | PlaceCursor


class Sent(NamedTuple):
    """A mutation that was sent with a request id, and not refused."""

    method: str
    request: Request


@cache
def server_loop() -> LoopThread:
    """Return the event loop of all servers of this process."""
    return LoopThread()


def fail() -> NoReturn:
    """Fail the test when the store gives up."""
    msg = "the store gave up"
    raise AssertionError(msg)


class MachineFrame(RuleBasedStateMachine):
    """A server, its model, and what the rules have in common.

    Attributes:
        retention_interval_s: From one scheduled pass of retention to the next; 0 for none.
    """

    retention_interval_s = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.data_dir = Path(tempfile.mkdtemp(prefix="runindex-model-", dir=MEMORY_DIR))
        self.server = self.start_server(NO_POLICY)
        self.connect()
        default = ask(self.stub, "GetRun", {"run_id": DEFAULT})
        self.model = StoreModel(create_us=default["run"]["create_time"], revision=default["revision"])
        self.model.schedule.interval_us = self.retention_interval_s * SECOND_US
        self.note_start()
        self.latest_us = self.clock.now_us()
        self.ids = [DEFAULT, *CHOSEN_IDS]
        self.walks: list[Walk] = []
        self.data_walks: list[Walk] = []
        self.walks_apart: list[Walk] = []
        self.sent: list[Sent] = []
        self.requests_made = 0
        self.steps = 0
        # The default run was created a moment after the store.
        self.turn(0)

    async def open_store(self) -> Store:
        return open_lmdb(
            self.data_dir / "store",
            clock=self.clock,
            map_bytes=MAP_BYTES,
            initialise=initialise,
            on_fatal=fail,
        )

    def start_server(self, default_policy: Policy) -> RunningServer:
        """Serve the store, with a policy for runs without one of their own."""
        return RunningServer(
            server_loop(),
            self.open_store,
            clock=self.clock,
            default_retention=stored_policy(default_policy),
            retention_interval_s=self.retention_interval_s,
        )

    def connect(self) -> None:
        self.channel = grpc.insecure_channel(self.server.target)
        self.stub = Stubs(self.channel)

    def note_start(self) -> None:
        """Let the model know that the server has started."""
        self.model.start(self.clock.now_us(), self.clock.monotonic_us())

    def teardown(self) -> None:
        self.channel.close()
        self.server.stop()
        shutil.rmtree(self.data_dir)

    def turn(self, us: int) -> None:
        """Turn the clock by microseconds, backwards when negative, but not before 1970."""
        self.model.wall_us = self.clock.advance(max(us, -self.model.wall_us))
        self.latest_us = max(self.latest_us, self.model.wall_us)

    # What rules choose.

    def run_id(self, number: int, spelling: int = 0) -> str:
        """Return the id of a run, mostly of one that exists, in one of its spellings."""
        if number % 8 == 0:
            return self.any_id(number // 8, spelling)
        living = [run_id for run_id in self.model.runs if run_id != DEFAULT]
        if number % 8 == 1 or not living:
            return DEFAULT
        return spelled(living[number // 8 % len(living)], spelling)

    def any_id(self, number: int, spelling: int = 0) -> str:
        """Return the id of a run that was, is or may be, or of none, in one of its spellings."""
        ids = [*self.ids, UNKNOWN_ID]
        return spelled(ids[number % len(ids)], spelling)

    def conditions(self, run_id: str, expected: str, *, identified: bool) -> Request:
        """Return the common fields of a mutation: an expected version, right or wrong, and a request id."""
        fields: Request = {}
        run = self.model.runs.get(canonical_id(run_id) or "")
        version = run.version if run else 1
        if expected:
            fields["expected_version"] = {"right": version, "next": version + 1, "zero": 0}[expected]
        if identified:
            self.requests_made += 1
            # Some as long as they may be, and not of one byte a character.
            stem = f"{self.requests_made}-"
            fields["request_id"] = stem + "é" * (32 - len(stem)) if self.requests_made % 3 == 0 else stem
        return fields

    # Calls, compared.

    def call(self, method: str, request: Request) -> None:
        """Make a call that is no page, and hold its answer against the model's."""
        answer = self.answer_of(method, request)
        made_id = id_made(method, answer)
        expected = outcome_of(lambda: self.model.call(method, request, made_id=made_id))
        compare(method, request, answer, expected)
        if method in ID_CHOSEN and isinstance(expected, dict):
            self.note_id(made_id, is_chosen=ID_CHOSEN[method] in request)
        if "request_id" in request and isinstance(expected, dict):
            self.sent.append(Sent(method, request))

    def note_id(self, run_id: str, *, is_chosen: bool) -> None:
        """Remember an id for later rules."""
        if not is_chosen:
            assert run_id[14] == "7", f"the server makes a UUIDv7, not {run_id}"
        if run_id not in self.ids:
            self.ids.append(run_id)

    def page(
        self, method: str, request: Request, *, query: Query | None = None, walk: Walk | None = None
    ) -> Walk | None:
        """Ask for a page, hold it against the model's, and return how to go on, or None at the end."""
        sent = request if walk is None else {**request, "page_token": walk.token}
        cursor = None if walk is None else walk.cursor
        answer = self.answer_of(method, sent)
        token = answer.pop("next_page_token", "") if isinstance(answer, dict) else ""
        following: list[Cursor | DataCursor | PlaceCursor | None] = [None]

        def expect() -> Answer:
            page, following[0] = self.model.page(method, request, cursor=cursor, query=query)
            return page

        compare(method, sent, answer, outcome_of(expect))
        next_cursor = following[0]
        assert bool(token) == (next_cursor is not None), f"{method} {sent}: next_page_token is {token!r}"
        return None if next_cursor is None else Walk(method, request, query, token, next_cursor)

    def begin_apart(self, method: str, request: Request) -> None:
        """Ask for a first page of a collection without views, and keep what is needed for the next."""
        walk = self.page(method, request)
        if walk is not None:
            self.walks_apart.append(walk)

    def answer_of(self, method: str, request: Request) -> Answer | Refused:
        """Return what the server answers or refuses."""
        return outcome_of(lambda: ask(self.stub, method, request))

    # What holds after every step.

    @invariant()
    def everything_is_as_the_model_has_it(self) -> None:
        self.steps += 1
        if self.steps % STEPS_PER_LISTING == 0:
            self.page("ListRuns", {"include_archived": True, "page_size": 1_000})
        if self.steps % STEPS_PER_CHECK == 0:
            server_loop().run(check_store(self.server.store))

    def is_remembered(self, request_id: str) -> bool:
        """Tell whether a request id was never beyond the time for which it is kept, by any clock."""
        answered_us = self.model.remembered[request_id][3]
        return max(self.latest_us, self.model.issued_us) - answered_us < DAY_US


def spelled(run_id: str, spelling: int) -> str:
    """Return a run id as a caller may write it."""
    return run_id if run_id == DEFAULT else SPELLINGS[spelling % len(SPELLINGS)](run_id)


def id_made(method: str, answer: Answer | Refused) -> str:
    """Return the id that the server gave to a run, also to one that would pass a limit; empty for none."""
    if method not in ID_CHOSEN:
        return ""
    told = {"run_id": answer.metadata.get("runId")} if isinstance(answer, Refused) else answer
    return told.get("run", told).get("run_id") or ""


def outcome_of(call: Any) -> Answer | Refused:
    """Return what a call answers, or its refusal."""
    try:
        answer: Answer = call()
    except Refused as refused:
        return refused
    return answer


def compare(method: str, request: Request, answer: Answer | Refused, expected: Answer | Refused) -> None:
    """Hold an answer against the model's.

    Raises:
        AssertionError: They differ.
    """
    assert _plain(answer) == _plain(expected), (
        f"{method} {request}\n  server: {_plain(answer)}\n  model:  {_plain(expected)}"
    )


def _plain(outcome: Answer | Refused) -> Any:
    """Return an answer or a refusal as plain values."""
    if isinstance(outcome, Refused):
        return outcome.code, outcome.reason, outcome.metadata
    return outcome
