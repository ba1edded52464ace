"""A server of two processes over one store on disk, for tests of the contract: calls go to each in turn.

The processes are started once for a session, and told over a pipe what to open and to serve, each on a port
of its own. The test's process holds the lock, as a supervisor does, and moves the clock of all of them.
"""

import mmap
import multiprocessing
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Self

import grpc

from runindex.v1 import insights_pb2_grpc as insights_grpc
from runindex.v1 import run_data_pb2_grpc as data_grpc
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex.v1 import templates_pb2_grpc as templates_grpc
from runindex_server.jobs.retention.board import Board
from runindex_server.kv.lmdb_store import LmdbStore, join_lmdb, open_held_lmdb
from runindex_server.kv.lock_file import LockFile
from runindex_server.logs import configure_logs
from runindex_server.rpc.server import Options, Server, start_server
from runindex_server.runs.bootstrap import initialise
from runindex_server.supervisor.memory import WorkerMemory
from tests.support.clock import START_US, ManualClock
from tests.support.server import WAIT_S, FailingStore, LoopThread

LOOK_INSIDE: Final = frozenset(
    {
        "test_a_call_whose_deadline_has_passed_is_not_executed",  # Holds the event loop up.
        "test_only_what_is_too_much_for_the_event_loop_leaves_it",  # Records what is read.
        "test_the_copy_is_given_up_when_the_caller_goes_away",  # Looks at open files.
        "test_it_is_refused_where_there_is_no_room",  # Takes the disk's room away.
        "test_work_ends_when_the_caller_goes_away",  # Makes the store slow.
    }
)
"""Tests of what goes on inside a server that runs in the tests' own process."""

WORKERS: Final = 2
MAP_BYTES: Final = 256 * 1024 * 1024


class SharedClock(ManualClock):
    """A clock that stands still in several processes, until a test moves it in one of them."""

    def __init__(self, path: Path) -> None:
        """Use the clock that is kept in a file."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, mmap.PAGESIZE)
        self._times = memoryview(mmap.mmap(fd, mmap.PAGESIZE)).cast("q")
        os.close(fd)

    def restart(self) -> None:
        """Begin anew, as another `ManualClock` would."""
        self._times[0], self._times[1] = START_US, 0

    def now_us(self) -> int:
        """Return the time, in microseconds since 1970-01-01 UTC."""
        return self._times[0]

    def monotonic_us(self) -> int:
        """Return how much time has passed, in microseconds."""
        return self._times[1]

    def set(self, now_us: int) -> None:
        """Set the wall clock to a time, earlier ones included; no time passes."""
        self._times[0] = now_us

    def advance(self, us: int) -> int:
        """Let microseconds pass, and return the new time; a negative number sets the wall clock back."""
        self._times[0] += us
        self._times[1] += max(us, 0)
        return self._times[0]


class _Host:
    """What a process of the pool does when it is told to."""

    def __init__(self, clock: SharedClock) -> None:
        self._loop = LoopThread()
        self._clock = clock
        self._open: dict[str, tuple[LmdbStore, Server]] = {}

    def serve(self, data_dir: Path, *, is_first: bool, options: dict[str, Any]) -> str:
        """Open a store and serve it, and return where."""
        return self._loop.run(self._serve(data_dir, is_first=is_first, options=options))

    async def _serve(self, data_dir: Path, *, is_first: bool, options: dict[str, Any]) -> str:
        given: dict[str, Any] = {"clock": self._clock, "map_bytes": MAP_BYTES, "on_fatal": _fatal}
        store = (
            open_held_lmdb(data_dir, initialise=initialise, **given)
            if is_first
            else join_lmdb(data_dir, **given)
        )
        memory = WorkerMemory(os.open(board_path(data_dir), os.O_RDWR))
        own = Options(run_jobs=False, board=Board(memory.board), **options)
        server = await start_server(store, address="127.0.0.1:0", clock=self._clock, options=own)
        self._open[str(data_dir)] = store, server
        return server.address

    def stop(self, data_dir: Path) -> None:
        """Stop serving a store, and close it; again does nothing."""

        async def stop(store: LmdbStore, server: Server) -> None:
            await server.stop(0)
            await store.close()

        if served := self._open.pop(str(data_dir), None):
            self._loop.run(stop(*served))

    def step_jobs(self, data_dir: Path) -> bool:
        """Let each background job take one step, and tell whether there was anything to do."""
        return self._loop.run(self._open[str(data_dir)][1].jobs.step())

    def run_jobs(self, data_dir: Path) -> None:
        """Let the background jobs work until they have nothing to do."""
        self._loop.run(self._open[str(data_dir)][1].jobs.run_until_idle())


def _host(connection: Connection, clock_path: Path) -> None:
    """Do what a session asks until it ends."""
    configure_logs("warning", "json")
    host = _Host(SharedClock(clock_path))
    with suppress(EOFError):
        while True:
            name, arguments, options = connection.recv()
            try:
                answer = True, getattr(host, name)(*arguments, **options)
            except Exception:  # noqa: BLE001  # The test fails with it.
                answer = False, traceback.format_exc()
            connection.send(answer)
    # What a test left open needs no closing.
    sys.stderr.flush()
    os._exit(0)


def _fatal() -> None:
    msg = "the outcome of a commit is unknown"
    raise AssertionError(msg)


def board_path(data_dir: Path) -> Path:
    """Return where the memory is kept that the processes of a store share."""
    return data_dir.with_name(f"{data_dir.name}.board")


class Pool:
    """The processes of a session.

    Attributes:
        clock: Of all of them.
    """

    def __init__(self, folder: Path) -> None:
        """Start them."""
        clock_path = folder / "clock"
        self.clock = SharedClock(clock_path)
        spawning = multiprocessing.get_context("spawn")
        self._connections = []
        self._processes = []
        for _ in range(WORKERS):
            ours, theirs = spawning.Pipe()
            process = spawning.Process(target=_host, args=(theirs, clock_path), daemon=True)
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)

    def tell(self, worker: int, name: str, *arguments: Any, **options: Any) -> Any:
        """Let a process do something, and return what that returns."""
        connection = self._connections[worker]
        connection.send((name, arguments, options))
        assert connection.poll(WAIT_S), f"worker {worker} hangs in {name}"
        is_done, answer = connection.recv()
        assert is_done, answer
        return answer

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(WAIT_S)


class AlternatingChannel(grpc.Channel):
    """A channel whose calls go to one server and another in turn."""

    def __init__(self, targets: list[str]) -> None:
        """Open a channel to each target."""
        self._channels = [grpc.insecure_channel(target) for target in targets]

    def _alternating(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return _Alternating([getattr(channel, name)(*arguments, **options) for channel in self._channels])

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes the calls of a method."""
        return self._alternating("unary_unary", arguments, options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes the calls of a method."""
        return self._alternating("unary_stream", arguments, options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes the calls of a method."""
        return self._alternating("stream_unary", arguments, options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        """Return what makes the calls of a method."""
        return self._alternating("stream_stream", arguments, options)

    def subscribe(self, callback: Any, try_to_connect: Any = None) -> None:
        """Refuse: there is more than one connection."""
        raise NotImplementedError

    def unsubscribe(self, callback: Any) -> None:
        """Refuse: there is more than one connection."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all channels."""
        for channel in self._channels:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> bool | None:
        self.close()
        return None


class _Alternating:
    """Calls of a method, each of the next server."""

    def __init__(self, calls: list[Any]) -> None:
        # `next` of a cycle is one step of the interpreter, whatever thread takes it.
        self._calls = cycle(calls)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return next(self._calls)(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(next(self._calls), name)


class WorkersServer:
    """A `tests.support.server.RunningServer` of several processes. Started when made."""

    def __init__(self, loop: LoopThread, pool: Pool, data_dir: Path, **options: Any) -> None:
        """Take the directory of its store, and further options of the servers."""
        self._loop = loop
        self._pool = pool
        self._data_dir = data_dir
        self._options = options
        self._channels: list[grpc.Channel] = []
        self._start()

    def _start(self) -> None:
        self._lock = LockFile.take_directory(self._data_dir)
        board_path(self._data_dir).write_bytes(bytes(mmap.PAGESIZE))
        self._targets = [
            self._pool.tell(worker, "serve", self._data_dir, is_first=worker == 0, options=self._options)
            for worker in range(WORKERS)
        ]
        self._store: FailingStore | None = None

    @property
    def store(self) -> FailingStore:
        """The store, joined by the test itself."""
        if self._store is None:
            joined = join_lmdb(self._data_dir, clock=self._pool.clock, map_bytes=MAP_BYTES, on_fatal=_fatal)
            self._store = FailingStore(joined)
        return self._store

    @property
    def target(self) -> str:
        """Where one of the processes can be called."""
        target: str = self._targets[0]
        return target

    def channel(self) -> grpc.Channel:
        """Return a channel whose calls go to the processes in turn."""
        return AlternatingChannel(self._targets)

    def stub(self) -> pb_grpc.RunIndexStub:
        """Return a stub on a channel of its own; closed with the server."""
        return pb_grpc.RunIndexStub(self._channel())

    def data_stub(self) -> data_grpc.RunDataStub:
        """Return a stub of RunData on a channel of its own; closed with the server."""
        return data_grpc.RunDataStub(self._channel())

    def insights_stub(self) -> insights_grpc.RunInsightsStub:
        """Return a stub of RunInsights on a channel of its own; closed with the server."""
        return insights_grpc.RunInsightsStub(self._channel())

    def templates_stub(self) -> templates_grpc.RunTemplatesStub:
        """Return a stub of RunTemplates on a channel of its own; closed with the server."""
        return templates_grpc.RunTemplatesStub(self._channel())

    def _channel(self) -> grpc.Channel:
        self._channels.append(self.channel())
        return self._channels[-1]

    def run_jobs(self) -> None:
        """Let the background jobs work until they have nothing to do."""
        self._pool.tell(0, "run_jobs", self._data_dir)

    def step_jobs(self) -> bool:
        """Let each background job take one step, and tell whether there was anything to do."""
        is_busy: bool = self._pool.tell(0, "step_jobs", self._data_dir)
        return is_busy

    def stop(self) -> None:
        """Close the channels of its stubs, stop serving, and close the store."""
        while self._channels:
            self._channels.pop().close()
        if self._store is not None:
            self._loop.run(self._store.close())
        for worker in range(WORKERS):
            self._pool.tell(worker, "stop", self._data_dir)
        self._lock.release()

    def restart(self) -> None:
        """Stop, and serve the same store again, on other ports."""
        self.stop()
        self._start()


@contextmanager
def pool_in(folder: Path) -> Iterator[Pool]:
    """Return a pool whose processes end with the session."""
    pool = Pool(folder)
    try:
        yield pool
    finally:
        pool.close()
