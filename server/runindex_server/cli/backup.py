"""`backup`: a consistent snapshot of a running server's store, received into a file."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from runindex.v1 import maintenance_pb2 as pb
from runindex_server.cli.asking import DEFAULT_ADDRESS, Address
from runindex_server.cli.exits import exit_with
from runindex_server.cli.faults import fault_text
from runindex_server.cli.progress import Tell, progress
from runindex_server.cli.remote import maintenance
from runindex_server.cli.words import bytes_text, time_text
from runindex_server.kv.directory import sync_path


class BackupNotWhole(Exception):
    """What was received is not a whole backup. The message is the rest of a sentence after `it`."""


class BackupRunning(Exception):
    """Another process is writing the same file."""


@dataclass(frozen=True, slots=True)
class Received:
    """A whole backup.

    Attributes:
        header: What it is of.
        revision: Of the snapshot.
    """

    header: pb.BackupHeader
    revision: int


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write. It must not exist.", dir_okay=False)],
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Take a backup of a running server's store; writers go on meanwhile."""
    if file.exists():
        exit_with(f"{file} exists, and a backup is not overwritten; name another file, or remove it.")
    try:
        with maintenance(address) as stub, partial_file(file) as partial, progress(bytes_text) as tell:
            received = receive(iter(stub.Backup(pb.BackupRequest())), partial, tell)
    except BackupNotWhole as problem:
        exit_with(f"The backup is not whole: it {problem}. {file} was not written; try again.")
    except BackupRunning:
        exit_with(f"{file} is being written by another backup.")
    except OSError as error:
        exit_with(fault_text(file, error))
    size, time = bytes_text(received.header.total_bytes), time_text(received.header.create_time)
    typer.echo(f"{file}: {size}, the store as of {time}, at revision {received.revision:,}.")
    typer.echo("Keep it as safe as the store itself.")


def receive(pieces: Iterator[pb.BackupResponse], file: BinaryIO, tell: Tell) -> Received:
    """Write a backup to a file as it comes, and see that it is whole.

    Raises:
        BackupNotWhole: Something is missing, too much, or other than it was sent.
        OSError: The file cannot be written.
    """
    first = next(pieces, pb.BackupResponse())
    if first.WhichOneof("piece") != "header":
        raise BackupNotWhole("begins without a header")
    total_bytes = first.header.total_bytes
    received_bytes = 0
    digest = hashlib.sha256()
    for piece in pieces:
        if piece.WhichOneof("piece") == "trailer":
            if received_bytes != total_bytes:
                raise BackupNotWhole(f"has {received_bytes} bytes instead of {total_bytes}")
            if digest.digest() != piece.trailer.sha256:
                raise BackupNotWhole("was changed on its way")
            return Received(first.header, first.revision)
        file.write(piece.chunk)
        digest.update(piece.chunk)
        received_bytes += len(piece.chunk)
        tell("receiving", received_bytes, total_bytes)
    raise BackupNotWhole("ends without a trailer")


@contextmanager
def partial_file(file: Path) -> Iterator[BinaryIO]:
    """Return a file to write, which becomes `file` at the end, durably, unless something was raised.

    Raises:
        BackupRunning: Another process has it.
        OSError: It cannot be written.
    """
    path = file.with_name(file.name + ".partial")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as partial:
        _hold(fd, path)
        try:
            # What a process that was killed has left.
            os.ftruncate(fd, 0)
            yield partial
            partial.flush()
            os.fsync(fd)
            path.rename(file)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    sync_path(file.parent)


def _hold(fd: int, path: Path) -> None:
    """See to it that no other process writes a file, nor has it finished meanwhile.

    Raises:
        BackupRunning: One does, or has.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.path.samestat(os.fstat(fd), path.stat())
    except (BlockingIOError, FileNotFoundError) as error:
        raise BackupRunning from error
    if not is_ours:
        raise BackupRunning
