"""The machine on which it is measured, and what its disk can do."""

import os
import platform
import statistics
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Final

SYNCS: Final = 200
SYNC_BYTES: Final = 4_096
LIBRARIES: Final = ("grpcio", "lmdb", "protobuf", "pyroaring", "uvloop")
NO_DISK: Final = ("tmpfs", "ramfs")


class NoDisk(Exception):
    """The stores would be in memory."""


def scratch_dir() -> Path:
    """Return where stores can be made: BENCH_DIR, or the first of the usual folders that is on a disk.

    Raises:
        NoDisk: None is.
    """
    named = os.environ.get("BENCH_DIR")
    candidates = [Path(named)] if named else [Path(tempfile.gettempdir()), Path.cwd()]
    for folder in candidates:
        if file_system(folder) not in NO_DISK:
            return folder
    raise NoDisk(", ".join(map(str, candidates)))


def file_system(folder: Path) -> str:
    """Return the kind of file system that a folder is on."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    resolved = folder.resolve()
    found = [(len(fields[1]), fields[2]) for fields in mounts if resolved.is_relative_to(fields[1])]
    return max(found)[1] if found else "unknown"


def sync_median_ms(folder: Path, count: int = SYNCS) -> float:
    """Return how long appending 4 KiB to a file and syncing it takes, in milliseconds."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(count):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(SYNC_BYTES))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def describe(folder: Path) -> dict[str, str | int]:
    """Return the machine, the versions and the commit."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": commit(),
        "cpu": cpu,
        "cores": cores(),
        "memory_gib": round(memory_kib / 1024**2),
        "kernel": platform.release(),
        "file_system": file_system(folder),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def cores() -> int:
    """Return how many cores may be used."""
    return len(os.sched_getaffinity(0))


def commit() -> str:
    """Return the commit that is checked out, with what says that something is changed beside it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],  # noqa: S607  # The one on the path.
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"
