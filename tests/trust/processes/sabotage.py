"""What is done to the files of a store under the server that has them open, and where they lie afterwards."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

Sabotage = Callable[[Path, Path], Path]
"""Takes a data directory, and a free path beside it. Returns the data directory in which the files are that
the server had open: there everything has to be that it has acknowledged."""


def delete_engines_lock(data_dir: Path, _: Path) -> Path:
    """Delete the engine's lock file: a second process would not see this one's writer."""
    (data_dir / "store" / "lock.mdb").unlink()
    return data_dir


def delete_own_lock(data_dir: Path, _: Path) -> Path:
    """Delete the lock file of the folder: a second server would start."""
    (data_dir / "LOCK").unlink()
    return data_dir


def delete_both_locks(data_dir: Path, beside: Path) -> Path:
    """Delete both: a second server would start, and write beside this one."""
    delete_own_lock(data_dir, beside)
    return delete_engines_lock(data_dir, beside)


def move_folder(data_dir: Path, beside: Path) -> Path:
    """Rename the data directory."""
    return data_dir.rename(beside)


def replace_folder(data_dir: Path, beside: Path) -> Path:
    """Put a copy in the place of the data directory."""
    copy = beside.with_name(f"{beside.name}-copy")
    shutil.copytree(data_dir, copy)
    data_dir.rename(beside)
    copy.rename(data_dir)
    return beside


def move_store(data_dir: Path, beside: Path) -> Path:
    """Rename the folder of the store away from its data directory."""
    beside.mkdir()
    (data_dir / "store").rename(beside / "store")
    return beside


def replace_data_file(data_dir: Path, beside: Path) -> Path:
    """Put a copy in the place of the data file."""
    kept = _keep_data_file(data_dir, beside)
    copy = data_dir / "copy"
    shutil.copy(data_dir / "store" / "data.mdb", copy)
    copy.rename(data_dir / "store" / "data.mdb")
    return kept


def delete_data_file(data_dir: Path, beside: Path) -> Path:
    """Delete the data file, of which another name is left."""
    kept = _keep_data_file(data_dir, beside)
    (data_dir / "store" / "data.mdb").unlink()
    return kept


def _keep_data_file(data_dir: Path, beside: Path) -> Path:
    (beside / "store").mkdir(parents=True)
    (beside / "store" / "data.mdb").hardlink_to(data_dir / "store" / "data.mdb")
    return beside


SABOTAGES: Final[tuple[Sabotage, ...]] = (
    delete_engines_lock,
    delete_own_lock,
    delete_both_locks,
    move_folder,
    replace_folder,
    move_store,
    replace_data_file,
    delete_data_file,
)
