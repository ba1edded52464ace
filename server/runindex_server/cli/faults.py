"""Faults of files and folders as operators read them."""

from pathlib import Path

from runindex_server.errors import StoreCorrupt


def fault_text(path: Path, error: Exception) -> str:
    """Return why something could not be done with a file or a folder, as one sentence."""
    if isinstance(error, StoreCorrupt):
        return f"{path} is damaged: {error.detail}."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or path}: {error.strerror}."
    return str(error)
