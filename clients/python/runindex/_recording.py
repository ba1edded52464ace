"""Records runs through a process of its own, for programs that must not wait for a recording or break by it.

No thread and no gRPC comes into the program that is recorded: they would take their share of its time, and
where the program forks, gRPC's fork handlers print to its standard error and have aborted its children.
What is to be recorded is written to a socket, and kept in a bounded buffer while that is full;
`_recording_process` reads it at the other end and makes the calls.
"""

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import runindex

PROCESS: Final = "runindex._recording_process"

BUFFER_BYTES_MAX: Final = 16 * 1024 * 1024
"""What may wait because the server is slow: some ten thousand runs."""

DRAIN_S: Final = 60.0
"""How long `drain` waits for the process to take what waits, and then again for it to finish. Only a server
that is slow needs it: of one that does not answer the process tells soon."""

ERROR_BYTES_MAX: Final = 16 * 1024
TEXT_BYTES_MAX: Final = 4 * 1024
TAG_BYTES_MAX: Final = 128
TAGS_MAX: Final = 64

State = Literal["COMPLETED", "FAILED", "CANCELLED"]

# A program may have given SIGPIPE its default action, which is to end the program.
_SEND_FLAGS: Final = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)


@dataclass(frozen=True, slots=True)
class Run:
    """A run to be recorded. Its id is made here, so that nobody waits for the server to learn it.

    Attributes:
        tags: Those that are no tags by the contract are left out.
        metadata: A JSON object within the contract's limits.
        parent: Its parent, begun before it; None for a root.
    """

    tags: list[str]
    metadata: Mapping[str, Any]
    parent: "Run | None" = None
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class End:
    """How a run ends, and what is known of it only then.

    Attributes:
        state: How.
        error: Why it failed; told for a FAILED run only.
        tags: To be added to those that it has.
        metadata: To be merged into what it has.
    """

    state: State
    error: str = ""
    tags: list[str] = field(default_factory=list)
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Recorder:
    """Records beginnings and ends of runs until something fails; then it stops for good.

    After `start` no method raises what concerns the recording, and none but `drain` waits.

    Attributes:
        recorded: How many runs the server has created, as far as is known. Known when drained.
        problem: Why not all is recorded, in one line; empty while there is no reason. Known when drained.
    """

    def __init__(self) -> None:
        """Prepare; nothing is recorded before `start`."""
        self.recorded = 0
        self.problem = ""
        self._buffer = bytearray()
        self._socket: socket.socket
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, address: str) -> None:
        """Start the process that makes the calls.

        Args:
            address: Where the server listens, as gRPC names it.

        Raises:
            OSError: No process can be started.
        """
        # The package that runs here, and nothing from the folder in which the program happens to run.
        path = [str(Path(runindex.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # Ourselves.
                [sys.executable, "-P", "-W", "ignore", "-m", PROCESS, address],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))},
                start_new_session=True,  # Ctrl-C is for the program; the process ends after it.
            )

    def begin(self, run: Run) -> None:
        """Have a run created."""
        self._put(
            {
                "run_id": run.run_id,
                "parent_id": run.parent.run_id if run.parent else None,
                "tags": tags_of(run.tags),
                "metadata": run.metadata,
            }
        )

    def end(self, run: Run, end: End) -> None:
        """Have a run ended that was begun."""
        self._put(
            {
                "run_id": run.run_id,
                "state": end.state,
                "error": text(end.error.strip(), ERROR_BYTES_MAX) or "it failed without a word",
                "tags": tags_of(end.tags),
                "metadata": end.metadata,
            }
        )

    def stop(self, problem: str) -> None:
        """Record nothing more because of a problem; the first is kept. What is under way is cancelled."""
        self.problem = self.problem or text(" ".join(problem.split()), 300)

    def drain(self) -> None:
        """Wait until all is recorded or it is clear that it won't be, a bounded time; the last call."""
        if self._process is None:
            return
        self._put(None)
        try:
            self._finish()
        except (OSError, ValueError) as fault:
            self.stop(f"no answer from the recording process: {fault}")
        except KeyboardInterrupt:
            self.stop("interrupted while the last calls were made")
        self._socket.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _finish(self) -> None:
        self._socket.settimeout(DRAIN_S)
        self._socket.sendall(self._buffer)
        self._socket.shutdown(socket.SHUT_WR)
        with self._socket.makefile("rb") as answers:
            answer = json.loads(answers.readline())
        self.recorded = answer["recorded"]
        if answer["problem"]:
            self.stop(answer["problem"])

    def _put(self, entry: Mapping[str, Any] | None) -> None:
        if self.problem:
            return
        self._buffer += json.dumps(entry).encode() + b"\n"
        try:
            while self._buffer:
                del self._buffer[: self._socket.send(self._buffer, _SEND_FLAGS)]
        except BlockingIOError:
            if len(self._buffer) > BUFFER_BYTES_MAX:
                self.stop(f"the server is {BUFFER_BYTES_MAX // 1024**2} MiB behind")
        except OSError as fault:
            self.stop(f"the recording process is gone: {fault}")


def text(value: str, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """Return text as the contract takes it: valid UTF-8, cut to a number of bytes."""
    encoded = value.encode("utf-8", "backslashreplace")
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[: bytes_max - len("…".encode())].decode("utf-8", "ignore") + "…"


def tags_of(names: Iterable[str]) -> list[str]:
    """Return names, without duplicates and in their order, as far as the contract takes them for tags."""
    fit = (name for name in names if name.isprintable() and 0 < len(name.encode()) <= TAG_BYTES_MAX)
    return list(dict.fromkeys(fit))[:TAGS_MAX]
