"""Lets one process of a server hang when a test asks for it, by a file that says where.

Python imports a module of this name before anything else. The file: RUNINDEX_HANG_FILE. Whoever comes to the
place first takes it, and adds its process id to the name.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from runindex_server.kv.lmdb_environment import LmdbEnvironment
from runindex_server.kv.lmdb_snapshots import LmdbSnapshots

FILE: Final = Path(os.environ["RUNINDEX_HANG_FILE"])


def stop() -> None:
    """Be stopped, all threads at once."""
    os.kill(os.getpid(), signal.SIGSTOP)


def lock_dead() -> None:
    """Wait for what only this thread could give back."""
    lock = threading.Lock()
    for _ in range(2):
        lock.acquire()


HANGS: Final = {
    "stopped in a write": (LmdbEnvironment, "_apply", stop),
    "locked dead in a write": (LmdbEnvironment, "_apply", lock_dead),
    "stopped in a read": (LmdbSnapshots, "_run_read", stop),
}


def hang_in(owner: type, name: str, how: str, hang: Callable[[], None]) -> None:
    """Let a method hang when the file says so, before it does anything."""
    method = getattr(owner, name)

    def hanging(*arguments: Any, **options: Any) -> Any:
        if FILE.exists() and FILE.read_text() == how:
            # Somebody else may have been faster.
            with suppress(FileNotFoundError):
                FILE.rename(FILE.with_name(f"{FILE.name}.{os.getpid()}"))
                hang()
        return method(*arguments, **options)

    setattr(owner, name, hanging)


for key, (owner, name, hang) in HANGS.items():
    hang_in(owner, name, key, hang)
