"""A retention policy as an operator writes it."""

from typing import Final

from runindex_server import limits
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy
from runindex_server.schema.spans import parse_span_us

FORMS: Final = "keep_all, keep_latest_n=10, keep_duration=30d or delete_after=90d (in s, m, h, d or w)"
"""What there is, for a refusal."""


class PolicyRefused(ValueError):
    """Not a retention policy. The message says what is."""


def parse_policy(text: str) -> RetentionPolicy:
    """Return the policy that a text names: `keep_all`, or a kind and its bound.

    Raises:
        PolicyRefused: It names none, or its bound is zero or too large.
    """
    kind, _, bound = text.partition("=")
    if text == "keep_all":
        return KEEP_ALL
    if kind == "keep_latest_n" and bound.isascii() and bound.isdigit():
        count = int(bound)
        if 1 <= count <= limits.RETENTION_COUNT_MAX:
            return RetentionPolicy(keep_latest_n=count)
    span_us = parse_span_us(bound)
    if span_us is not None and 1 <= span_us <= limits.RETENTION_DURATION_US_MAX:
        if kind == "keep_duration":
            return RetentionPolicy(keep_duration_us=span_us)
        if kind == "delete_after":
            return RetentionPolicy(delete_after_us=span_us)
    msg = f"{text!r} is not a retention policy; use {FORMS}"
    raise PolicyRefused(msg)
