"""Fixtures: a store with runs of all kinds, a bundle of them, and a store to take them in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runindex_server.kv.lmdb_store import LmdbStore
from tests.support.bundle_stores import Served, invoke, use
from tests.support.bundled_runs import fill
from tests.support.clock import ManualClock
from tests.support.server import LoopThread


@pytest.fixture
def serve(loop: LoopThread, clock: ManualClock) -> Iterator[Served]:
    """Return what serves the store of a folder."""
    served = Served(loop, clock)
    yield served
    served.stop()


@pytest.fixture(scope="module")
def made(loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Make a store with runs of all kinds and a bundle of them all; return where, and the runs' ids."""
    folder, clock = tmp_path_factory.mktemp("made"), ManualClock()
    served = Served(loop, clock)
    server = served(folder / "source")
    run_ids = fill(server.stub(), server.data_stub(), clock)
    served.stop()
    code, out, err = invoke("export", *reversed(run_ids), folder / "bundle", "--data-dir", folder / "source")
    assert (code, err) == (0, "")
    assert out.startswith(f"{folder / 'bundle'}: {len(run_ids)} runs, ")
    return folder, run_ids


@pytest.fixture
def filled(made: tuple[Path, list[str]]) -> list[str]:
    """Return the ids of the runs that the source holds, the oldest first."""
    return made[1]


@pytest.fixture
def source(made: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """Return the folder of a store with runs of all kinds."""
    return shutil.copytree(made[0] / "source", tmp_path / "source")


@pytest.fixture
def bundle(made: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """Return a bundle of all of them."""
    return shutil.copyfile(made[0] / "bundle", tmp_path / "runs.bundle")


@pytest.fixture
def target(tmp_path: Path, clock: ManualClock) -> Path:
    """Return the folder of a store that holds nothing but the default run."""

    async def nothing(_: LmdbStore) -> None:
        pass

    use(tmp_path / "target", clock, nothing)
    return tmp_path / "target"
