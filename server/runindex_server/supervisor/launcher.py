"""Starts workers by forking: all that they need is loaded, so that one starts in hundredths of a second."""

import os

from runindex_server.supervisor.worker import Work, Worker


class ForkingLauncher:
    """Starts workers as forks of this process, which must have no thread, no store and nothing of gRPC's."""

    def __init__(self, work: Work) -> None:
        """Take what a worker does."""
        self._work = work
        self._life = os.pipe()

    def launch(self, number: int, *, is_first: bool) -> Worker:
        """Start the worker of a number; the first finds the store open nowhere.

        Raises:
            OSError: The machine refuses.
        """
        return Worker.fork(self._work, number, is_first=is_first, life=self._life)
