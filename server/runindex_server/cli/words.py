"""Numbers, times and policies as operators read them."""

from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runindex.v1 import run_index_pb2 as pb

_BYTE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SPAN_UNITS_S: Final = (("w", 7 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60))


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
