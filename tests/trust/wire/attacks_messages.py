"""Attacks on messages, and mutations of whole exchanges that were legal."""

import gzip
import random
import zlib
from functools import cache
from typing import Final

from tests.trust.wire.attacks import CONTENT_MARKER, Attack, Case, Legal
from tests.trust.wire.attacks_fields import FIELDS
from tests.trust.wire.attacks_http2 import HTTP2
from tests.trust.wire.frames import BEGIN, call_fields, data, frame, frames_in, headers, message

MUTATIONS_MAX: Final = 8
BOMB_BYTES: Final = 60 * 1024 * 1024
"""As many as fit into the window of a stream when they are compressed."""

ENCODINGS: Final = (b"gzip", b"deflate", b"identity", b"br", b"snappy", b"", b"gzip,gzip", CONTENT_MARKER)


@cache
def gzip_bomb() -> bytes:
    """Return 60 KiB that are 60 MiB."""
    return gzip.compress(bytes(BOMB_BYTES), mtime=0)


def _sent(name: str, legal: Legal, path: bytes, body: bytes, *fields: tuple[bytes, bytes]) -> Case:
    """Return the case of a call that sends a body and comes to its end."""
    return Case(
        name, BEGIN + headers(1, call_fields(path, *fields, token=legal.token)) + data(1, body), ends=1
    )


def no_message(chance: random.Random, legal: Legal) -> Case:
    """End a stream before its message. gRPC ends it only with its connection; others are answered."""
    path, request = legal.one(chance)
    fields = call_fields(path, token=legal.token)
    cut = message(request or b"x", length=len(request) + chance.randint(2, 100))
    ended = (
        headers(1, fields) + data(1, b""),
        headers(1, fields, ends=True),
        headers(1, fields) + data(1, cut),
        headers(1, fields) + data(1, cut[: chance.randint(1, 5)]),
    )
    return Case("no message", BEGIN + chance.choice(ended), reads=True)


def wrong_message(chance: random.Random, legal: Legal) -> Case:
    """Send a body that is not one message: more than one, or one that lies about its length."""
    path, request = legal.one(chance)
    bodies = (
        message(b""),
        message(request, length=2**24),
        message(request, length=2**32 - 1),
        message(request, length=2**31),
        message(request) * 2,
        message(request) + b"\x00" * chance.randint(1, 9),
        message(request, length=max(0, len(request) - 1)),
        message(request, compressed=chance.randrange(1, 256)),
        chance.randbytes(chance.randint(1, 500)),
    )
    return _sent("wrong message", legal, path, chance.choice(bodies))


def wrong_request(chance: random.Random, legal: Legal) -> Case:
    """Send bytes that are no such request, or nearly one."""
    path, request = legal.one(chance)
    spoilt = bytearray(request or b"\x00")
    for _ in range(chance.randint(1, 4)):
        spoilt[chance.randrange(len(spoilt))] = chance.getrandbits(8)
    deep = CONTENT_MARKER
    for _ in range(chance.randint(1, 200)):
        deep = b"\x0a" + bytes([len(deep) & 0x7F]) + deep[:127]
    bodies = (bytes(spoilt), chance.randbytes(chance.randint(1, 2_000)), request + request, deep)
    return _sent("wrong request", legal, path, message(chance.choice(bodies)))


def large_message(chance: random.Random, legal: Legal) -> Case:
    """Send a message about the bound of the server, or only say that one is coming."""
    path, request = legal.one(chance)
    size = chance.choice((1_000, 60_000))
    whole = request + b"\xfa\x7f" + b"\x80\x80\x40"
    if chance.random() < 0.5:
        return _sent("large message", legal, path, message(whole + bytes(size)))
    told = chance.choice((4 * 2**20 + 1, 2**26, 2**31 - 1))
    return _sent("large message", legal, path, message(bytes(size), length=told))


def compressed(chance: random.Random, legal: Legal) -> Case:
    """Send what is said to be compressed, and is, or is not, or in another way."""
    path, request = legal.one(chance)
    packed = gzip.compress(request, mtime=0)
    contents = (
        packed,
        packed[: len(packed) // 2],
        packed + packed,
        zlib.compress(request),
        request,
        b"",
        b"\x1f\x8b" + chance.randbytes(100),
        chance.randbytes(300),
    )
    body = message(chance.choice(contents), compressed=1)
    fields = [(b"grpc-encoding", chance.choice(ENCODINGS))] * chance.choice((0, 1, 1, 1, 2))
    return _sent("compressed", legal, path, body, *fields)


def compressed_bomb(chance: random.Random, legal: Legal) -> Case:
    path, _ = legal.one(chance)
    body = message(gzip_bomb(), compressed=1)
    return _sent("compressed bomb", legal, path, body, (b"grpc-encoding", b"gzip"))


def trailers(chance: random.Random, legal: Legal) -> Case:
    """End a call by header fields, as only servers do."""
    path, request = legal.one(chance)
    fields = headers(1, call_fields(path, token=legal.token))
    after = chance.choice(([(b"x", b"y")], [(b":path", path)], [(b"grpc-status", b"0")], []))
    end = headers(1, after, ends=True)
    if chance.random() < 0.5:
        # A stream without a message is not ended until its connection is.
        return Case("trailers", BEGIN + fields + end, reads=True)
    return Case("trailers", BEGIN + fields + data(1, message(request), ends=False) + end, ends=1)


def streams_of_health(chance: random.Random, legal: Legal) -> Case:
    """Open streams that stay open, with right and wrong requests, and go away."""
    paths = (
        b"/grpc.health.v1.Health/Watch",
        b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        b"/runindex.v1.Maintenance/Backup",
        b"/runindex.v1.Maintenance/Verify",
    )
    sent = b"".join(
        headers(stream, call_fields(chance.choice(paths), token=legal.token))
        + data(stream, message(chance.choice((b"", chance.randbytes(20)))), ends=chance.random() < 0.5)
        for stream in range(1, 2 * chance.randint(1, 4), 2)
    )
    return Case("streams", BEGIN + sent, reads=True)


def several_calls(chance: random.Random, legal: Legal) -> Case:
    """Make calls as a good client does: what is broken elsewhere has to be whole here."""
    count = chance.randint(1, 6)
    return Case("legal calls", b"".join(legal.exchange(chance, calls=count)), ends=count)


def mutated_bytes(chance: random.Random, legal: Legal) -> Case:
    """Change bytes of a legal exchange: flip, remove, repeat, insert, cut."""
    sent = bytearray(b"".join(legal.exchange(chance, calls=chance.randint(1, 4))))
    for _ in range(chance.randint(1, MUTATIONS_MAX)):
        at, length = chance.randrange(len(sent)), chance.choice((1, 1, 2, 4, 9, 50))
        match chance.randrange(6):
            case 0:
                sent[at] ^= 1 << chance.randrange(8)
            case 1:
                sent[at] = chance.choice((0, 0x7F, 0x80, 0xFF))
            case 2:
                del sent[at : at + length]
            case 3:
                sent[at:at] = sent[at : at + length]
            case 4:
                sent[at:at] = chance.randbytes(length)
            case _:
                other = b"".join(legal.exchange(chance))
                sent[at:at] = other[chance.randrange(len(other)) :][:length]
        if not sent:
            break
    return Case("mutated bytes", bytes(sent[: chance.choice((len(sent), len(sent), len(sent) // 2))]))


def mutated_frames(chance: random.Random, legal: Legal) -> Case:
    """Change frames of a legal exchange: their order, number, type, flags, stream or length."""
    whole = b"".join(legal.exchange(chance, calls=chance.randint(1, 4))[1:])
    frames = list(frames_in(whole))
    for _ in range(chance.randint(1, MUTATIONS_MAX)):
        at = chance.randrange(len(frames))
        kind, flags, stream, payload = frames[at]
        match chance.randrange(7):
            case 0:
                frames.append(frames.pop(at))
            case 1:
                frames.insert(at, frames[at])
            case 2:
                frames[at] = chance.randrange(12), flags, stream, payload
            case 3:
                frames[at] = kind, flags ^ 1 << chance.randrange(8), stream, payload
            case 4:
                frames[at] = kind, flags, chance.choice((0, 1, 2, 3, 5, 2**31 - 1)), payload
            case 5:
                frames[at] = kind, flags, stream, payload[: chance.randint(0, len(payload))]
            case _:
                frames[at] = kind, flags, stream, payload + chance.randbytes(chance.randint(1, 20))
    return Case("mutated frames", BEGIN + b"".join(frame(*each) for each in frames), reads=True)


MESSAGES: Final[tuple[Attack, ...]] = (
    no_message,
    wrong_message,
    wrong_request,
    large_message,
    compressed,
    compressed_bomb,
    trailers,
    streams_of_health,
    several_calls,
    *(mutated_bytes,) * 6,
    *(mutated_frames,) * 4,
)
ATTACKS: Final = (*HTTP2, *FIELDS, *MESSAGES)
"""All kinds, those that find most several times."""
