"""Connections of callers who do what no library of gRPC does: frames of HTTP/2 as they are told, and no more.

Built on the frames of `benchmarks.wire`. Binary trailers are asked for as they are, so that a refusal's
details can be read without Huffman's code.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from benchmarks import hpack
from benchmarks.wire import (
    ACK,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    NO_STREAM,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_BYTES_DEFAULT,
    WINDOW_BYTES_MAX,
    WINDOW_UPDATE,
    frame,
)

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TRUE_BINARY: Final = 0xFE03
"""The setting by which gRPC sends binary metadata as it is."""

CANCEL: Final = struct.pack(">I", 8)
HEAD_BYTES: Final = 9
WAIT_S: Final = 60.0
"""How long a server may say nothing while it is waited for."""

_HEAD: Final = struct.Struct(">BHBBI")
_SETTING: Final = struct.Struct(">HI")


@dataclass(frozen=True)
class End:
    """How a call ended.

    Attributes:
        code: gRPC's.
        reason: Of a refusal; empty for none.
        retries_after: Whether a refusal says when to try again.
        data: The frames' data.
    """

    code: int
    reason: str = ""
    retries_after: bool = False
    data: bytes = b""

    def message(self) -> bytes:
        """Return the only message of an answer."""
        assert int.from_bytes(self.data[1:5]) == len(self.data) - 5, self.data[:16]
        return self.data[5:]


@dataclass
class Raw:
    """A connection.

    Attributes:
        ends: How calls ended, by stream.
        resets: Streams that the server reset.
        is_silent: Whether it answers neither settings nor pings.
        is_dismissed: Whether the server said goodbye.
        is_greeted: Whether the server has sent its settings.
        is_over: Whether the server has ended the connection.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ends: dict[int, End] = field(default_factory=dict)
    resets: set[int] = field(default_factory=set)
    is_silent: bool = False
    is_dismissed: bool = False
    is_greeted: bool = False
    is_over: bool = False
    _data: dict[int, bytes] = field(default_factory=dict)
    _next_stream: int = 1
    _received_bytes: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def open(cls, target: str, *, window_bytes: int = WINDOW_BYTES_MAX) -> Self:
        """Connect, and begin as a client does.

        Args:
            target: Where.
            window_bytes: How much the server may send on one stream; the connection's window fits to it.
        """
        raw = await cls.silent(target)
        raw.is_silent = False
        settings = (
            (HEADER_TABLE_SIZE, 0),
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, window_bytes),
            (TRUE_BINARY, 1),
        )
        payload = b"".join(_SETTING.pack(*setting) for setting in settings)
        raw.writer.write(PREFACE + frame(SETTINGS, 0, NO_STREAM, payload))
        if window_bytes > WINDOW_BYTES_DEFAULT:
            more = struct.pack(">I", window_bytes - WINDOW_BYTES_DEFAULT)
            raw.writer.write(frame(WINDOW_UPDATE, 0, NO_STREAM, more))
        return raw

    @classmethod
    async def silent(cls, target: str) -> Self:
        """Connect, and say nothing."""
        host, _, port = target.rpartition(":")
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), WAIT_S)
        return cls(reader, writer, is_silent=True)

    def headers(self, path: str, *, is_end: bool = False, **fields: str) -> int:
        """Begin a call, and return its stream."""
        stream = self._next_stream
        self._next_stream += 2
        flags = END_HEADERS | (END_STREAM if is_end else 0)
        self.writer.write(frame(HEADERS, flags, stream, block(path, **fields)))
        return stream

    def call(self, path: str, request: bytes, **fields: str) -> int:
        """Make a call, and return its stream."""
        stream = self.headers(path, **fields)
        self.writer.write(frame(DATA, END_STREAM, stream, message(request)))
        return stream

    @property
    def begun(self) -> int:
        """How many calls were begun."""
        return self._next_stream // 2

    def reset(self, stream: int) -> None:
        """Give a call up."""
        self.writer.write(frame(RST_STREAM, 0, stream, CANCEL))

    async def read(self) -> None:
        """Take what the server sends, and answer its settings and pings, until the connection ends."""
        try:
            while True:
                head = await self.reader.readexactly(HEAD_BYTES)
                high, low, kind, flags, stream = _HEAD.unpack(head)
                self._take(kind, flags, stream, await self.reader.readexactly(high << 16 | low))
                self._changed.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.is_over = True
            self._changed.set()

    async def ended(self, count: int) -> None:
        """Wait until so many calls have ended, or the connection has. `read` has to run."""
        await self._until(lambda: len(self.ends.keys() | self.resets) >= count)

    async def greeted(self) -> None:
        """Wait until the server has sent its settings, or ended the connection. `read` has to run."""
        await self._until(lambda: self.is_greeted)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so() and not self.is_over:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), WAIT_S)

    def close(self) -> None:
        """Cut the connection."""
        self.writer.transport.abort()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._take_data(stream, payload)
        elif kind == HEADERS:
            if flags & END_STREAM:
                self.ends[stream] = end_of(payload, self._data.pop(stream, b""))
        elif kind == SETTINGS and not flags & ACK:
            self.is_greeted = True
            self._answer(frame(SETTINGS, ACK, NO_STREAM, b""))
        elif kind == PING and not flags & ACK:
            self._answer(frame(PING, ACK, NO_STREAM, payload))
        elif kind == RST_STREAM:
            self.resets.add(stream)
        elif kind == GOAWAY:
            self.is_dismissed = True

    def _answer(self, sent: bytes) -> None:
        if not self.is_silent:
            self.writer.write(sent)

    def _take_data(self, stream: int, payload: bytes) -> None:
        self._data[stream] = self._data.get(stream, b"") + payload
        self._received_bytes += len(payload)
        if self._received_bytes > WINDOW_BYTES_MAX // 4:
            self.writer.write(frame(WINDOW_UPDATE, 0, NO_STREAM, struct.pack(">I", self._received_bytes)))
            self._received_bytes = 0


def block(path: str, **fields: str) -> bytes:
    """Return the headers of a call; the server adds none of them to its table."""
    named = {
        ":authority": "localhost",
        ":path": path,
        "te": "trailers",
        "content-type": "application/grpc",
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    literals = (_literal(name.encode(), value.encode()) for name, value in named.items())
    return b"".join((hpack.POST, hpack.HTTP, *literals))


def message(request: bytes) -> bytes:
    """Return a message as gRPC carries it."""
    return struct.pack(">BI", 0, len(request)) + request


def end_of(trailers: bytes, data: bytes) -> End:
    """Return how a call ended."""
    fields = hpack.decode(trailers)
    code = int(fields.get(b"grpc-status") or b"2")
    details = fields.get(b"grpc-status-details-bin")
    if not details:
        return End(code, data=data)
    assert details[0] == 0, "a binary value in its long form"
    told = Status.FromString(details[1:]).details
    info, retry = ErrorInfo(), RetryInfo()
    assert told[0].Unpack(info)
    return End(code, info.reason, any(detail.Unpack(retry) for detail in told), data)


def _literal(name: bytes, value: bytes) -> bytes:
    """Return a field that is in no table."""
    return b"".join(
        (b"\x00", hpack.encode_integer(len(name), 7), name, hpack.encode_integer(len(value), 7), value)
    )
