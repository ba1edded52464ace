"""Faults of files and folders as operators read them."""

from pathlib import Path

from runindex_server.errors import CommitOutcomeUnknown, StoreCorrupt
from runindex_server.kv.guard import DataFileForeign, DataFileTruncated


def fault_text(path: Path, error: Exception) -> str:
    """Return why something could not be done with a file or a folder, as one sentence."""
    if isinstance(error, StoreCorrupt):
        return f"{path} is damaged: {error.detail}."
    if isinstance(error, CommitOutcomeUnknown):
        return f"{path}: the disk failed during a commit; look at it, and start again."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or path}: {error.strerror}."
    if isinstance(error, DataFileForeign | DataFileTruncated) and path.is_file():
        # The way out that it names is for stores: here the file is the backup.
        return f"{str(error).partition(';')[0]}."
    return str(error)
