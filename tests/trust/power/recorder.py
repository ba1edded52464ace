"""Records what a real server writes and syncs while clients call it."""

import os
import pickle
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.trust.power.ledger import Ledger
from tests.trust.power.load import Load

SHIM_SOURCE: Final = Path(__file__).with_name("iotrace.c")
WAIT_S: Final = 60.0
MAP_BYTES: Final = 16 * 1024 * 1024
"""The smallest that the server takes: what is replayed is opened with the same."""

SYNC_US: Final = 2_000
"""How long the recorded disk takes to flush: so writes wait for each other, and share commits."""

DATA_DIR: Final = "data"
"""The data directory, in the folder of a recording."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded.

    Attributes:
        folder: The files as they were at the end.
        log: What was done to them, and told to clients.
        ledger: What clients asked for.
    """

    folder: Path
    log: Path
    ledger: Ledger

    def save(self, path: Path) -> None:
        """Write it to a file, for another process."""
        path.write_bytes(pickle.dumps(self))

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Read it from a file."""
        recording = pickle.loads(path.read_bytes())
        assert isinstance(recording, cls)
        return recording


def build_shim(folder: Path) -> Path:
    """Compile what records, and return it."""
    shim = folder / "iotrace.so"
    command = ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(shim), str(SHIM_SOURCE), "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert built.returncode == 0, built.stderr
    return shim


def record(work: Path, shim: Path, *, calls: int, seed: int, fault: str = "none") -> Recording:
    """Let a server create a store and serve clients, then stop it, and return what was recorded.

    Args:
        work: An empty folder.
        shim: From `build_shim`.
        calls: How many calls the clients make.
        seed: Of what they do.
        fault: The fault to plant.
    """
    folder, log = work / "folder", work / "log"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.trust.power.launcher", fault, "serve", "--address", "127.0.0.1:0"]
    options = ["--data-dir", str(folder / DATA_DIR), "--map-bytes", str(MAP_BYTES), "--log-level", "warning"]
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "LD_PRELOAD": str(shim),
        "POWER_ROOT": str(folder),
        "POWER_LOG": str(log),
        "POWER_SYNC_US": str(SYNC_US),
    }
    with (work / "server.log").open("w+") as said:
        server = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=said, text=True, env=environment
        )
        try:
            target = _target_of(server, said.name)
            with log.open("ab", buffering=0) as told:
                load = Load(target, told.fileno(), calls=calls, seed=seed)
                load.run()
            if fault == "none":
                server.terminate()
                server.wait(WAIT_S)
        finally:
            # One with a fault may not be able to stop.
            server.kill()
            server.wait(WAIT_S)
            assert server.stdout is not None
            server.stdout.close()
        said.seek(0)
        assert fault != "none" or (server.returncode, said.read()) == (0, ""), "the server failed"
    return Recording(folder, log, load.ledger)


def _target_of(server: "subprocess.Popen[str]", log_path: str) -> str:
    """Return where a server listens, once it says so."""
    assert server.stdout is not None
    said = ""
    for line in server.stdout:
        said += line
        found = re.search(r"listens on (127\.0\.0\.1:\d+)", line)
        if found:
            return found.group(1)
    msg = f"the server did not start: {said} {Path(log_path).read_text()}"
    raise AssertionError(msg)
