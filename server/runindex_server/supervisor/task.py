"""What the supervisor asks of a worker, and how the two hear of each other."""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

READY: Final = b"\x01"
"""What a worker says once it serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTask:
    """What a worker is to do, beside what the settings say.

    Attributes:
        worker: Its number, from 0; 0 runs the background jobs.
        is_first: Whether nobody else has the store open, so that it may create, migrate and tidy it.
        ready_fd: A descriptor, to say once that it serves.
        supervisor_fd: One that can be read from when the supervisor is gone, and never before.
    """

    worker: int
    is_first: bool
    ready_fd: int
    supervisor_fd: int

    def say_ready(self) -> None:
        """Say that the worker serves."""
        with suppress(BrokenPipeError):  # The supervisor is gone, which is learnt soon.
            os.write(self.ready_fd, READY)
