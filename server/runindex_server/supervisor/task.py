"""What the supervisor asks of a worker: a line on its standard input, which ends when the supervisor does."""

import json
from dataclasses import asdict, dataclass
from typing import Final

READY: Final = b"ready\n"
"""What a worker says on its standard output once it serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTask:
    """What a worker is to do, beside what the settings in its environment say.

    Attributes:
        worker: Its number, from 0; 0 runs the background jobs.
        address: Where to listen, together with the others.
        memory_fd: The descriptor of the memory that it shares with them, which it inherits.
        is_first: Whether nobody else has the store open, so that it may create, migrate and tidy it.
    """

    worker: int
    address: str
    memory_fd: int
    is_first: bool

    def line(self) -> bytes:
        """Return the task as one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> "WorkerTask":
        """Return the task of a line."""
        return cls(**json.loads(line))
