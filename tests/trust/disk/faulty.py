"""Commands of the server in processes of their own, whose n-th call to the disk fails."""

import errno
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

SHIM_SOURCE: Final = Path(__file__).with_name("diskfault.c")
WAIT_S: Final = 120.0
MAP_BYTES: Final = 16 * 1024 * 1024

_PLAN: Final = struct.Struct("=QQQQQ32s256s")
FOR_EVER: Final = 2**63


class Fault(Enum):
    """How a call fails; the number is that of the error, 0 for writing only half."""

    EIO = errno.EIO
    ENOSPC = errno.ENOSPC
    EINTR = errno.EINTR
    SHORT = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Which calls fail.

    Attributes:
        fault: How.
        first: The number of the first, from 1; 0 for none.
        is_lasting: Whether all after it do, too.
    """

    fault: Fault = Fault.EIO
    first: int = 0
    is_lasting: bool = False

    def __str__(self) -> str:
        """Tell it."""
        return f"{self.fault.name} at call {self.first}{' and from then on' if self.is_lasting else ''}"


class PlanFile:
    """A plan where the processes that it is for find it."""

    def __init__(self, path: Path) -> None:
        """Make the file."""
        path.write_bytes(bytes(_PLAN.size))
        self.path = path
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _PLAN.size)

    def set(self, plan: Plan) -> None:
        """Begin to count anew, by another plan."""
        last = FOR_EVER if plan.is_lasting else plan.first
        self._shared[:] = _PLAN.pack(plan.first, last, plan.fault.value, 0, 0, b"", b"")

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return int(_PLAN.unpack(self._shared[:])[3])

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return int(_PLAN.unpack(self._shared[:])[4])

    @property
    def what(self) -> str:
        """What the first of them was."""
        name, path = _PLAN.unpack(self._shared[:])[5:]
        return f"{name.rstrip(bytes(1)).decode()} of {path.rstrip(bytes(1)).decode()}"


def build_shim(folder: Path) -> Path:
    """Compile what lets calls fail, and return it."""
    shim = folder / "diskfault.so"
    command = ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(shim), str(SHIM_SOURCE), "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert built.returncode == 0, built.stderr
    return shim


class Nursery:
    """Starts commands of the server, each in a process that was forked before anything of it ran.

    So it need not load all that it consists of each time, which takes ten times as long as it then works.
    """

    def __init__(self, plan: PlanFile, shim: Path) -> None:
        """Load the server.

        Args:
            plan: By which calls fail; several may share it.
            shim: From `build_shim`.
        """
        self._plan = plan
        self._log = plan.path.with_name(f"log-{id(self)}")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.trust.disk.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LD_PRELOAD": str(shim), "PYTHONUNBUFFERED": "1"},
        )

    def start(self, root: Path, *arguments: str, uid: int = 0, umask: int = 0o022) -> "Command":
        """Start a command.

        Args:
            root: A folder, in which its calls are counted, and fail by the plan.
            arguments: Of the command.
            uid: Whose process it is; 0 for that of the test.
            umask: Of its process.
        """
        paths = {"root": str(root), "plan": str(self._plan.path), "log": str(self._log)}
        self._send({"arguments": arguments, "uid": uid, "umask": umask, **paths})
        return Command(self, int(self.next_line().split()[1]), self._log)

    def _send(self, asked: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def next_line(self) -> str:
        """Return the next line that the command writes, or that tells how it ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "what starts commands is gone"
        return line

    def close(self) -> None:
        """End it. None of its commands may be running."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(WAIT_S)
        self._process.stdout.close()


class Command:
    """A command that runs.

    Attributes:
        code: How it ended; None while it runs.
    """

    def __init__(self, nursery: Nursery, pid: int, log: Path) -> None:
        """Take its process."""
        self._nursery = nursery
        self._pid = pid
        self._log = log
        self.code: int | None = None

    def target(self) -> str | None:
        """Wait until it serves, and return where; None when it has ended."""
        while self.code is None:
            line = self._next_line()
            if "listens on 127.0.0.1:" in line:
                return line.partition("listens on ")[2].partition(";")[0]
        return None

    def _next_line(self) -> str:
        line = self._nursery.next_line()
        if line.startswith("ended "):
            self.code = int(line.split()[1])
        return line

    def terminate(self) -> None:
        """Ask it to stop; does nothing when it has ended."""
        try:
            os.kill(self._pid, signal.SIGTERM)
        except ProcessLookupError:
            return

    def exit_code(self) -> int:
        """Wait for its end, and return how it ended."""
        while self.code is None:
            self._next_line()
        return self.code

    def logged(self) -> str:
        """Return what it told on standard error."""
        return self._log.read_text()
