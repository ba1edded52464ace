"""Numbers that processes share in memory: read whole, as somebody wrote them, or not at all."""

import struct
import zlib
from typing import Final

_CRC: Final = struct.Struct("=I")


class SharedNumbers:
    """Some numbers in memory that several processes may have mapped; any of them writes, all read.

    There is no lock, which a killed process could hold for ever. A checksum tells numbers of which only a
    part was written: they read as none, until somebody writes again.
    """

    def __init__(self, memory: memoryview, count: int) -> None:
        """Take the memory, zeros at first, of `bytes_of(count)` bytes."""
        self._memory = memory
        self._numbers = struct.Struct(f"={count}q")

    @staticmethod
    def bytes_of(count: int) -> int:
        """Return how much memory so many numbers take."""
        return 8 * count + _CRC.size

    def read(self) -> tuple[int, ...] | None:
        """Return the numbers that were written last; None before the first, or when they are damaged."""
        copy = bytes(self._memory)
        numbers, crc = copy[: self._numbers.size], copy[self._numbers.size :]
        return self._numbers.unpack(numbers) if crc == _CRC.pack(zlib.crc32(numbers)) else None

    def write(self, *numbers: int) -> None:
        """Write the numbers, of 64 bits each, in one copy."""
        packed = self._numbers.pack(*numbers)
        self._memory[:] = packed + _CRC.pack(zlib.crc32(packed))
