"""All attacks: what is done, to a server started how, and how often."""

from typing import Final

from tests.trust.callers import cuts, floods, idle, setup, slow, streams
from tests.trust.callers.trial import Attack

SPARING_S: Final = 0.004
"""The pause of a good client whose own calls are counted: it stays well below what it may."""

ATTACKS: Final = (
    Attack("header-only streams", streams.header_only, 2_048, 16_384),
    Attack("rapid reset, one connection", streams.rapid_reset, 20_000, 200_000),
    Attack("rapid reset, four connections", streams.rapid_reset_of_several, 20_000, 200_000),
    Attack("slow writers", slow.slow_writers, 50, 500),
    Attack("slow readers, closed windows", slow.closed_windows, 2, 4),
    Attack("slow readers, full sockets", slow.full_sockets, 2, 4),
    Attack("half-open connections", slow.half_open, 200, 2_000),
    Attack("unfinished HTTP/2", slow.unfinished, 240, 2_400),
    Attack("unfinished TLS", slow.unfinished, 240, 2_400, prepare=setup.with_tls),
    Attack("idle connections", idle.idle, 5_000, 5_000),
    Attack("connections beyond the limit", idle.beyond_the_limit, 10_000, 10_000, reconnects=False),
    Attack("flood of calls", floods.overload, 10_000, 100_000, is_flood=True),
    Attack(
        *("flood of writes, slow disk", floods.overload_of_a_slow_disk, 8_000, 40_000, setup.on_a_slow_disk),
        is_flood=True,
    ),
    Attack(
        *("flood beyond a rate", floods.too_often, 10_000, 100_000, setup.with_rates, SPARING_S),
        is_flood=True,
    ),
    Attack("expired deadlines", floods.expired, 1_000, 10_000, is_flood=True),
    Attack("cut connections", cuts.cut, 150, 10_000),
    Attack("cut connections, two workers", cuts.cut, 150, 10_000, setup.with_two_workers),
)
