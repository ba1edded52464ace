"""The parser of bundles: files that somebody hands over, and that a store takes in.

What is accepted is taken into a store, which must be sound afterwards.
"""

import hashlib
import io
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from google.protobuf.message import DecodeError

from runindex_server.bundles.archive import (
    FORMAT_VERSION,
    MAGIC,
    BundleRefused,
    Counts,
)
from runindex_server.bundles.export import ExportRequest, export_runs
from runindex_server.bundles.importing import ImportRefused, check_target, import_bundle, read_bundle
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema._generated import bundle_pb2 as pb
from runindex_server.schema._generated import run_record_pb2
from runindex_server.schema.run import parse_run_id
from tests.support.bundled_runs import fill
from tests.trust.wire.callee import Callee
from tests.trust.wire.mutating import Mutator
from tests.trust.wire.parsers import Parser

RUNS: Final = 6
"""Runs of the bundle from which mutation begins: one that was created in each way, and ended in each."""

HEAD: Final = MAGIC + struct.pack(">I", FORMAT_VERSION)
AS_IT_IS: Final = b"\x00"
"""The first byte of an input that is a whole file. Behind any other come entries, which are put into a file
with the trailer and the checksum that belong to them: so mutation gets beyond these."""

ENTRIES: Final = b"\x01"
_LENGTH: Final = struct.Struct(">I")


class _OwnStore:
    """A store in memory that one process has for itself."""

    def __init__(self, store: MemoryStore) -> None:
        self.read, self.write = store.read, store.write

    async def write_together(self, fns: Sequence[Callable[[Any], object]]) -> None:
        """Run functions one after the other; nobody looks in between."""
        for fn in fns:
            await self.write(fn)


def bundles(new: Callable[[], Callee]) -> Parser:
    """Bundles.

    Args:
        new: Returns services over a store of their own.
    """
    source = new()
    file = _exported(source)
    entries = list(_frames(file[len(HEAD) : -hashlib.sha256().digest_size]))[:-1]
    now_us = source.clock.now_us()

    def run(data: bytes) -> bool:
        given = io.BytesIO(data[1:] if data[:1] == AS_IT_IS else _file(data[1:]))
        try:
            bundle = read_bundle(given, now_us=now_us)
        except BundleRefused:
            return False
        target = new()
        target.clock.set(now_us)
        store: Any = _OwnStore(target.store)
        try:
            target.run(check_target(store, bundle))
        except ImportRefused:
            return False
        target.run(import_bundle(store, bundle, progress=lambda _: None))
        target.settle()
        return True

    beginnings = (
        AS_IT_IS + file,
        ENTRIES + b"".join(map(_frame, entries)),
        *(ENTRIES + b"".join(map(_frame, part)) for part in _runs_alone(entries)),
    )
    return Parser("bundles", run, beginnings, _change)


def _exported(source: Callee) -> bytes:
    """Return a bundle of runs of a store."""
    run_ids = fill(source.stub("RunIndex"), source.stub("RunData"), source.clock)[:RUNS]
    file = io.BytesIO()
    request = ExportRequest(
        run_ids=[parse_run_id(run_id) for run_id in run_ids], is_forced=False, create_us=source.clock.now_us()
    )
    source.run(source.store.read(lambda txn: export_runs(txn, request, file, progress=lambda _: None)))
    return file.getvalue()


def _frame(entry: bytes) -> bytes:
    return _LENGTH.pack(len(entry)) + entry


def _frames(data: bytes) -> Iterator[bytes]:
    """Yield the entries in frames that follow each other; of the last what is there."""
    at = 0
    while at + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        yield data[at : at + length]
        at += length


def _runs_alone(entries: list[bytes]) -> Iterator[list[bytes]]:
    """Yield the header with the entries of one run, for each run."""
    begins = [at for at, entry in enumerate(entries) if pb.BundleEntry.FromString(entry).HasField("run")]
    for begin, end in zip(begins, [*begins[1:], len(entries)], strict=True):
        yield [entries[0], *entries[begin:end]]


def _file(frames: bytes) -> bytes:
    """Return a file that holds frames, with their trailer and checksum."""
    counts = Counts()
    for entry in _frames(frames):
        with suppress(DecodeError):
            counts.add(pb.BundleEntry.FromString(entry))
    body = HEAD + frames + _frame(pb.BundleEntry(trailer=counts.trailer()).SerializeToString())
    return body + hashlib.sha256(body).digest()


def _change(data: bytes, chance: random.Random) -> bytes:
    """Change, remove, repeat or move an entry."""
    if data[:1] == AS_IT_IS:
        data = ENTRIES + data[1 + len(HEAD) : -hashlib.sha256().digest_size]
    entries = list(_frames(data[1:]))
    if not entries:
        return data
    place = chance.randrange(len(entries))
    match chance.randrange(10):
        case 0:
            del entries[place]
        case 1:
            entries.insert(place, entries[chance.randrange(len(entries))])
        case 2:
            entries.append(entries.pop(place))
        case _:
            entries[place] = _changed(entries[place], chance)
    return ENTRIES + b"".join(map(_frame, entries))


def _changed(entry: bytes, chance: random.Random) -> bytes:
    """Return an entry with other fields; as it is when it cannot be read."""
    try:
        message = pb.BundleEntry.FromString(entry)
        # The record is a message in the bytes of another.
        record = run_record_pb2.RunRecord.FromString(message.run.run)
    except DecodeError:
        return entry
    if message.HasField("run") and chance.random() < 0.6:
        Mutator(chance).change(record)
        message.run.run = record.SerializeToString()
    else:
        Mutator(chance).change(message)
    return message.SerializeToString()
