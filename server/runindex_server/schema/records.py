"""How values are framed, and how a run's record is written and read.

    frame       format u8 | crc u32 | payload          CRC-32 of key and payload
    of a run    ordinal u64 | generation u64 | basic_bytes u32 | reserved_bytes u16 | reserved | body

`body` is the wire form of `runindex.v1.Run`, metadata last: `basic_bytes` of it are all but the metadata. So
a view is a slice, and a page of runs is joined without parsing one.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from runindex_server.errors import StoreCorrupt
from runindex_server.schema import keys
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.keys import ORDINAL_BYTES
from runindex_server.schema.run import (
    KEEP_ALL,
    RetentionPolicy,
    Run,
    RunId,
    RunState,
    RunView,
    parse_run_id,
    run_id_text,
)

M = TypeVar("M", bound=Message)

FORMAT: Final = 1
"""The first byte of every frame. Zeroed or foreign bytes do not begin so."""

LENGTHS_REMEMBERED: Final = 4_096
"""Lengths of fields whose encoding is remembered: runs are of few sizes, and a page has many of them."""

RETENTION_KEY: Final = "_strata_retention"
IMPORTED_KEY: Final = "_strata_imported"
RESERVED_PREFIX: Final = "_strata_"

_FRAME: Final = struct.Struct(">BI")
_RUN: Final = struct.Struct(">QQIH")
_FRAMED_RUN: Final = struct.Struct(_FRAME.format + _RUN.format[1:])
_HEAD_OF: Final = itemgetter(slice(_FRAMED_RUN.size))
_PAYLOAD_OF: Final = itemgetter(slice(_FRAME.size, None))
_ORDINAL_OF: Final = itemgetter(slice(_FRAME.size, _FRAME.size + ORDINAL_BYTES))
_BODY_OF: Final = itemgetter(slice(_FRAMED_RUN.size, None))
"""Of a row without a reserved map."""
_ORDINAL_OF_LISTED: Final = itemgetter(slice(-ORDINAL_BYTES, None))
_STATES: Final = {state.value: state for state in RunState}
_RUN_ID_FIELD: Final = bytes([pb.RunRecord.RUN_ID_FIELD_NUMBER << 3 | 2])


def seal(key: bytes, payload: bytes) -> bytes:
    """Return a payload framed with a checksum over it and the key under which it will stand."""
    return _FRAME.pack(FORMAT, zlib.crc32(payload, zlib.crc32(key))) + payload


def unseal(key: bytes, value: bytes) -> bytes:
    """Return the payload of a frame.

    Raises:
        StoreCorrupt: The frame is none, or was not written under this key.
    """
    if len(value) < _FRAME.size or value[0] != FORMAT:
        raise StoreCorrupt(f"no frame under {key.hex()}")
    payload = value[_FRAME.size :]
    if zlib.crc32(payload, zlib.crc32(key)) != int.from_bytes(value[1 : _FRAME.size], "big"):
        raise StoreCorrupt(f"checksum of {key.hex()}")
    return payload


def read_message(kind: type[M], key: bytes, value: bytes, *, what: str) -> M:
    """Return the message in a frame.

    Args:
        kind: Which message.
        key: The row's key.
        value: The row's value.
        what: What it is, for the log.

    Raises:
        StoreCorrupt: The row is not what was written under this key.
    """
    try:
        return kind.FromString(unseal(key, value))
    except DecodeError as error:
        raise StoreCorrupt(f"{what} under {key.hex()}") from error


def encode_varint(number: int) -> bytes:
    """Return a number of at least 0 as protobuf's varint."""
    # Nearly all are the tags and lengths of messages.
    if number <= 0x7F:
        return bytes((number,))
    if number <= 0x3FFF:
        return bytes((number & 0x7F | 0x80, number >> 7))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@lru_cache(LENGTHS_REMEMBERED)
def field_head(field_number: int, length: int) -> bytes:
    """Return what stands on protobuf's wire before a field of some bytes, text or a message."""
    return encode_varint(field_number << 3 | 2) + encode_varint(length)


def length_delimited(field_number: int, data: bytes) -> bytes:
    """Return a field of bytes, text or a message as it stands on protobuf's wire."""
    return field_head(field_number, len(data)) + data


def encode_run(run: Run) -> bytes:
    """Return the value of a run's row."""
    basic = _encode_basic(run)
    reserved = _encode_reserved(run)
    head = _RUN.pack(run.ordinal, run.generation, len(basic), len(reserved))
    return seal(keys.run(run.run_id), head + reserved + basic + _encode_metadata(run.metadata))


def decode_run(key: bytes, value: bytes) -> Run:
    """Return the run in a row.

    Raises:
        StoreCorrupt: The row is not what was written under this key.
    """
    ordinal, generation, basic, metadata = _layout_of(key, value)
    try:
        record = pb.RunRecord.FromString(value[basic:metadata])
        retention, is_imported = _decode_reserved(value[_FRAMED_RUN.size : basic])
    except DecodeError as error:
        raise StoreCorrupt(f"record under {key.hex()}") from error
    return run_of(
        record,
        run_id=keys.run_of(key),
        ordinal=ordinal,
        generation=generation,
        metadata=_decode_metadata(value[metadata:]),
        retention=retention,
        is_imported=is_imported,
    )


def run_of(record: pb.RunRecord, **beside: Any) -> Run:  # noqa: ANN401  # The fields of Run beside these.
    """Return the run that a record tells of.

    Args:
        record: Without its metadata, which is not read here.
        beside: The fields of the run that it does not tell.

    Raises:
        KeyError: It tells of a state that there is not.
    """
    return Run(
        state=_STATES[record.state],
        version=record.version,
        revision=record.revision,
        create_us=_micros(record.create_time),
        update_us=_micros(record.update_time),
        end_us=_micros(record.end_time) if record.HasField("end_time") else None,
        error=record.error if record.HasField("error") else None,
        tags=tuple(record.tags),
        parent=parse_run_id(record.parent_run_id) if record.HasField("parent_run_id") else None,
        outcome=_STATES[record.outcome] if record.outcome else None,
        activity_us=_micros(record.activity_time),
        cloned_from=parse_run_id(record.cloned_from) if record.HasField("cloned_from") else None,
        creator=record.creator,
        **beside,
    )


def run_message(run: Run) -> bytes:
    """Return a run as the wire form of `runindex.v1.Run`, whole."""
    return _encode_basic(run) + _encode_metadata(run.metadata)


def id_message(run_id: RunId) -> bytes:
    """Return the wire form of a `runindex.v1.Run` that carries its id alone."""
    text = run_id_text(run_id).encode()
    return _RUN_ID_FIELD + bytes([len(text)]) + text


def view_message(key: bytes, value: bytes, view: RunView) -> bytes:
    """Return the run in a row as the wire form of `runindex.v1.Run`, cut to a view, without parsing it.

    Args:
        key: The row's key.
        value: The row's value.
        view: How much of it to return.

    Raises:
        StoreCorrupt: The row is not what was written under this key, or not what the listing says.
    """
    _, _, basic, metadata = _layout_of(key, value)
    if view is RunView.FULL:
        return value[basic:]
    if view is RunView.BASIC:
        return value[basic:metadata]
    return id_message(keys.run_of(key))


def listed_messages(
    listing_keys: Sequence[bytes], run_keys: Sequence[bytes], values: Sequence[bytes | None], view: RunView
) -> list[bytes]:
    """Return the runs of a listing as `view_message` does, in their order; of whole runs or without metadata.

    Args:
        listing_keys: The keys of the listing's rows, which end with the runs' ordinals.
        run_keys: The keys of the runs' rows, to which they lead.
        values: The values of those.
        view: How much of each run to return; not ID_ONLY, for which nobody reads a record.

    Raises:
        StoreCorrupt: A row is missing, not what was written under its key, or not what the listing says.
    """
    # Most of what a page costs is here. All rows looked at together take two thirds of the time.
    plain = _plain_rows(listing_keys, run_keys, values) if view is RunView.FULL else None
    if plain is not None:
        return plain
    rows = zip(listing_keys, run_keys, values, strict=True)
    return [_listed_message(*row, view) for row in rows]


def _plain_rows(
    listing_keys: Sequence[bytes], run_keys: Sequence[bytes], values: Sequence[bytes | None]
) -> list[bytes] | None:
    """Return whole runs of a listing; None unless every row is sound and without a reserved map."""
    found = [value for value in values if value is not None]
    try:
        heads = list(_FRAMED_RUN.iter_unpack(b"".join(map(_HEAD_OF, found))))
    except struct.error:
        return None
    if len(heads) != len(values) or list(map(_ORDINAL_OF, found)) != list(
        map(_ORDINAL_OF_LISTED, listing_keys)
    ):
        return None
    formats, crcs, _, _, _, reserved_bytes = zip(*heads, strict=True)
    if any(reserved_bytes) or set(formats) != {FORMAT}:
        return None
    is_sound = crcs == tuple(map(zlib.crc32, map(_PAYLOAD_OF, found), map(zlib.crc32, run_keys)))
    return list(map(_BODY_OF, found)) if is_sound else None


def _listed_message(listing_key: bytes, key: bytes, value: bytes | None, view: RunView) -> bytes:
    """Return a run of a listing as `listed_messages` does."""
    if value is None:
        raise StoreCorrupt(f"a listing leads to {key.hex()} by {listing_key.hex()}, which is missing")
    message = view_message(key, value, view)
    if not listing_key.endswith(_ORDINAL_OF(value)):
        raise StoreCorrupt(f"a listing leads to {key.hex()} by {listing_key.hex()}, not by its ordinal")
    return message


def ordinal_of(key: bytes, value: bytes) -> int:
    """Return the ordinal of the run in a row.

    Raises:
        StoreCorrupt: The row is not what was written under this key.
    """
    return _layout_of(key, value)[0]


def basic_message(key: bytes, value: bytes) -> tuple[int, pb.RunRecord]:
    """Return the generation of the run in a row, and the run without its metadata: a quarter of decoding it.

    Raises:
        StoreCorrupt: The row is not what was written under this key.
    """
    _, generation, basic, metadata_at = _layout_of(key, value)
    try:
        return generation, pb.RunRecord.FromString(value[basic:metadata_at])
    except DecodeError as error:
        raise StoreCorrupt(f"record under {key.hex()}") from error


def _layout_of(key: bytes, value: bytes) -> tuple[int, int, int, int]:
    """Return ordinal and generation of a run's row, and where the two parts of its body begin.

    Between the head and the body is the reserved map.

    Raises:
        StoreCorrupt: The row is not what was written under this key.
    """
    try:
        ordinal, generation, basic_bytes, reserved_bytes = _RUN.unpack_from(unseal(key, value))
    except struct.error as error:
        raise StoreCorrupt(f"record under {key.hex()}") from error
    basic = _FRAMED_RUN.size + reserved_bytes
    return ordinal, generation, basic, basic + basic_bytes


def _encode_basic(run: Run) -> bytes:
    """Return the wire form of `Run` but for its metadata."""
    record = pb.RunRecord(
        run_id=run_id_text(run.run_id),
        state=state_number(run.state),
        version=run.version,
        error=run.error,
        tags=run.tags,
        parent_run_id=None if run.parent is None else run_id_text(run.parent),
        outcome=state_number(run.outcome),
        revision=run.revision,
        cloned_from=None if run.cloned_from is None else run_id_text(run.cloned_from),
        creator=run.creator,
    )
    # In place: messages made apart would be copied, which takes twice the time.
    _set_time(record.create_time, run.create_us)
    _set_time(record.update_time, run.update_us)
    _set_time(record.activity_time, run.activity_us)
    if run.end_us is not None:
        _set_time(record.end_time, run.end_us)
        _set_time(record.duration, run.end_us - run.create_us)
    if run.expire_us is not None:
        _set_time(record.expire_time, run.expire_us)
    return record.SerializeToString()


def _encode_metadata(metadata: bytes) -> bytes:
    """Return the field that ends a record; nothing when there is no metadata."""
    if not metadata:
        return b""
    return length_delimited(pb.RunRecord.METADATA_FIELD_NUMBER, metadata)


def _decode_metadata(field: bytes) -> bytes:
    """Return the encoded Struct in the field that ends a record."""
    position = 2
    while field and field[position] & 0x80:
        position += 1
    return field[position + 1 :]


def _encode_reserved(run: Run) -> bytes:
    """Return the reserved map; nothing when it is empty."""
    if run.retention is None and not run.is_imported:
        return b""
    values = {IMPORTED_KEY: b""} if run.is_imported else {}
    if run.retention is not None:
        values[RETENTION_KEY] = encode_policy(run.retention).SerializeToString()
    return pb.ReservedMetadata(values=values).SerializeToString(deterministic=True)


def _decode_reserved(reserved: bytes) -> tuple[RetentionPolicy | None, bool]:
    """Return the retention policy in a reserved map, and whether it is that of an imported run."""
    if not reserved:
        return None, False
    values = pb.ReservedMetadata.FromString(reserved).values
    policy = values.get(RETENTION_KEY)
    retention = None if policy is None else decode_policy(pb.RetentionPolicy.FromString(policy))
    return retention, IMPORTED_KEY in values


def encode_policy(policy: RetentionPolicy) -> pb.RetentionPolicy:
    """Return a retention policy as the store keeps it."""
    return pb.RetentionPolicy(**{name: value for name, value in asdict(policy).items() if value is not None})


def decode_policy(policy: pb.RetentionPolicy) -> RetentionPolicy:
    """Return the retention policy in a message."""
    kind = policy.WhichOneof("policy")
    return KEEP_ALL if kind is None else RetentionPolicy(**{kind: getattr(policy, kind)})


def state_number(state: RunState | None) -> Any:  # noqa: ANN401  # The generated enum is no class at run time.
    """Return a state as the messages have it: the same number, 0 for none."""
    return 0 if state is None else state.value


def timestamp(us: int) -> Timestamp:
    """Return a time of microseconds since 1970 as protobuf's."""
    time = Timestamp()
    _set_time(time, us)
    return time


def _set_time(time: Timestamp | Duration, us: int) -> None:
    """Set a time of microseconds since 1970, or a duration of microseconds."""
    seconds, micros = divmod(us, 1_000_000)
    # That it is set at all tells the epoch from no time.
    time.SetInParent()
    time.seconds = seconds
    time.nanos = micros * 1_000


def _micros(timestamp: Timestamp) -> int:
    """Return protobuf's time as microseconds since 1970."""
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000
