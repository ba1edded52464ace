"""A backup that is received into a file, which is there under its name when it is whole, and not before."""

import hashlib
import os
import tempfile
from pathlib import Path

import grpc

from runindex._convert import time_of
from runindex._convert_maintenance import identity_of
from runindex._errors import DataLoss
from runindex._maintenance_types import Backup, BackupProgress
from runindex.v1 import maintenance_pb2 as pb


class BackupFile:
    """Receives a backup beside the file that it is to become, readable by its owner alone."""

    def __init__(self, file: Path) -> None:
        """Begin.

        Args:
            file: What it is to become.

        Raises:
            FileExistsError: The file is there, and a backup is not overwritten.
            OSError: Its folder cannot be written to.
        """
        if file.exists():
            raise FileExistsError(f"{file} exists, and a backup is not overwritten")
        self._file = file
        fd, name = tempfile.mkstemp(".partial", f"{file.name}.", file.parent)
        self._partial, self._path = os.fdopen(fd, "wb"), Path(name)
        self._digest = hashlib.sha256()
        self._header: pb.BackupHeader | None = None
        self._received_bytes = 0

    def close(self) -> None:
        """End it; when not all was received, nothing is left."""
        self._partial.close()
        self._path.unlink(missing_ok=True)

    def take(self, piece: pb.BackupResponse) -> BackupProgress | Backup:
        """Take the next piece; return how far it is, and with the last piece what was received.

        Raises:
            DataLoss: Something is missing, too much, or other than it was sent.
            OSError: It cannot be written.
        """
        kind = piece.WhichOneof("piece")
        if self._header is None:
            if kind != "header":
                raise _not_whole("begins without a header")
            self._header = piece.header
        elif kind == "trailer":
            return self._finish(self._header, piece)
        self._partial.write(piece.chunk)
        self._digest.update(piece.chunk)
        self._received_bytes += len(piece.chunk)
        return BackupProgress(self._received_bytes, self._header.total_bytes)

    def _finish(self, header: pb.BackupHeader, last: pb.BackupResponse) -> Backup:
        """See that it is whole, and give it its name, durably."""
        if self._received_bytes != header.total_bytes:
            raise _not_whole(f"has {self._received_bytes} bytes instead of {header.total_bytes}")
        if self._digest.digest() != last.trailer.sha256:
            raise _not_whole("was changed on its way")
        self._partial.flush()
        os.fsync(self._partial.fileno())
        self._partial.close()
        self._path.rename(self._file)
        _sync_folder(self._file.parent)
        return Backup(
            file=self._file,
            store=identity_of(header.store),
            create_time=time_of(header.create_time),
            total_bytes=header.total_bytes,
            revision=last.revision,
        )


def _not_whole(problem: str) -> DataLoss:
    return DataLoss(grpc.StatusCode.DATA_LOSS, message=f"the backup is not whole: it {problem}")


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut, where folders can be opened at all."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
