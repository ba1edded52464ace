"""What processes have used, as the kernel accounts it: CPU time and private memory."""

import os
import time
from pathlib import Path
from typing import Final

_CPU_CLOCK: Final = 2
"""The clock of a process that counts the nanoseconds it ran, threads included that have ended; see
`clock_getcpuclockid(3)`. The numbers in /proc are the same time in ticks."""

_PRIVATE: Final = ("Private_Clean:", "Private_Dirty:")


class ProcessEnded(Exception):
    """A process of a server ended while it was measured."""


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(folder.name)] = int(fields[1])
    found = [pid]
    for known in found:  # Which grows meanwhile.
        found += [child for child, parent in parents.items() if parent == known]
    return found


def cpu_s(pids: list[int]) -> float:
    """Return the CPU time that some processes have used together, in seconds.

    Raises:
        ProcessEnded: One of them is gone.
    """
    try:
        return sum(time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK) for pid in pids) / 1e9
    except OSError as error:
        msg = f"one of the processes {pids} has ended"
        raise ProcessEnded(msg) from error


def private_bytes(pid: int, *, data_file: str) -> int:
    """Return the memory that a process shares with nobody, but for pages of a data file.

    Those are the page cache's: the kernel takes them back when somebody needs memory.
    """
    total_kib, is_data = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            is_data = bool(rest) and rest[-1].endswith(data_file)
        elif name in _PRIVATE and not is_data:
            total_kib += int(rest[0])
    return total_kib * 1024


def others_s() -> float:
    """Return the CPU time that was used beside this process and the children it has waited for, in seconds.

    What a hypervisor took away is included.
    """
    own = os.times()
    own_s = own.user + own.system + own.children_user + own.children_system
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - own_s
