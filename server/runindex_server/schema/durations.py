"""Buckets of durations: each power of two is cut into 64 parts of the same width.

All in integers, so that every machine puts a duration into the same bucket, and a bucket that was counted up
is the one that is counted down. Buckets of several sets of runs are added up: that is their union.
"""

from typing import Final

PART_BITS: Final = 6
"""64 parts: a bucket is 1/64 of its lower end wide at most, and its middle 1/129 away from what is in it."""

_GROUP_BITS: Final = 4
"""16 buckets are a group. Three percentiles of 10,000 runs take some 70 rows; those of 100,000, whose
durations fill more buckets, too. Groups of 32 take over 100; those of 8 grow by a quarter."""


def bucket_of(duration_us: int) -> int:
    """Return the bucket of a duration of at least 0: the longer, the higher; up to 127 us one for each."""
    power = max(0, duration_us.bit_length() - PART_BITS - 1)
    return (power << PART_BITS) + (duration_us >> power)


def middle_us(bucket: int) -> int:
    """Return the duration that is at most 0.8 % away from each one of a bucket."""
    power = max(0, (bucket >> PART_BITS) - 1)
    part = bucket - (power << PART_BITS)
    low, high = part << power, ((part + 1) << power) - 1
    # The harmonic mean is as far, in proportion, from the one as from the other.
    return 0 if high == 0 else (4 * low * high + low + high) // (2 * (low + high))


def group_of(bucket: int) -> int:
    """Return the group that a bucket belongs to: the longer, the higher."""
    return bucket >> _GROUP_BITS


def buckets_of(group: int) -> range:
    """Return the buckets that belong to a group."""
    return range(group << _GROUP_BITS, (group + 1) << _GROUP_BITS)
