"""Numbers, times and policies as operators read them."""

import re
from collections.abc import Iterable
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runindex.v1 import run_index_pb2 as pb

_BYTE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SPAN_UNITS_S: Final = (("w", 7 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60))
_LONG_UNITS_S: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_SHORT_UNITS_US: Final = (("s", 1_000_000), ("ms", 1_000))

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def bytes_text(number: int) -> str:
    """Return a number of bytes: `512 B`, `1.5 MiB`."""
    power = 0
    while power < len(_BYTE_UNITS) - 1 and number >= 1024 ** (power + 1):
        power += 1
    digits = 1 if power else 0
    return f"{number / 1024**power:.{digits}f} {_BYTE_UNITS[power]}"


def count_text(number: int, one: str, many: str = "") -> str:
    """Return a number of things: `1 run`, `2,000 runs`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def time_text(time: Timestamp) -> str:
    """Return a time, to the second, in UTC: `2026-03-01 12:00:30 UTC`."""
    return Timestamp(seconds=time.seconds).ToJsonString().replace("T", " ").replace("Z", " UTC")


def span_text(span: Duration) -> str:
    """Return a span as settings take it, in the largest unit that is exact: `30d`, `1.5s`."""
    if span.nanos == 0 and span.seconds:
        for unit, unit_s in _SPAN_UNITS_S:
            if span.seconds % unit_s == 0:
                return f"{span.seconds // unit_s}{unit}"
    return span.ToJsonString()


def took_text(span: Duration) -> str:
    """Return how long something took, to a tenth of a second: `12.3 s`."""
    return f"{span.seconds + span.nanos / 1_000_000_000:.1f} s"


def duration_text(duration_us: int) -> str:
    """Return a duration as people read it: `340 ms`, `1.52 s`, `3h 20m 5s`; from a day on to the minute."""
    for unit, unit_us in _SHORT_UNITS_US:
        if unit_us <= duration_us < 60_000_000:
            number = duration_us / unit_us
            digits = 2 if number < 10 else 1 if number < 100 else 0
            return f"{number:.{digits}f} {unit}"
    if duration_us < 1_000:
        return f"{duration_us} us"
    rest_s = duration_us // 1_000_000
    if rest_s >= 86_400:  # Seconds tell nothing then.
        rest_s -= rest_s % 60
    parts = []
    for unit, unit_s in _LONG_UNITS_S:
        number, rest_s = divmod(rest_s, unit_s)
        if number:
            parts.append(f"{number:,}{unit}")
    return " ".join(parts)


def age_text(age_us: int) -> str:
    """Return how long ago something was that is known to the minute: `2d 4h`; less than a minute: `now`."""
    return "now" if age_us < 60_000_000 else duration_text(age_us - age_us % 60_000_000)


def percent_text(part: float) -> str:
    """Return a part of 1 in percent: `6.72 %`."""
    return f"{100 * part:.2f} %"


def state_text(state: pb.RunState.ValueType) -> str:
    """Return a state in lower case: `active`."""
    return pb.RunState.Name(state).removeprefix("RUN_STATE_").lower()


def states_text(rows: Iterable[pb.StateCount]) -> str:
    """Return counts by state: `active 2, failed 1,200`."""
    return ", ".join(f"{state_text(row.state)} {row.count:,}" for row in rows)


def plain(text: str) -> str:
    r"""Return a text that nothing in it can make a terminal obey: control characters as `\x1b`."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def policy_text(policy: pb.RetentionPolicy) -> str:
    """Return a retention policy as settings take it: `delete_after=90d`."""
    match policy.WhichOneof("policy"):
        case "keep_latest_n":
            return f"keep_latest_n={policy.keep_latest_n}"
        case "keep_duration":
            return f"keep_duration={span_text(policy.keep_duration)}"
        case "delete_after":
            return f"delete_after={span_text(policy.delete_after)}"
        case _:
            return "keep_all"
