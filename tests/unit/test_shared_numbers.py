"""Numbers that processes share: whole, or none."""

import pytest

from runindex_server.shared_numbers import SharedNumbers

NUMBERS = (1_772_366_430_123_456, 0, -(2**63))


def test_numbers_come_back_in_whoever_has_the_memory() -> None:
    memory = memoryview(bytearray(SharedNumbers.bytes_of(3)))
    here, there = SharedNumbers(memory, 3), SharedNumbers(memory, 3)
    here.write(1, 2, 3)
    here.write(*NUMBERS)

    assert there.read() == NUMBERS


def test_new_memory_holds_none() -> None:
    assert SharedNumbers(memoryview(bytearray(SharedNumbers.bytes_of(1))), 1).read() is None


@pytest.mark.parametrize("written_bytes", range(1, SharedNumbers.bytes_of(3)))
def test_numbers_of_which_a_part_was_written_are_none(written_bytes: int) -> None:
    old, new = (bytearray(SharedNumbers.bytes_of(3)) for _ in range(2))
    SharedNumbers(memoryview(old), 3).write(1, 2, 3)
    SharedNumbers(memoryview(new), 3).write(-1, -2, -3)
    half = SharedNumbers(memoryview(new[:written_bytes] + old[written_bytes:]), 3)

    assert half.read() is None
    half.write(*NUMBERS)
    assert half.read() == NUMBERS
