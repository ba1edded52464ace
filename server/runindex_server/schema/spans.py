"""Spans of time as people write them: ages and durations in queries, retention in settings."""

import re
from typing import Final

_SPAN: Final = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?([smhdw])", re.ASCII)

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
