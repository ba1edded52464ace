"""Numbers, times and policies as operators read them, and progress that does not flood a log."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runindex.v1 import run_index_pb2 as pb
from runindex_server.cli.progress import LINE_INTERVAL_US, progress
from runindex_server.cli.words import (
    age_text,
    bytes_text,
    count_text,
    duration_text,
    percent_text,
    plain,
    policy_text,
    span_text,
    states_text,
    time_text,
    took_text,
)
from runindex_server.schema.policy_text import parse_policy
from tests.support.clock import ManualClock


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2, "1.0 MiB"),
        (64 * 1024**3, "64.0 GiB"),
        (2**63, "8192.0 PiB"),
    ],
)
def test_bytes(number: int, text: str) -> None:
    assert bytes_text(number) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 runs"), (1, "1 run"), (20_000, "20,000 runs")])
def test_counts(number: int, text: str) -> None:
    assert count_text(number, "run") == text


def test_times() -> None:
    assert time_text(Timestamp(seconds=1_772_366_430, nanos=5)) == "2026-03-01 12:00:30 UTC"


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (0, 0, "0s"),
        (59, 0, "59s"),
        (60, 0, "1m"),
        (5_400, 0, "90m"),
        (86_400, 0, "1d"),
        (7 * 86_400, 0, "1w"),
        (30 * 86_400, 0, "30d"),
        (1, 500_000_000, "1.500s"),
    ],
)
def test_spans(seconds: int, nanos: int, text: str) -> None:
    assert span_text(Duration(seconds=seconds, nanos=nanos)) == text


def test_how_long_something_took() -> None:
    assert took_text(Duration(seconds=12, nanos=345_678_000)) == "12.3 s"


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0 us"),
        (999, "999 us"),
        (1_000, "1.00 ms"),
        (12_345, "12.3 ms"),
        (340_400, "340 ms"),
        (999_600, "1000 ms"),
        (1_000_000, "1.00 s"),
        (59_999_999, "60.0 s"),
        (60_000_000, "1m"),
        (133_900_000, "2m 13s"),
        (3_600_000_000 + 59_000_000, "1h 59s"),
        (86_399_000_000, "23h 59m 59s"),
        (86_400_000_000 + 59_000_000, "1d"),
        (2 * 86_400_000_000 + 4 * 3_600_000_000 + 61_000_000, "2d 4h 1m"),
        (40_000 * 86_400_000_000, "40,000d"),
    ],
)
def test_durations(us: int, text: str) -> None:
    assert duration_text(us) == text


@pytest.mark.parametrize(
    ("us", "text"), [(-5, "now"), (59_999_999, "now"), (60_000_000, "1m"), (7_265_000_000, "2h 1m")]
)
def test_ages(us: int, text: str) -> None:
    assert age_text(us) == text


@pytest.mark.parametrize(("part", "text"), [(0.0, "0.00 %"), (2 / 3, "66.67 %"), (1.0, "100.00 %")])
def test_percentages(part: float, text: str) -> None:
    assert percent_text(part) == text


def test_counts_by_state() -> None:
    rows = [
        pb.StateCount(state=pb.RUN_STATE_ACTIVE, count=1_200),
        pb.StateCount(state=pb.RUN_STATE_FAILED, count=0),
    ]

    assert states_text(rows) == "active 1,200, failed 0"


@pytest.mark.parametrize(
    ("text", "shown"), [("tag é", "tag é"), ("\x1b[2J", r"\x1b[2J"), ("a\nb\x9c\x7f", r"a\x0ab\x9c\x7f")]
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    "policy",
    [
        pb.RetentionPolicy(keep_all=pb.KeepAll()),
        pb.RetentionPolicy(),
        pb.RetentionPolicy(keep_latest_n=7),
        pb.RetentionPolicy(keep_duration=Duration(seconds=3_600)),
        pb.RetentionPolicy(delete_after=Duration(seconds=30 * 86_400)),
    ],
)
def test_policies_are_written_as_settings_take_them(policy: pb.RetentionPolicy) -> None:
    assert parse_policy(policy_text(policy)) is not None


def test_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    with progress(bytes_text, clock=clock) as tell:
        tell("copying", 1, 4)
        clock.advance(LINE_INTERVAL_US)
        tell("copying", 1024, 4096)
        tell("copying", 2048, 4096)
        clock.advance(LINE_INTERVAL_US)
        tell("checking", 3_000, None)

    out, err = capsys.readouterr()
    assert out == ""
    assert err == "copying: 1.0 KiB of 4.0 KiB\nchecking: 2.9 KiB\n"


def test_progress_is_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress(bytes_text) as tell:
        tell("copying", 1024, 4096)

    out, err = capsys.readouterr()
    assert out == ""
    assert "1.0 KiB of 4.0 KiB" in err
