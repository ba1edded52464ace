"""Directories whose entries outlive a loss of power."""

import os
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make a directory and the missing ones above it, with mode 0700, durably; leave an existing one alone.

    Raises:
        OSError: It cannot be made.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Make a file's content, or a directory's entries, durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
