"""What the tests of a loss of power have in common: the compiled recorder, and a folder in memory."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trust.power.campaign import scratch
from tests.trust.power.recorder import build_shim


@pytest.fixture
def work() -> Iterator[Path]:
    """Return an empty folder."""
    with scratch() as folder:
        yield folder


@pytest.fixture
def shim(work: Path) -> Path:
    """Return what records."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to compile the recorder")
    return build_shim(work)
