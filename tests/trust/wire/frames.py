"""Bytes of HTTP/2 and of gRPC upon it, right and wrong: nothing here refuses to make what no client sends."""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from benchmarks.hpack import encode_integer

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_BYTES_MAX: Final = 16_384
"""What a frame carries when nothing else was agreed upon."""

HEAD_BYTES: Final = 9
U32: Final = struct.Struct(">I")

_SETTING: Final = struct.Struct(">HI")
_MESSAGE: Final = struct.Struct(">BI")

Fields = Iterable[tuple[bytes, bytes]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int = -1) -> bytes:
    """Return a frame, which may lie about its length."""
    told = len(payload) if length < 0 else length
    return (
        struct.pack(">BHBB", told >> 16 & 0xFF, told & 0xFFFF, kind & 0xFF, flags & 0xFF)
        + U32.pack(stream & 0xFFFF_FFFF)
        + payload
    )


def settings(*pairs: tuple[int, int]) -> bytes:
    """Return a frame of settings."""
    return frame(SETTINGS, payload=b"".join(_SETTING.pack(*pair) for pair in pairs))


BEGIN: Final = (
    PREFACE
    + settings((1, 0), (2, 0), (4, 2**31 - 1))
    + frame(WINDOW_UPDATE, payload=U32.pack(2**31 - 1 - 65_535))
)
"""What a client begins with. The server is to keep no table of header fields, so that they are read easily;
it has room for any answer."""


def string(text: bytes) -> bytes:
    """Return a string as it is."""
    return encode_integer(len(text), 7) + text


def field(name: bytes, value: bytes) -> bytes:
    """Return a header field that is added to no table."""
    return b"\x00" + string(name) + string(value)


def added(name: bytes, value: bytes) -> bytes:
    """Return a header field that the reader adds to its table."""
    return b"\x40" + string(name) + string(value)


def block(fields: Fields) -> bytes:
    """Return a block of header fields."""
    return b"".join(field(name, value) for name, value in fields)


def headers(stream: int, fields: Fields, *, ends: bool = False) -> bytes:
    """Return a block of header fields in frames."""
    return in_frames(stream, block(fields), ends=ends)


def in_frames(stream: int, whole: bytes, *, ends: bool = False) -> bytes:
    """Return a block in one frame, or in as many as it takes."""
    pieces = [whole[at : at + FRAME_BYTES_MAX] for at in range(0, len(whole), FRAME_BYTES_MAX)] or [b""]
    kinds = [HEADERS, *[CONTINUATION] * (len(pieces) - 1)]
    flags = [END_STREAM if ends else 0, *[0] * (len(pieces) - 1)]
    flags[-1] |= END_HEADERS
    return b"".join(frame(*parts[:2], stream, parts[2]) for parts in zip(kinds, flags, pieces, strict=True))


def data(stream: int, payload: bytes, *, ends: bool = True) -> bytes:
    """Return what a stream carries, in as many frames as it takes."""
    pieces = [payload[at : at + FRAME_BYTES_MAX] for at in range(0, len(payload), FRAME_BYTES_MAX)] or [b""]
    return b"".join(
        frame(DATA, END_STREAM if ends and at == len(pieces) - 1 else 0, stream, piece)
        for at, piece in enumerate(pieces)
    )


def message(payload: bytes, *, compressed: int = 0, length: int = -1) -> bytes:
    """Return a message of gRPC, which may lie about its length."""
    return _MESSAGE.pack(compressed, len(payload) if length < 0 else length) + payload


def call_fields(path: bytes, *more: tuple[bytes, bytes], token: bytes = b"") -> list[tuple[bytes, bytes]]:
    """Return the header fields with which a well-kept client calls."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *([(b"authorization", b"Bearer " + token)] if token else []),
        *more,
    ]


def frames_in(received: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield the whole frames of what came: type, flags, stream, payload."""
    at = 0
    while at + HEAD_BYTES <= len(received):
        length = int.from_bytes(received[at : at + 3])
        stream = U32.unpack_from(received, at + 5)[0] & 0x7FFF_FFFF
        end = at + HEAD_BYTES + length
        if end > len(received):
            return
        yield received[at + 3], received[at + 4], stream, received[at + HEAD_BYTES : end]
        at = end
