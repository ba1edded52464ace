"""Attacks on the framing: prefaces, types, lengths, streams, floods."""

import random
from typing import Final

from tests.trust.wire.attacks import CONTENT_MARKER, Attack, Case, Legal
from tests.trust.wire.frames import (
    ACK,
    BEGIN,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    U32,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    block,
    call_fields,
    data,
    frame,
    headers,
    message,
    settings,
)

FLOOD: Final = (200, 3_000)
"""Frames of a flood, from and to."""


def bad_preface(chance: random.Random, legal: Legal) -> Case:
    broken = bytearray(PREFACE)
    broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
    begins = (
        b"",
        PREFACE[: chance.randrange(len(PREFACE))],
        bytes(broken) + b"".join(legal.exchange(chance))[len(PREFACE) :],
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + CONTENT_MARKER + b"\r\n\r\n",
        b"POST /runindex.v1.RunIndex/GetRun HTTP/1.0\r\nContent-Length: 99999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(200),
        chance.randbytes(chance.randrange(1, 400)),
        PREFACE * 2,
        PREFACE + b"\x00" * 100,
        b"\r\n" * 500,
    )
    return Case("bad preface", chance.choice(begins))


def no_settings(chance: random.Random, legal: Legal) -> Case:
    path, request = legal.one(chance)
    sent = PREFACE + headers(1, call_fields(path, token=legal.token)) + data(1, message(request))
    return Case("no settings", sent)


def wrong_settings(chance: random.Random, _: Legal) -> Case:
    wrong = (
        frame(SETTINGS, payload=chance.randbytes(chance.choice((1, 5, 7, 11)))),
        frame(SETTINGS, stream=1, payload=bytes(6)),
        frame(SETTINGS, ACK, payload=bytes(6)),
        settings((2, 2)),
        settings((4, 2**31)),
        settings((4, 2**32 - 1)),
        settings((5, chance.choice((0, 1, 16_383, 2**24, 2**32 - 1)))),
        settings((3, 0)),
        settings((6, chance.choice((0, 1)))),
        settings(*((chance.getrandbits(16), chance.getrandbits(32)) for _ in range(50))),
        settings((1, 2**32 - 1)),
        frame(SETTINGS, ACK) * 100,
    )
    return Case("wrong settings", BEGIN + chance.choice(wrong), reads=True)


def flood(chance: random.Random, _: Legal) -> Case:
    count = chance.randint(*FLOOD)
    of = (
        settings((4, 65_535)),
        settings((4, 0)) + settings((4, 2**31 - 1)),
        settings(),
        frame(PING, payload=b"12345678"),
        frame(PING, ACK, payload=b"12345678"),
        frame(WINDOW_UPDATE, payload=U32.pack(1)),
        frame(PRIORITY, stream=chance.randrange(1, 99), payload=U32.pack(0) + b"\x10"),
        frame(0xEE, 0xFF, 0, b""),
        frame(0xEE, 0, 1, bytes(50)),
        frame(RST_STREAM, stream=1, payload=U32.pack(8)),
    )
    return Case("flood", BEGIN + chance.choice(of) * count, reads=True)


def wrong_window(chance: random.Random, legal: Legal) -> Case:
    path, _ = legal.one(chance)
    opened = headers(1, call_fields(path, token=legal.token))
    wrong = (
        frame(WINDOW_UPDATE, payload=U32.pack(0)),
        frame(WINDOW_UPDATE, payload=U32.pack(2**31 - 1)) * chance.randint(1, 3),
        frame(WINDOW_UPDATE, payload=U32.pack(2**32 - 1)),
        opened + frame(WINDOW_UPDATE, stream=1, payload=U32.pack(2**31 - 1)) * 2,
        opened + frame(WINDOW_UPDATE, stream=1, payload=U32.pack(0)),
        frame(WINDOW_UPDATE, stream=chance.randrange(1, 2**31), payload=U32.pack(1)),
        frame(WINDOW_UPDATE, payload=chance.randbytes(chance.choice((0, 1, 3, 5, 8)))),
        opened + settings((4, 2**31 - 1)) + frame(WINDOW_UPDATE, stream=1, payload=U32.pack(2**31 - 1)),
    )
    return Case("wrong window", BEGIN + chance.choice(wrong), reads=True)


def wrong_frame(chance: random.Random, legal: Legal) -> Case:
    path, _ = legal.one(chance)
    fields = block(call_fields(path, token=legal.token))
    wrong = (
        frame(PING, payload=chance.randbytes(chance.choice((0, 7, 9)))),
        frame(PING, stream=1, payload=bytes(8)),
        frame(PRIORITY, stream=1, payload=U32.pack(1) + b"\x00"),
        frame(PRIORITY, stream=0, payload=bytes(5)),
        frame(PRIORITY, stream=1, payload=bytes(chance.choice((0, 4, 6)))),
        frame(RST_STREAM, stream=0, payload=bytes(4)),
        frame(RST_STREAM, stream=1, payload=bytes(chance.choice((0, 3, 5)))),
        frame(GOAWAY, payload=bytes(8) + CONTENT_MARKER),
        frame(GOAWAY, stream=1, payload=bytes(8)),
        frame(GOAWAY, payload=bytes(chance.randrange(8))),
        frame(PUSH_PROMISE, END_HEADERS, 1, U32.pack(2) + fields),
        frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + fields),
        frame(HEADERS, END_HEADERS | PADDED, 1, b""),
        frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, U32.pack(1) + b"\x00" + fields),
        frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, b"\x00"),
        frame(chance.randrange(10, 256), chance.getrandbits(8), chance.getrandbits(31), chance.randbytes(99)),
        frame(DATA, PADDED, 1, b"\x20" + bytes(3)),
    )
    return Case("wrong frame", BEGIN + chance.choice(wrong), reads=True)


def wrong_length(chance: random.Random, _: Legal) -> Case:
    kind, length = chance.randrange(10), chance.choice((FRAME_BYTES_MAX + 1, 65_536, 2**24 - 1))
    sent = chance.choice((b"", bytes(100), chance.randbytes(min(length, 70_000))))
    return Case("wrong length", BEGIN + frame(kind, END_HEADERS, 1, sent, length=length))


def wrong_stream(chance: random.Random, legal: Legal) -> Case:
    path, request = legal.one(chance)
    fields = call_fields(path, token=legal.token)

    def call(stream: int) -> bytes:
        return headers(stream, fields) + data(stream, message(request))

    wrong = (
        call(0),
        call(2),
        call(5) + call(3),
        call(1) + call(1),
        call(2**31 - 1) + call(1),
        call(2**31 + 1),
    )
    return Case("wrong stream", BEGIN + chance.choice(wrong), reads=True)


def data_without_headers(chance: random.Random, legal: Legal) -> Case:
    _, request = legal.one(chance)
    stream = chance.choice((0, 1, 2, 3, 2**31 - 1))
    sent = data(stream, message(request), ends=chance.random() < 0.5) * chance.randint(1, 50)
    return Case("data without headers", BEGIN + sent, reads=True)


def continuations(chance: random.Random, legal: Legal) -> Case:
    path, _ = legal.one(chance)
    fields = block(call_fields(path, token=legal.token))
    piece = chance.choice((b"", block([(b"x", CONTENT_MARKER)]), b"\x00" * 50, fields[:10]))
    begun = frame(HEADERS, chance.choice((0, END_STREAM)), 1, fields)
    wrong = (
        begun + frame(CONTINUATION, 0, 1, piece) * chance.randint(*FLOOD),
        begun + frame(CONTINUATION, END_HEADERS, 3, piece),
        begun + frame(DATA, 0, 1, b"") + frame(CONTINUATION, END_HEADERS, 1, piece),
        begun + frame(PING, payload=bytes(8)),
        begun + headers(3, call_fields(path)),
        frame(CONTINUATION, END_HEADERS, 1, fields),
        frame(HEADERS, END_HEADERS, 1, fields) + frame(CONTINUATION, END_HEADERS, 1, piece),
        begun,
    )
    return Case("continuations", BEGIN + chance.choice(wrong))


def after_the_end(chance: random.Random, legal: Legal) -> Case:
    path, request = legal.one(chance)
    call = headers(1, call_fields(path, token=legal.token)) + data(1, message(request))
    more = (
        data(1, message(request)),
        data(1, b"") * 100,
        headers(1, [(b"x", b"y")], ends=True),
        frame(RST_STREAM, stream=1, payload=U32.pack(chance.getrandbits(32))) * 3,
        frame(WINDOW_UPDATE, stream=1, payload=U32.pack(2**31 - 1)),
    )
    return Case("after the end", BEGIN + call + chance.choice(more), reads=True)


def reset_at_once(chance: random.Random, legal: Legal) -> Case:
    path, request = legal.one(chance)
    fields, body = call_fields(path, token=legal.token), message(request)
    with_body = chance.random() < 0.5
    streams = range(1, 2 * chance.randint(2, 100), 2)
    sent = b"".join(
        headers(stream, fields)
        + (data(stream, body) if with_body else b"")
        + frame(RST_STREAM, stream=stream, payload=U32.pack(8))
        for stream in streams
    )
    return Case("reset at once", BEGIN + sent, reads=True)


def headers_only(chance: random.Random, legal: Legal) -> Case:
    path, _ = legal.one(chance)
    fields = call_fields(path, token=legal.token)
    sent = b"".join(headers(2 * number + 1, fields) for number in range(chance.randint(1, 100)))
    return Case("headers only", BEGIN + sent, reads=True)


def no_window(chance: random.Random, legal: Legal) -> Case:
    """Leave the server no room for its answers, and go away."""
    frames = legal.exchange(chance, calls=chance.randint(1, 8))
    window = chance.choice((0, 1, 5))
    return Case("no window", PREFACE + settings((1, 0), (4, window)) + b"".join(frames[1:]), reads=True)


def frame_soup(chance: random.Random, legal: Legal) -> Case:
    """Frames of random types, flags, streams and contents, among them right ones."""
    frames = legal.exchange(chance, calls=3)[1:]
    soup = [
        frame(
            chance.choice((*range(10), chance.getrandbits(8))),
            chance.choice((0, 1, 4, 5, 8, 0x20, chance.getrandbits(8))),
            chance.choice((0, 1, 3, 5, 7, chance.getrandbits(32))),
            chance.randbytes(chance.choice((0, 4, 5, 8, 40))),
        )
        for _ in range(chance.randint(1, 20))
    ]
    for piece in soup:
        frames.insert(chance.randint(0, len(frames)), piece)
    return Case("frame soup", BEGIN + b"".join(frames), reads=True)


HTTP2: Final[tuple[Attack, ...]] = (
    bad_preface,
    no_settings,
    wrong_settings,
    flood,
    wrong_window,
    wrong_frame,
    wrong_length,
    wrong_stream,
    data_without_headers,
    continuations,
    after_the_end,
    reset_at_once,
    headers_only,
    no_window,
    frame_soup,
)
