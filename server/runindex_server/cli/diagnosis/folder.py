"""The folder: on which file system it is, with how much room, whose it is, and who holds it."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runindex_server.cli.diagnosis.finding import Finding, gravest, ok, problem, warning
from runindex_server.cli.diagnosis.patient import Patient
from runindex_server.cli.words import bytes_text
from runindex_server.kv.guard import FileSystemUntrusted, StoreInUse, file_system_of, guard_file_system
from runindex_server.kv.lmdb_environment import COPY_DISK_FREE_BYTES_MIN, DISK_FREE_BYTES_MIN
from runindex_server.kv.lock_file import LOCK_NAME

INODES_MIN: Final = 1_000
"""Fewer free ones are soon gone: every program of the machine takes some."""

_PASSING: Final = {
    "overlay": "goes with its container; mount a volume there",
    "tmpfs": "is in memory, and goes with the machine's next start; use a disk",
    "ramfs": "is in memory, and goes with the machine's next start; use a disk",
}
"""File systems on which a store works, and is lost."""


def check_file_system(patient: Patient) -> Iterator[Finding]:
    """Tell whether the file system keeps what LMDB is promised, and what was written."""
    path, place = patient.data_dir, patient.place
    kind = file_system_of(path) or "a file system that is not known"
    yield gravest(_faults_of_file_system(path, place, kind), otherwise=f"{path} is on {kind}")


def _faults_of_file_system(path: Path, place: Path, kind: str) -> Iterator[Finding]:
    try:
        guard_file_system(path)
    except FileSystemUntrusted as error:
        yield problem(str(error))
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        yield problem(f"{path} is on {kind}, which is mounted read-only; mount it for writing")
    if kind in _PASSING:
        yield warning(f"{path} is on {kind}: what is written there {_PASSING[kind]}")


def check_disk(patient: Patient) -> Iterator[Finding]:
    """Tell whether there is room for writes, and for the copies of `verify` and `backup`."""
    disk = os.statvfs(patient.place)
    free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    try:
        copy_bytes = patient.data_file.stat().st_size + COPY_DISK_FREE_BYTES_MIN
    except OSError:
        copy_bytes = 0
    told = f"{bytes_text(free)} of {bytes_text(total)} free"
    # Some file systems have no fixed number of inodes.
    inodes = disk.f_favail if disk.f_files else INODES_MIN
    yield gravest(_faults_of_disk(told, free, copy_bytes, inodes), otherwise=told)


def _faults_of_disk(told: str, free: int, copy_bytes: int, inodes: int) -> Iterator[Finding]:
    if free < DISK_FREE_BYTES_MIN:
        yield problem(f"{told}: writes are refused by STORE_FULL; make room")
    elif free < copy_bytes:
        yield warning(
            f"{told}: verify and backup copy the store first, which may take {bytes_text(copy_bytes)}; make "
            "room"
        )
    if inodes < INODES_MIN:
        yield warning(f"{inodes:,} inodes free: soon no file can be made; remove files that nobody needs")


def check_rights(patient: Patient) -> Iterator[Finding]:
    """Tell whether this user can write the folder, nobody else can, and all in it is one user's."""
    data_dir = patient.data_dir
    if not data_dir.exists():
        place = patient.place
        if os.access(place, os.W_OK | os.X_OK, effective_ids=True):
            yield ok(f"{data_dir} is made at the first start")
        else:
            yield problem(f"{data_dir} cannot be made: {_user(os.geteuid())} may not write {place}")
        return
    owner = data_dir.stat().st_uid
    told = f"{data_dir} is {_user(owner)}'s alone"
    yield gravest(_faults_of_rights(patient, owner), otherwise=told)


def _faults_of_rights(patient: Patient, owner: int) -> Iterator[Finding]:
    data_dir = patient.data_dir
    folders = [path for path in (data_dir, patient.store_dir) if path.is_dir()]
    inside = (data_dir / LOCK_NAME, patient.data_file, patient.store_dir / "lock.mdb")
    files = [path for path in inside if path.exists()]
    for path in (*folders, *files):
        status = path.stat()
        if status.st_uid != owner:
            yield problem(
                f"{path} is {_user(status.st_uid)}'s, and {data_dir} {_user(owner)}'s; give all to one: "
                f"chown -R {_user(owner)} {data_dir}"
            )
        wanted = os.R_OK | os.W_OK | (os.X_OK if path in folders else 0)
        if not os.access(path, wanted, effective_ids=True):
            yield problem(
                f"{_user(os.geteuid())} may not read and write {path}, which is {_user(status.st_uid)}'s and "
                f"has the mode {status.st_mode & 0o777:04o}; run as {_user(status.st_uid)}, or open it: "
                f"chmod -R u+rwX {data_dir}"
            )
    mode = data_dir.stat().st_mode & 0o777
    if mode & 0o077:
        yield warning(
            f"{data_dir} has the mode {mode:04o}, so that others can use it; close it: "
            f"chmod -R go= {data_dir}"
        )


def check_lock(patient: Patient) -> Iterator[Finding]:
    """Tell who holds the folder."""
    holder = patient.holder
    if holder is None:
        yield ok(f"nobody holds {patient.data_dir}")
        return
    told = str(holder).partition(";")[0]
    if not (patient.store_dir / "lock.mdb").exists() and patient.store_dir.exists():
        yield problem(
            f"{told}, and {patient.store_dir / 'lock.mdb'} was removed meanwhile; stop the server, and start "
            "it again"
        )
    elif type(holder) is StoreInUse and holder.holder:
        yield ok(told)
    else:
        yield warning(f"{told}; another server is refused until it ends")


def _user(uid: int) -> str:
    """Return the name of a user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
