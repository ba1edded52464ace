"""Forks the commands that it is told to run; see `faulty.Nursery`. A program of its own."""

import ctypes
import json
import os
import signal
import sys
from typing import Any, Final

from runindex_server.cli.app import app
from tests.support.loading import load_commands
from tests.trust.power.launcher import SMALL_STEPS

HANG_S: Final = 90


def main() -> None:
    """Run one command after the other, until nobody asks for one any more."""
    # Once for all of them, and before any fault.
    load_commands()
    for module, name, value in SMALL_STEPS:
        vars(module)[name] = value
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _run(json.loads(line))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"\nended {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(asked: dict[str, Any]) -> None:
    """Run a command; in its own process."""
    sys.stdout.write(f"started {os.getpid()}\n")
    sys.stdout.flush()
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(log, sys.stderr.fileno())
    os.dup2(nothing, sys.stdin.fileno())
    # One that hangs is ended, and that is found.
    signal.alarm(HANG_S)
    ctypes.CDLL(None).disk_fault_begin(asked["root"].encode(), asked["plan"].encode())
    os.umask(asked["umask"])
    if asked["uid"]:
        os.setgroups([])
        os.setgid(asked["uid"])
        os.setuid(asked["uid"])
    code = 1
    try:
        app(asked["arguments"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001  # As the interpreter does.
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
