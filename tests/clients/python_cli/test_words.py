"""Numbers, times and spans as people read and write them; answers as JSON."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

import runindex
from runindex.cli import words
from runindex.cli.json_values import json_of, line_of

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "now"),
        (0.4, "now"),
        (-0.4, "now"),
        (1, "1 s ago"),
        (59.4, "59 s ago"),
        (59.9, "1 min ago"),
        (119, "1 min ago"),
        (3_600, "1 h ago"),
        (86_399, "23 h ago"),
        (86_400, "1 d ago"),
        (400 * 86_400, "400 d ago"),
        (4_000 * 86_400, "4,000 d ago"),
        (-1, "in 1 s"),
        (-7_200, "in 2 h"),
    ],
)
def test_how_long_ago(seconds: float, told: str) -> None:
    assert words.ago_text(NOW - timedelta(seconds=seconds), NOW) == told


@pytest.mark.parametrize(
    ("duration", "told"),
    [
        (timedelta(0), "0 us"),
        (timedelta(microseconds=999), "999 us"),
        (timedelta(milliseconds=1), "1.00 ms"),
        (timedelta(milliseconds=340), "340 ms"),
        (timedelta(seconds=1.524), "1.52 s"),
        (timedelta(seconds=59), "59.0 s"),
        (timedelta(seconds=60), "1m"),
        (timedelta(hours=3, minutes=20, seconds=5), "3h 20m 5s"),
        (timedelta(days=2, hours=4, seconds=5), "2d 4h"),
    ],
)
def test_durations(duration: timedelta, told: str) -> None:
    assert words.duration_text(duration) == told


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1_536 * 1_024, "1.5 MiB"), (1 << 60, "1024.0 PiB")],
)
def test_bytes(number: int, told: str) -> None:
    assert words.bytes_text(number) == told


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("2w", timedelta(days=14)),
        ("0m", timedelta(0)),
        ("1", None),
        ("m", None),
        ("1 m", None),
        ("-1m", None),
        ("1m30s", None),
        ("٣m", None),
        ("999999999w", None),
        ("1234567890s", None),
    ],
)
def test_spans(text: str, span: timedelta | None) -> None:
    assert words.span_of(text) == span


@pytest.mark.parametrize("text", ["1w", "30d", "36h", "90m", "1.5s", "0.000001s"])
def test_spans_are_told_as_they_are_written(text: str) -> None:
    span = words.span_of(text)

    assert span is not None
    assert words.span_of(words.span_text(span)) == span
    assert words.span_text(timedelta(days=30)) == "30d"
    assert words.span_text(timedelta(0)) == "0s"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:00:30Z", NOW),
        ("2026-03-01T14:00:30.000000+02:00", NOW),
        ("2026-03-01T12:00:30", None),
        ("2026-03-01 12:00:30Z", None),
        ("2026-02-30", None),
        ("20260301", None),
        ("today", None),
    ],
)
def test_instants(text: str, instant: datetime | None) -> None:
    assert words.instant_of(text) == instant


def test_times_are_told_in_utc() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=9)))

    assert words.time_text(there) == "2026-03-01 12:00:30 UTC"
    assert json_of(there) == "2026-03-01T12:00:30.000000Z"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        ("ü", "ü"),
        (runindex.RunState.FAILED, "FAILED"),
        ((1, [2]), [1, [2]]),
        ({"a": timedelta(seconds=1.5)}, {"a": 1.5}),
        (runindex.KeepAll(), {"kind": "keep_all"}),
        (runindex.KeepLatest(3), {"kind": "keep_latest_n", "count": 3}),
        (runindex.KeepFor(timedelta(hours=1)), {"kind": "keep_duration", "duration": 3600.0}),
        (runindex.DeleteAfter(timedelta(hours=1)), {"kind": "delete_after", "duration": 3600.0}),
        (runindex.TagCount("a", 1), {"tag": "a", "count": 1}),
    ],
)
def test_json(value: Any, told: Any) -> None:
    assert json_of(value) == told
    assert json.loads(line_of(value)) == told
    assert "\n" not in line_of(value)
