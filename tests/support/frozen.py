"""Stores of older storage versions, frozen as files."""

import gzip
import json
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).parents[1] / "data"


def thaw(data_dir: Path, version: int) -> None:
    """Make the frozen store of a version the one of a data directory, which may exist but holds nothing."""
    store_dir = data_dir / "store"
    store_dir.mkdir(mode=0o700, parents=True)
    data_file = store_dir / "data.mdb"
    data_file.touch(mode=0o600)
    data_file.write_bytes(gzip.decompress((DATA / f"storage-{version}.mdb.gz").read_bytes()))


def recorded_calls(version: int) -> list[dict[str, Any]]:
    """Return calls, each with what the server of a version answered over its frozen store."""
    calls: list[dict[str, Any]] = json.loads((DATA / f"storage-{version}.json").read_text())
    return calls
