"""The times, ages and durations of a query, as text."""

import re
from datetime import datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # Offsets are reckoned apart, so that no year overflows.
_MICROSECOND: Final = timedelta(microseconds=1)

_SPAN: Final = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?([smhdw])", re.ASCII)
_INSTANT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d)))?",
    re.ASCII,
)

_UNITS_US: Final = {
    "s": 1_000_000,
    "m": 60 * 1_000_000,
    "h": 3_600 * 1_000_000,
    "d": 86_400 * 1_000_000,
    "w": 7 * 86_400 * 1_000_000,
}


def parse_span_us(text: str) -> int | None:
    """Return an age or a duration such as `90s`, `1.5h`, `2w` in microseconds; None when it is neither.

    Up to 9 digits, up to 6 decimals, and one of `s`, `m`, `h`, `d`, `w`.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        return None
    whole, decimals, unit = match.groups(default="")
    return int(whole + decimals.ljust(6, "0")) * _UNITS_US[unit] // 1_000_000


def parse_instant_us(text: str) -> int | None:
    """Return a date or an instant of RFC 3339 in microseconds since 1970; None when it is neither.

    A date is its midnight in UTC. Of a fraction of a second, what is below the microsecond is cut off.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    date, time, fraction, sign, hours, minutes = match.groups(default="")
    try:
        instant = datetime.fromisoformat(f"{date}T{time or '00:00:00'}")
    except ValueError:
        return None
    offset_s = int(f"{sign}1") * (int(hours) * 3_600 + int(minutes) * 60) if sign else 0
    return (instant - _EPOCH) // _MICROSECOND - offset_s * 1_000_000 + int(fraction[:6].ljust(6, "0"))
