"""Retention policies as text."""

import pytest

from runindex_server import limits
from runindex_server.schema.policy_text import PolicyRefused, parse_policy
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy

DAY_US = 86_400 * 1_000_000


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("keep_all", KEEP_ALL),
        ("keep_latest_n=1", RetentionPolicy(keep_latest_n=1)),
        (f"keep_latest_n={2**53}", RetentionPolicy(keep_latest_n=limits.RETENTION_COUNT_MAX)),
        ("keep_duration=30d", RetentionPolicy(keep_duration_us=30 * DAY_US)),
        ("keep_duration=0.000001s", RetentionPolicy(keep_duration_us=1)),
        ("delete_after=1.5h", RetentionPolicy(delete_after_us=DAY_US // 16)),
    ],
)
def test_a_policy_is_read(text: str, policy: RetentionPolicy) -> None:
    assert parse_policy(text) == policy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "keep",
        "keep_all=",
        "keep_all=1",
        "keep_latest_n",
        "keep_latest_n=0",
        "keep_latest_n=-1",
        "keep_latest_n=1d",
        f"keep_latest_n={2**53 + 1}",
        "keep_duration=0s",
        "keep_duration=30",
        "keep_duration=999999999w",
        "delete_after=",
        "delete_after=-1d",
        "delete_after=0.0000001s",
        "KEEP_ALL",
        " keep_all",
    ],
)
def test_anything_else_is_refused_and_told_what_there_is(text: str) -> None:
    with pytest.raises(PolicyRefused, match="use keep_all, keep_latest_n=10, keep_duration=30d or"):
        parse_policy(text)
