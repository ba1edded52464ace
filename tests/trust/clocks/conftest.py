"""Fixtures of the tests of clocks."""

from pathlib import Path

import pytest

from tests.trust.clocks.wallclock import WallClock


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    """Return a wall clock for servers in processes of their own."""
    return WallClock(tmp_path)
