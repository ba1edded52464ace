"""A load: processes of callers, what they wrote down, and a server that may be killed under them."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import grpc

from tests.property.model_arguments import Refused, Request
from tests.property.wire import message_of
from tests.trust.histories.callers import (
    STATUS_KEY,
    TICK,
    Part,
    Signals,
    address_file,
    recording_file,
    run_part,
)
from tests.trust.histories.mix import read_all
from tests.trust.histories.recording import Operation, Recorded, decoded, path_of, read_recording

PROCESSES: Final = 2
"""Of callers: as many as there are cores on a small machine."""

CALLERS: Final = 8
CALM_PART: Final = 10
"""One in so many operations comes before anything is killed."""

SILENCE_S: Final = 120.0
"""How long callers may show no sign of life."""

LAST_CALLER: Final = CALLERS
"""The number of the one that reads everything when the others have ended."""


@dataclass(frozen=True)
class Load:
    """A load that is running."""

    folder: Path
    operations: int
    signals: Signals

    def tell_address(self, target: str) -> None:
        """Tell callers where the server listens from now on."""
        new = self.folder / "address.new"
        new.write_text(target)
        new.rename(address_file(self.folder))

    def wait_for_calm(self) -> None:
        """Wait until every caller expects losses."""
        for _ in range(CALLERS):
            assert self.signals.calm.acquire(timeout=SILENCE_S), "callers are silent"

    def wait_for(self, operations: int) -> None:
        """Wait until about so many more operations were made."""
        for _ in range(max(1, operations // TICK)):
            assert self.signals.ticks.acquire(timeout=SILENCE_S), "callers are silent"


@contextmanager
def loading(folder: Path, target: str, *, operations: int, seed: str) -> Iterator[Load]:
    """Let callers make operations; what they wrote down is complete at the end.

    Args:
        folder: Where recordings go.
        target: Where the server listens at first.
        operations: At least so many altogether.
        seed: Decides what each caller asks for, but for what it is answered.
    """
    spawning = multiprocessing.get_context("spawn")
    signals = Signals(spawning.Semaphore(0), spawning.Semaphore(0), spawning.Event())
    load = Load(folder, operations, signals)
    load.tell_address(target)
    each = -(-operations // CALLERS)
    parts = [
        Part(folder, tuple(range(CALLERS))[first::PROCESSES], each, each // CALM_PART, seed)
        for first in range(PROCESSES)
    ]
    processes = [spawning.Process(target=run_part, args=(part, signals)) for part in parts]
    with mock.patch.dict(os.environ, GRPC_VERBOSITY="ERROR"):
        # A connection that is cut is nothing to tell.
        for process in processes:
            process.start()
    try:
        yield load
        signals.may_end.set()
        for process in processes:
            while process.is_alive():
                process.join(1)
                # Ticks show that it goes on.
                is_well = not process.is_alive() or signals.ticks.acquire(timeout=SILENCE_S)
                assert is_well, "callers are silent"
            assert process.exitcode == 0, "a caller failed; see what it printed"
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()


def read_at_the_end(folder: Path, target: str) -> list[Recorded]:
    """Return what the store holds when all callers have ended, as operations."""
    with grpc.insecure_channel(target) as channel:
        whole = _asked(channel, "ListRuns", {"include_archived": True, "page_size": 1_000})
        runs = decoded(0, whole).outcome
        assert not isinstance(runs, Refused)
        assert runs is not None
        assert "next_page_token" not in runs
        return [whole, *(_asked(channel, *read) for read in read_all(runs["runs"]))]


def _asked(channel: grpc.Channel, method: str, request: Request) -> Recorded:
    begin_ns = time.monotonic_ns()
    call = channel.unary_unary(path_of(method), request_serializer=None, response_deserializer=None)
    answer: bytes | None = None
    status, code = None, ""
    try:
        answer = call(message_of(method, request).SerializeToString(), timeout=SILENCE_S)
    except grpc.RpcError as error:
        # A run that was listed and is not there is for the judge.
        details: dict[str, Any] = dict(error.trailing_metadata() or ())
        status, code = details.get(STATUS_KEY), error.code().name
    return Recorded(LAST_CALLER, method, request, begin_ns, time.monotonic_ns(), answer, status, code)


def read_history(folder: Path) -> list[Operation]:
    """Return all that the callers wrote down, in no order."""
    recorded = [one for first in range(PROCESSES) for one in read_recording(recording_file(folder, first))]
    return [decoded(number, one) for number, one in enumerate(recorded)]
