"""Numbers, times, states and policies as people read and write them."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import runindex

_BYTE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SPAN_UNITS_S: Final = {"w": 7 * 86_400, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_AGO_UNITS_S: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_LONG_UNITS_S: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_SHORT_UNITS_US: Final = (("s", 1_000_000), ("ms", 1_000))
_MICROSECOND: Final = timedelta(microseconds=1)

_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhdw])", re.ASCII)
_INSTANT: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d))?", re.ASCII
)
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


def time_text(time: datetime) -> str:
    """Return a time, to the second, in UTC: `2026-03-01 12:00:30 UTC`."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def ago_text(time: datetime, now: datetime) -> str:
    """Return how long ago a time was, in its largest unit: `3 min ago`; of a time to come, `in 29 d`."""
    seconds = round((now - time).total_seconds())
    for unit, unit_s in _AGO_UNITS_S:
        if number := abs(seconds) // unit_s:
            return f"{number:,} {unit} ago" if seconds > 0 else f"in {number:,} {unit}"
    return "now"


def duration_text(duration: timedelta) -> str:
    """Return a duration as people read it: `340 ms`, `1.52 s`, `3h 20m 5s`; from a day on to the minute."""
    duration_us = duration // _MICROSECOND
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


def percent_text(part: float) -> str:
    """Return a part of 1 in percent: `6.72 %`."""
    return f"{100 * part:.2f} %"


def counts_text(counts: "runindex.Counts") -> str:
    """Return counts by state: `active 2, failed 1,200`."""
    return ", ".join(f"{state.lower()} {count:,}" for state, count in counts.items())


def tags_text(tags: Iterable[str]) -> str:
    """Return tags as a table shows them."""
    return ", ".join(tags)


def plain(text: str) -> str:
    r"""Return a text that nothing in it can make a terminal obey: control characters as `\x1b`."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def span_of(text: str) -> timedelta | None:
    """Return a span such as `90s`, `1.5h` or `2w`; None when it is none."""
    found = _SPAN.fullmatch(text)
    if found is None:
        return None
    number, unit = found.groups()
    try:
        return timedelta(seconds=float(number) * _SPAN_UNITS_S[unit])
    except OverflowError:
        return None


def instant_of(text: str) -> datetime | None:
    """Return a date, which is its midnight in UTC, or an instant of RFC 3339; None when it is neither."""
    if _INSTANT.fullmatch(text) is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def span_text(span: timedelta) -> str:
    """Return a span as options take it, in the largest unit that is exact: `30d`, `1.5s`."""
    seconds = span.total_seconds()
    for unit, unit_s in _SPAN_UNITS_S.items():
        if seconds and seconds % unit_s == 0:
            return f"{int(seconds // unit_s)}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def policy_text(retention: "runindex.Retention") -> str:
    """Return a retention policy as options take it: `delete_after=90d`."""
    match retention:
        case runindex.KeepLatest(count):
            return f"keep_latest_n={count}"
        case runindex.KeepFor(duration):
            return f"keep_duration={span_text(duration)}"
        case runindex.DeleteAfter(duration):
            return f"delete_after={span_text(duration)}"
        case _:
            return "keep_all"


def policy_of(text: str) -> "runindex.Retention | None":
    """Return a retention policy that was written as `policy_text` writes it; None when it is none."""
    name, _, bound = text.partition("=")
    if text == "keep_all":
        return runindex.KeepAll()
    if name == "keep_latest_n" and bound.isdecimal() and len(bound) < 19:
        return runindex.KeepLatest(int(bound))
    span = span_of(bound)
    if span is None:
        return None
    match name:
        case "keep_duration":
            return runindex.KeepFor(span)
        case "delete_after":
            return runindex.DeleteAfter(span)
        case _:
            return None
