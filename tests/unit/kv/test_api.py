"""Counters as rows show them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runindex_server.kv.api import decode_counter, decode_counters, encode_counter

numbers = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(numbers))
def test_counters_read_together_are_those_read_one_by_one(counts: list[int]) -> None:
    values = [encode_counter(count) for count in counts]

    assert list(decode_counters(values)) == counts == list(map(decode_counter, values))


@pytest.mark.parametrize(
    "values", [[b""], [b"7 bytes"], [bytes(8), bytes(9)], [bytes(7), bytes(9)], [bytes(16)]]
)
def test_what_is_no_counter_is_refused(values: list[bytes]) -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        decode_counters(values)
