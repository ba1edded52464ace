"""A caller of gRPC that is cheap beside the server: unary calls, in frames of HTTP/2, over one connection.

It does what a well-kept client does on the wire (headers by index, acknowledged settings and pings, windows),
and nothing more. What it does not understand ends the measurement.
"""

import socket
import struct
from collections import deque
from typing import Final
from urllib.parse import unquote

from benchmarks import hpack

WAIT_S: Final = 60.0
"""How long a connection may say nothing while it is waited for."""

RECEIVE_BYTES: Final = 64 * 1024
"""What is taken from the connection at one time, at most. For more, Python would ask the
kernel for memory each time."""

WINDOW_BYTES_MAX: Final = 2**31 - 1
WINDOW_BYTES_DEFAULT: Final = 65_535
FRAME_BYTES_MAX: Final = 16_384

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
"""The types of frames that are understood."""

ACK: Final = 1
END_STREAM: Final = 1
END_HEADERS: Final = 4
PADDED_OR_PRIORITY: Final = 0x28

NO_STREAM: Final = 0
"""What concerns the whole connection."""

HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE = 1, 2, 4

HEADER_TABLE_BYTES_DEFAULT: Final = 4_096
HEADER_ENTRY_BYTES: Final = 32
"""What an entry of the table of headers counts beside its name and value."""

FINE_BLOCKS_MAX: Final = 64
"""Blocks of headers that are known to be fine, and so are not read again."""

_HEAD: Final = struct.Struct(">BHBBI")
_SETTING: Final = struct.Struct(">HI")
_U32: Final = struct.Struct(">I")
_MESSAGE: Final = struct.Struct(">BI")

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FIELDS: Final = (
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
    (b"user-agent", b"runindex-benchmark"),
)


class WireError(Exception):
    """The server, or the connection, did what this caller does not understand."""


class CallRefused(Exception):
    """A call ended with another status than OK.

    Attributes:
        status: The code of gRPC.
        message: What the server says of it.
    """

    def __init__(self, status: int, message: str) -> None:
        """Take the code and the message."""
        super().__init__(f"status {status}: {message}")
        self.status = status
        self.message = message


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame."""
    return _HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


class Connection:
    """A connection with calls under way. Belongs to one thread."""

    def __init__(
        self, host: str, port: int, *, token: str = "", window_bytes: int = WINDOW_BYTES_MAX
    ) -> None:
        """Connect; the server's settings are not waited for.

        Args:
            host: Where.
            port: Where.
            token: Sent with each call, so that the server knows who calls; empty for none.
            window_bytes: What the server may send before it is told to go on. No answer is larger.

        Raises:
            OSError: Nobody listens there.
        """
        self._socket = socket.create_connection((host, port), timeout=WAIT_S)
        # The kernel's own timeout: Python's asks by a call of its own before each call.
        self._socket.settimeout(None)
        wait = struct.pack("@ll", int(WAIT_S), 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._authority = f"{host}:{port}".encode()
        bearer = f"Bearer {token}".encode()
        self._credentials = hpack.encode_unadded(b"authorization", bearer) if token else b""
        self._window_bytes = window_bytes
        self._out: list[bytes] = []
        self._held: deque[tuple[bytes, int]] = deque()
        self._send_window = self._stream_window = WINDOW_BYTES_DEFAULT
        self._received_bytes = 0
        self._rest = b""
        self._next_stream = 1
        self._data: dict[int, bytes] = {}
        self._added: list[tuple[bytes, bytes]] = []
        self._blocks: dict[str, bytes] = {}
        self._fine_blocks: set[bytes] = set()
        self._begin()
        self.flush()

    def _begin(self) -> None:
        """Queue what a client begins with; the server is to keep no table of headers."""
        settings = ((HEADER_TABLE_SIZE, 0), (ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, self._window_bytes))
        payload = b"".join(_SETTING.pack(*setting) for setting in settings)
        self._out += [_PREFACE, frame(SETTINGS, 0, NO_STREAM, payload)]
        if self._window_bytes > WINDOW_BYTES_DEFAULT:
            self._widen(self._window_bytes - WINDOW_BYTES_DEFAULT)

    def _widen(self, more_bytes: int) -> None:
        """Queue that the server may send more."""
        self._out.append(frame(WINDOW_UPDATE, 0, NO_STREAM, _U32.pack(more_bytes)))

    def fileno(self) -> int:
        """Return the socket's number, by which it can be waited for."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection; calls under way are given up."""
        self._socket.close()

    def call(self, path: str, request: bytes) -> int:
        """Queue a call, and return its stream.

        Args:
            path: `/package.Service/Method`.
            request: It has to fit into one frame.
        """
        stream = self._next_stream
        self._next_stream += 2
        block = self._blocks.get(path) or self._block(path)
        length = len(request) + _MESSAGE.size
        assert length <= min(FRAME_BYTES_MAX, self._stream_window), f"a request of {length} bytes"
        sent = b"".join(
            (
                _HEAD.pack(0, len(block), HEADERS, END_HEADERS, stream),
                block,
                _HEAD.pack(0, length, DATA, END_STREAM, stream),
                _MESSAGE.pack(0, len(request)),
                request,
            )
        )
        self._data[stream] = b""
        if self._held or length > self._send_window:
            self._held.append((sent, length))
        else:
            self._send_window -= length
            self._out.append(sent)
        return stream

    def _block(self, path: str) -> bytes:
        """Return the headers of a call, as entries of the server's table where they were sent before."""
        added_before = len(self._added)
        fields = [
            self._field(field) for field in ((b":authority", self._authority), (b":path", path.encode()))
        ]
        block = b"".join((hpack.POST, hpack.HTTP, *fields, *map(self._field, _FIELDS), self._credentials))
        if len(self._added) == added_before:
            self._blocks[path] = block
        else:
            self._blocks.clear()
        return block

    def _field(self, field: tuple[bytes, bytes]) -> bytes:
        """Return a header, as an entry of the server's table once it is there."""
        if field in self._added:
            return hpack.encode_index(hpack.DYNAMIC_FIRST + len(self._added) - 1 - self._added.index(field))
        self._added.append(field)
        table_bytes = sum(len(name) + len(value) + HEADER_ENTRY_BYTES for name, value in self._added)
        assert table_bytes <= HEADER_TABLE_BYTES_DEFAULT, "too many methods on one connection"
        return hpack.encode_added(*field)

    def flush(self) -> None:
        """Send what is queued."""
        if self._out:
            self._socket.sendall(b"".join(self._out))
            self._out.clear()

    def receive(self) -> list[tuple[int, bytes]]:
        """Wait until the server sends something, and return the calls that it ends, each with its answer.

        Raises:
            CallRefused: A call ended with another status than OK.
            WireError: What came is not understood.
            BlockingIOError: Nothing came for WAIT_S.
        """
        chunk = self._socket.recv(RECEIVE_BYTES)
        if not chunk:
            raise WireError("the server has closed the connection")
        buffer = self._rest + chunk if self._rest else chunk
        answers: list[tuple[int, bytes]] = []
        at, end = 0, len(buffer)
        while end - at >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(buffer, at)
            begin = at + _HEAD.size
            after = begin + (high << 16 | low)
            if after > end:
                break
            payload = buffer[begin:after]
            if kind == DATA:
                self._take_data(flags, stream, payload)
            elif kind == HEADERS:
                if self._take_headers(flags, stream, payload):
                    answers.append((stream, self._answer(stream)))
            else:
                self._control(kind, flags, stream, payload)
            at = after
        self._rest = buffer[at:]
        return answers

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        """Take a part of an answer, and let the server go on when half of its window is used."""
        if flags or stream not in self._data:
            msg = f"data with flags {flags} on stream {stream}"
            raise WireError(msg)
        self._data[stream] += payload
        self._received_bytes += len(payload)
        if self._received_bytes >= self._window_bytes // 2:
            self._widen(self._received_bytes)
            self._received_bytes = 0

    def _take_headers(self, flags: int, stream: int, block: bytes) -> bool:
        """Take the headers that begin an answer, or end it; tell whether they do."""
        if flags & ~END_STREAM != END_HEADERS or stream not in self._data:
            msg = f"headers with flags {flags} on stream {stream}"
            raise WireError(msg)
        is_end = bool(flags & END_STREAM)
        known = (b"end" if is_end else b"begin") + block
        if known in self._fine_blocks:
            return is_end
        fields = hpack.decode(block)
        if fields.get(b":status", b"200") != b"200":
            msg = f"status {fields[b':status']!r} of HTTP"
            raise WireError(msg)
        if is_end:
            _refuse_unless_ok(fields)
        if len(self._fine_blocks) < FINE_BLOCKS_MAX:
            self._fine_blocks.add(known)
        return is_end

    def _answer(self, stream: int) -> bytes:
        """Return the message of a call that has ended."""
        data = self._data.pop(stream)
        if len(data) < _MESSAGE.size or _MESSAGE.unpack_from(data) != (0, len(data) - _MESSAGE.size):
            msg = f"an answer that is not one plain message: {data[:16].hex()}, {len(data)} bytes"
            raise WireError(msg)
        return data[_MESSAGE.size :]

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Take a frame that carries nothing of an answer."""
        if kind == SETTINGS and not flags & ACK:
            self._take_settings(payload)
        elif kind == PING and not flags & ACK:
            self._out.append(frame(PING, ACK, NO_STREAM, payload))
        elif kind == WINDOW_UPDATE:
            if stream == NO_STREAM:
                self._send_window += _U32.unpack(payload)[0]
                self._send_held()
        elif kind != SETTINGS or payload:
            names = {RST_STREAM: "a reset", GOAWAY: "a goodbye"}
            msg = f"{names.get(kind, f'a frame of type {kind}')} on stream {stream}: {payload[:64]!r}"
            raise WireError(msg)

    def _take_settings(self, payload: bytes) -> None:
        """Take the server's settings, and say so."""
        settings = dict(_SETTING.iter_unpack(payload))
        if settings.get(HEADER_TABLE_SIZE, HEADER_TABLE_BYTES_DEFAULT) < HEADER_TABLE_BYTES_DEFAULT:
            raise WireError("a smaller table of headers")
        self._stream_window = settings.get(INITIAL_WINDOW_SIZE, self._stream_window)
        self._out.append(frame(SETTINGS, ACK, NO_STREAM, b""))

    def _send_held(self) -> None:
        """Queue the calls that the server's window now allows."""
        while self._held and self._held[0][1] <= self._send_window:
            sent, length = self._held.popleft()
            self._send_window -= length
            self._out.append(sent)


def _refuse_unless_ok(fields: dict[bytes, bytes | None]) -> None:
    """Refuse the end of a call unless its status is OK.

    Raises:
        CallRefused: It is another.
        WireError: There is none.
    """
    status = fields.get(b"grpc-status")
    if status is None:
        raise WireError("the end of a call without a status")
    if status != b"0":
        raise CallRefused(int(status), unquote((fields.get(b"grpc-message") or b"").decode()))
