"""Header blocks: what is read, what is passed over, and what is refused."""

from collections.abc import Callable

import pytest

from benchmarks import hpack
from benchmarks.hpack import UnknownHeadersError, decode, encode_integer


# The examples of RFC 7541, C.1.
@pytest.mark.parametrize(
    ("value", "prefix_bits", "encoded"), [(10, 5, "0a"), (31, 5, "1f00"), (1337, 5, "1f9a0a"), (42, 8, "2a")]
)
def test_an_integer_is_encoded(value: int, prefix_bits: int, encoded: str) -> None:
    assert encode_integer(value, prefix_bits).hex() == encoded


def test_a_long_string_is_decoded() -> None:
    value = b"x" * 1_337

    assert decode(b"\x00\x01n" + encode_integer(len(value), 7) + value) == {b"n": value}


# Of the first byte the upper bits say what a field does with the table, which none keeps.
@pytest.mark.parametrize("first", ["40", "00", "10"])
def test_literals_of_every_kind_are_decoded(first: str) -> None:
    assert decode(bytes.fromhex(first) + b"\x04name\x05value") == {b"name": b"value"}


def test_static_entries_are_decoded() -> None:
    assert decode(b"\x88\x5f\x10application/grpc") == {
        b":status": b"200",
        b"content-type": b"application/grpc",
    }


@pytest.mark.parametrize("encode", [hpack.encode_added, hpack.encode_unadded])
def test_a_field_that_is_encoded_is_decoded(encode: Callable[[bytes, bytes], bytes]) -> None:
    assert decode(encode(b"te", b"trailers")) == {b"te": b"trailers"}


def test_a_value_in_huffmans_code_is_passed_over() -> None:
    assert decode(b"\x00\x01a\x83xyz\x00\x01b\x01c") == {b"a": None, b"b": b"c"}


def test_an_empty_table_is_accepted() -> None:
    assert decode(b"\x20\x88") == {b":status": b"200"}


@pytest.mark.parametrize(
    "block",
    [
        b"\xbe",  # An entry of the dynamic table.
        b"\x81",  # A static entry that no server sends.
        b"\x3f\xe1\x1f",  # A dynamic table of 4,096 bytes.
        b"\x00\x04nam",
        b"\x00\x04name",
        b"\x1f",
    ],
)
def test_what_is_not_understood_is_refused(block: bytes) -> None:
    with pytest.raises(UnknownHeadersError):
        decode(block)
