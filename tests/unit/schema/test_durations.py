"""Buckets of durations: in order, without a gap, and never far from what is in them."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runindex_server.schema.durations import bucket_of, buckets_of, group_of, middle_us
from runindex_server.schema.run import TIME_US_MAX

DURATION_US_MAX = 2**58
"""More than lies between any two times."""

durations = st.integers(0, 58).flatmap(lambda power: st.integers(0, 2**power))
"""Of every size."""


def test_there_is_room_for_every_duration() -> None:
    assert DURATION_US_MAX > TIME_US_MAX
    assert bucket_of(DURATION_US_MAX) < 3_500


def test_short_durations_have_buckets_of_their_own() -> None:
    for duration_us in range(128):
        assert bucket_of(duration_us) == middle_us(bucket_of(duration_us)) == duration_us


@given(durations, durations)
@example(0, 1)
@example(127, 128)
def test_the_longer_has_the_higher_bucket(one_us: int, other_us: int) -> None:
    shorter_us, longer_us = sorted((one_us, other_us))
    assert bucket_of(shorter_us) <= bucket_of(longer_us)


@given(durations)
@example(0)
@example(128)
@example(DURATION_US_MAX)
def test_the_middle_is_not_far_from_what_is_in_a_bucket(duration_us: int) -> None:
    middle = middle_us(bucket_of(duration_us))
    assert abs(middle - duration_us) <= Fraction(duration_us, 129)


@given(durations)
@example(DURATION_US_MAX)
def test_the_middle_lies_in_its_bucket(duration_us: int) -> None:
    bucket = bucket_of(duration_us)
    assert bucket_of(middle_us(bucket)) == bucket


@pytest.mark.parametrize("power", range(7, 59))
def test_each_power_of_two_has_64_buckets(power: int) -> None:
    """Of the same width, and without a gap between them, or to those of the next power."""
    first = bucket_of(2**power)
    width_us = 2**power // 64
    starts_us = [2**power + part * width_us for part in range(65)]

    assert [bucket_of(start_us) for start_us in starts_us] == list(range(first, first + 65))
    assert [bucket_of(start_us - 1) for start_us in starts_us] == list(range(first - 1, first + 64))
    assert all(low < middle_us(bucket_of(low)) < high for low, high in pairwise(starts_us) if width_us > 2)


def test_a_bucket_is_in_one_group_and_groups_follow_each_other() -> None:
    last = group_of(bucket_of(DURATION_US_MAX))
    buckets = [bucket for group in range(last + 1) for bucket in buckets_of(group)]

    assert buckets == list(range(len(buckets)))
    assert all(bucket in buckets_of(group_of(bucket)) for bucket in buckets)
    assert bucket_of(DURATION_US_MAX) in buckets
