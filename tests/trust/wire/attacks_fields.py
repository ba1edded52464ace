"""Attacks on header fields: their compression, their sizes, and what gRPC reads from them."""

import random
from typing import Final

from benchmarks.hpack import encode_integer
from tests.trust.wire.attacks import CONTENT_MARKER, Attack, Case, Legal
from tests.trust.wire.frames import (
    BEGIN,
    added,
    block,
    call_fields,
    data,
    headers,
    in_frames,
    message,
    string,
)

PATHS: Final = (
    *(b"", b"/", b"//", b"*", b"?", b"/" * 200, b"runindex.v1.RunIndex/GetRun", b"/runindex.v1.RunIndex/"),
    *(b"/runindex.v1.RunIndex", b"/runindex.v1.RunIndex/GetRun/", b"/runindex.v1.RunIndex/GetRun?x=1"),
    *(b"/runindex.v1.RunIndex/getrun", b"/RUNINDEX.V1.RUNINDEX/GetRun", b"/runindex.v1.RunIndex/Get%52un"),
    *(b"/grpc.health.v1.Health/Check", b"/grpc.health.v1.Health/List", b"/x/" + CONTENT_MARKER),
    *(b"/\x00\xff\xfe", b"/runindex.v1.RunIndex/GetRun\r\nx: y", "/ünï/cödé".encode(), b"/" + b"x" * 5_000),
    *(
        b"/../../etc/passwd",
        b"http://localhost/runindex.v1.RunIndex/GetRun",
        b"/runindex.v1.RunIndex/__init__",
    ),
)
TIMEOUTS: Final = (
    *(b"99999999H", b"0n", b"1n", b"-1S", b"1", b"S", b"", b"123456789S", b"1e3S", b"1.5S", b" 1S", b"1 S"),
    *(b"1s", b"00000001S", b"+1S", b"\xff\xff", b"1" * 200, b"99999999u", b"1S1S", b"0x1S", b"NaNS"),
)
CONTENT_TYPES: Final = (
    *(b"", b"application/json", b"application/grpc+json", b"application/grpc-web", b"APPLICATION/GRPC"),
    *(b"application/grpc;charset=utf-8", b"application/grp", b"text/html", b"application/grpc\x00", b"\xff"),
    b"application/" + CONTENT_MARKER,
)
BINARY: Final = (
    *(b"!!!", b"====", b"a", b"ab=c", b"\xff\xfe", b"AAAA,BBBB", b"", b"A" * 3_000, b" AAAA", b"-_-_"),
    *(b"AAA=AAA=", CONTENT_MARKER),
)
METADATA: Final = (
    *(
        b"x-bin",
        b"grpc-status-details-bin",
        b"grpc-trace-bin",
        b"grpc-tags-bin",
        b"grpc-previous-rpc-attempts",
    ),
    *(
        b"grpc-accept-encoding",
        b"grpc-encoding",
        b"user-agent",
        b"grpc-message",
        b"grpc-status",
        b"traceparent",
    ),
    *(b"tracestate", b"baggage", b"host", b"cookie", b"grpc-retry-pushback-ms", b"lb-token", b"x-envoy-peer"),
    *(b"grpc-internal-encoding-request", b"endpoint-load-metrics-bin", b"grpc-server-stats-bin", b"te"),
)
AUTHORIZATIONS: Final = (
    *(
        b"",
        b"Bearer",
        b"Bearer ",
        b"bearer x",
        b"Basic dXNlcjpwYXNz",
        b"Bearer ri__",
        b"Bearer ri_",
        b"\xff\xfe",
    ),
    *(b"Bearer " + b"x" * 4_000, b"Bearer ri_" + b"0" * 12 + b"_" + CONTENT_MARKER, b"Bearer\tri_", b" "),
)


def _called(name: str, fields: list[tuple[bytes, bytes]], request: bytes) -> Case:
    """Return the case of a call that is made with other header fields, and comes to its end."""
    return Case(name, BEGIN + headers(1, fields) + data(1, message(request)), ends=1)


def hpack_bomb(chance: random.Random, legal: Legal) -> Case:
    """Name one large entry of the table very often: few bytes that mean very many."""
    path, request = legal.one(chance)
    size = chance.choice((100, 1_000, 3_900))
    bomb = added(b"x", b"y" * size) + b"\xbe" * chance.choice((10, 500, 12_000, 40_000))
    whole = block(call_fields(path, token=legal.token)) + bomb
    return Case("HPACK bomb", BEGIN + in_frames(1, whole) + data(1, message(request)), ends=1)


def bad_hpack(chance: random.Random, legal: Legal) -> Case:
    path, request = legal.one(chance)
    good = block(call_fields(path, token=legal.token))
    bad = (
        b"\x80",
        b"\xc6",
        encode_integer(2**31, 7, 0x80),
        b"\xff" * chance.randint(2, 40),
        b"\xff" + b"\x80" * chance.randint(5, 200) + b"\x01",
        b"\x00\x85\xff\xff\xff\xff\xff\x00",
        b"\x00\x01x\x84\xff\xff\xff\xff",
        b"\x40" + encode_integer(2**30, 7) + b"x",
        b"\x00" + string(b"x") + encode_integer(50, 7) + b"y",
        encode_integer(4_097, 5, 0x20),
        encode_integer(2**40, 5, 0x20),
        encode_integer(0, 5, 0x20) + encode_integer(4_096, 5, 0x20) + encode_integer(0, 5, 0x20),
        b"\x7f\xff\xff\xff\xff\x0f",
        chance.randbytes(chance.randint(1, 300)),
    )
    wrong = chance.choice(bad)
    whole = chance.choice((good + wrong, wrong + good, wrong))
    return Case("bad HPACK", BEGIN + in_frames(1, whole) + data(1, message(request)), ends=1)


def many_fields(chance: random.Random, legal: Legal) -> Case:
    """Send metadata about the bounds of what is taken, and far beyond them."""
    path, request = legal.one(chance)
    size = chance.choice((100, 7_000, 8_300, 12_000, 16_500, 70_000, 300_000))
    each = chance.choice((1, 50, 2_000, size))
    more = [(b"x-%d" % number, CONTENT_MARKER[:1] * each) for number in range(size // (each + 8) + 1)]
    return _called("many fields", call_fields(path, *more, token=legal.token), request)


def wrong_path(chance: random.Random, legal: Legal) -> Case:
    _, request = legal.one(chance)
    return _called("wrong path", call_fields(chance.choice(PATHS), token=legal.token), request)


def pseudo_fields(chance: random.Random, legal: Legal) -> Case:
    """Leave out fields, double them, put them into another order, or give them other values."""
    path, request = legal.one(chance)
    fields = call_fields(path, token=legal.token)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(fields))
        match chance.randrange(5):
            case 0:
                fields.pop(place)
            case 1:
                fields.insert(chance.randint(0, len(fields)), fields[place])
            case 2:
                chance.shuffle(fields)
            case 3:
                name, _ = fields[place]
                wrong = (b"GET", b"CONNECT", b"https", b"", b"\x00", b"ftp", b"a b", CONTENT_MARKER)
                fields[place] = name, chance.choice(wrong)
            case _:
                name, value = fields[place]
                odd = (name.upper(), b":x", b"", b"a b", b"\xff", b"connection", b"transfer-encoding")
                fields[place] = chance.choice(odd), value
        if not fields:
            break
    return _called("pseudo fields", fields, request)


def wrong_timeout(chance: random.Random, legal: Legal) -> Case:
    path, request = legal.one(chance)
    timeouts = [(b"grpc-timeout", chance.choice(TIMEOUTS)) for _ in range(chance.choice((1, 1, 2)))]
    return _called("wrong timeout", call_fields(path, *timeouts, token=legal.token), request)


def wrong_content_type(chance: random.Random, legal: Legal) -> Case:
    path, request = legal.one(chance)
    fields = dict(call_fields(path, token=legal.token)) | {b"content-type": chance.choice(CONTENT_TYPES)}
    return _called("wrong content type", list(fields.items()), request)


def odd_metadata(chance: random.Random, legal: Legal) -> Case:
    path, request = legal.one(chance)
    values = (*BINARY, chance.randbytes(30), b"00-" + b"f" * 32 + b"-" + b"0" * 16 + b"-ff")
    odd = [(chance.choice(METADATA), chance.choice(values)) for _ in range(chance.randint(1, 6))]
    return _called("odd metadata", call_fields(path, *odd, token=legal.token), request)


def wrong_authorization(chance: random.Random, legal: Legal) -> Case:
    path, request = legal.one(chance)
    token = legal.token
    wrong = (
        *AUTHORIZATIONS,
        b"Bearer " + token[:-1],
        b"Bearer " + token + b"x",
        b"Bearer  " + token,
        b"Basic " + token,
        token,
    )
    given = [(b"authorization", chance.choice(wrong)) for _ in range(chance.choice((1, 1, 2, 20)))]
    return _called("wrong authorization", call_fields(path, *given), request)


FIELDS: Final[tuple[Attack, ...]] = (
    hpack_bomb,
    bad_hpack,
    many_fields,
    wrong_path,
    pseudo_fields,
    wrong_timeout,
    wrong_content_type,
    odd_metadata,
    wrong_authorization,
)
