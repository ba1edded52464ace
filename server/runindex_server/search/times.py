"""The times of a query, as text."""

import re
from datetime import datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # Offsets are reckoned apart, so that no year overflows.
_MICROSECOND: Final = timedelta(microseconds=1)

_INSTANT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d)))?",
    re.ASCII,
)


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
