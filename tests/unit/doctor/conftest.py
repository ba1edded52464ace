"""Fixtures: a folder with a store that is closed, a clock that stands still, and what looks at them."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from runindex_server.cli.diagnosis.finding import Finding
from runindex_server.cli.doctor import examine
from runindex_server.kv import guard
from runindex_server.kv.api import WriteTxn
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.runs.bootstrap import initialise
from runindex_server.settings import Settings
from tests.support.clock import ManualClock

MAP_BYTES: Final = 256 * 1024 * 1024

Examine = Callable[..., dict[str, tuple[str, str]]]
"""Returns what was found, by check: the level, and what is told."""

Write = Callable[[Callable[[WriteTxn], object]], None]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in os.environ:
        if name.startswith(("RUNINDEX_", "OTEL_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Let everything be on one file system, ext4 or the one that a test asks for."""
    mounts = tmp_path / "mountinfo"

    def mount(kind: str) -> None:
        mounts.write_text(f"1 0 0:1 / / rw - {kind} none rw\n")

    mount("ext4")
    for function in (guard.file_system_of, guard.guard_file_system):
        monkeypatch.setitem(function.__kwdefaults__, "mounts_path", mounts)
    return mount


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder, as it is named: not there yet, in the folder in which the tests are."""
    monkeypatch.chdir(tmp_path)
    return Path("data")


@pytest.fixture
def write(data_dir: Path, clock: ManualClock) -> Write:
    """Return what writes into the store of the folder, and closes it; it exists from the first write on."""

    async def run(fn: Callable[[WriteTxn], object]) -> None:
        store = open_lmdb(
            data_dir, clock=clock, map_bytes=MAP_BYTES, initialise=initialise, on_fatal=pytest.fail
        )
        try:
            await store.write(fn)
        finally:
            await store.close()

    return lambda fn: asyncio.run(run(fn))


@pytest.fixture
def at_rest(data_dir: Path, write: Write) -> Path:
    """Return the folder with a store."""
    write(lambda _: None)
    return data_dir


@pytest.fixture
def examined(data_dir: Path, clock: ManualClock) -> Examine:
    """Return what looks at the folder by some settings."""

    def look(**settings: Any) -> dict[str, tuple[str, str]]:
        told = Settings(
            **{"data_dir": data_dir, "address": "127.0.0.1:0", "map_bytes": MAP_BYTES, **settings}
        )
        found = list(examine(told, clock))
        assert len({name for name, _ in found}) == len(found), "a line for each check"
        return {name: as_pair(finding) for name, finding in found}

    return look


def as_pair(finding: Finding) -> tuple[str, str]:
    return str(finding.level), finding.told
