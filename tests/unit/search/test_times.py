"""Times, ages and durations as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runindex_server.schema.spans import parse_span_us
from runindex_server.search.times import parse_instant_us

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400 * 1_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", 0),
        ("1s", 1_000_000),
        ("90s", 90_000_000),
        ("1.5s", 1_500_000),
        ("0.000001s", 1),
        ("5m", 300_000_000),
        ("2h", 7_200_000_000),
        ("0.5h", 1_800_000_000),
        ("7d", 7 * DAY_US),
        ("2w", 14 * DAY_US),
        ("0.000001w", 604_800),
        ("999999999w", 999_999_999 * 7 * DAY_US),
    ],
)
def test_spans(text: str, expected: int) -> None:
    assert parse_span_us(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "s", "5", "-5s", "+5s", "5 s", "5S", "5ms", "5y", ".5s", "5.s", "1e3s", "1h30m", "٣s", "0.0000001s"],
)
def test_what_is_no_span(text: str) -> None:
    assert parse_span_us(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01", 0),
        ("1970-01-02", DAY_US),
        ("1969-12-31", -DAY_US),
        ("2024-02-29", 1_709_164_800_000_000),
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01t00:00:01z", 1_000_000),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T19:30:00-04:30", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("0001-01-01T00:00:00+23:59", -62_135_596_800_000_000 - 86_340_000_000),
        ("9999-12-31T23:59:59.999999-23:59", 253_402_300_799_999_999 + 86_340_000_000),
    ],
)
def test_instants(text: str, expected: int) -> None:
    assert parse_instant_us(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-01",
        "20260101",
        "2026-1-1",
        "2026-02-30",
        "2026-13-01",
        "0000-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T23:59:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+0200",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01Z",
        "٢٠٢٦-01-01",
        "now",
    ],
)
def test_what_is_no_instant(text: str) -> None:
    assert parse_instant_us(text) is None


@given(
    st.integers(-62_000_000_000_000_000, 253_000_000_000_000_000),
    st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_every_instant_that_python_writes_is_read(us: int, zone: timezone) -> None:
    instant = EPOCH + timedelta(microseconds=us)

    assert parse_instant_us(instant.astimezone(zone).isoformat()) == us
