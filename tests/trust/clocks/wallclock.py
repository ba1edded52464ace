"""A wall clock that a test moves under running processes; their monotonic clocks are the machine's."""

import mmap
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from unittest import mock

SOURCE: Final = Path(__file__).with_name("wallclock.c")
BUILD_S: Final = 60.0
SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US
YEAR_US: Final = 365 * DAY_US

_FIELDS: Final = ("offset_us", "leap_us", "drift_ppm", "since_us", "calls")


class WallClock:
    """The wall clock of all processes that are started under it."""

    def __init__(self, folder: Path) -> None:
        """Compile it, and let it go right at first."""
        self._library, self._file = folder / "wallclock.so", folder / "wallclock"
        command = ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE)]
        built = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
        assert built.returncode == 0, built.stderr
        self._file.write_bytes(bytes(mmap.PAGESIZE))
        with self._file.open("r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), mmap.PAGESIZE)).cast("q")

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let processes that are started meanwhile go by it."""
        with mock.patch.dict(os.environ, LD_PRELOAD=str(self._library), WALLCLOCK_FILE=str(self._file)):
            yield

    @property
    def calls(self) -> int:
        """How often it was asked for the time."""
        return self._number("calls")

    @property
    def now_us(self) -> int:
        """What it tells, in microseconds since 1970, but for leaps and drift."""
        return time.time_ns() // 1_000 + self._number("offset_us")

    def go_right(self) -> None:
        """Let it tell the machine's time."""
        self._set(offset_us=0)

    def jump(self, us: int) -> None:
        """Let it go wrong by so much, against the machine's time."""
        self._set(offset_us=us)

    def jump_to(self, moment: datetime) -> None:
        """Set it to a time, from which it goes on."""
        self.jump((moment - datetime.now(UTC)) // (datetime.resolution))

    def leap(self, us: int) -> None:
        """Let it jump at each call, by up to so much either way."""
        self._set(leap_us=us)

    def drift(self, ppm: int) -> None:
        """Let it go faster by so many millionths, or slower."""
        self._set(drift_ppm=ppm)

    def _set(self, **numbers: int) -> None:
        given = {"offset_us": 0, "leap_us": 0, "drift_ppm": 0, **numbers}
        given["since_us"] = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        for name, number in given.items():
            self._numbers[_FIELDS.index(name)] = number

    def _number(self, name: str) -> int:
        return self._numbers[_FIELDS.index(name)]
