"""Header blocks of HTTP/2, as far as a caller of gRPC needs them: without a dynamic table in what it reads.

Strings in Huffman's code are passed over, not read: gRPC's servers send none but binary ones.
"""

from collections.abc import Iterator
from typing import Final

_STATIC: Final[dict[int, tuple[bytes, bytes]]] = {
    8: (b":status", b"200"),
    9: (b":status", b"204"),
    10: (b":status", b"206"),
    11: (b":status", b"304"),
    12: (b":status", b"400"),
    13: (b":status", b"404"),
    14: (b":status", b"500"),
    31: (b"content-type", b""),
}
"""The entries of the static table that a server of gRPC uses (RFC 7541, appendix A)."""

POST: Final = b"\x83"
"""The block's field `:method: POST`: an entry of the static table."""

HTTP: Final = b"\x86"
"""The field `:scheme: http`."""

DYNAMIC_FIRST: Final = 62
"""The index of the entry that was added last to the dynamic table."""


class UnknownHeadersError(Exception):
    """A block of headers that this module does not understand."""


def encode_integer(value: int, prefix_bits: int, pattern: int = 0) -> bytes:
    """Return an integer as it stands behind the bits of a pattern (RFC 7541, 5.1)."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([pattern | value])
    rest, encoded = value - limit, bytearray([pattern | limit])
    while rest >= 128:
        encoded.append(rest % 128 + 128)
        rest //= 128
    encoded.append(rest)
    return bytes(encoded)


def encode_added(name: bytes, value: bytes) -> bytes:
    """Return a field that the reader adds to its dynamic table."""
    return b"\x40" + _strings(name, value)


def encode_unadded(name: bytes, value: bytes) -> bytes:
    """Return a field that the reader keeps nowhere, as gRPC's own clients send a secret with each call."""
    return b"\x00" + _strings(name, value)


def _strings(*strings: bytes) -> bytes:
    """Return strings as they are, each behind its length."""
    return b"".join(encode_integer(len(string), 7) + string for string in strings)


def encode_index(index: int) -> bytes:
    """Return a field that is an entry of a table."""
    return encode_integer(index, 7, 0x80)


def decode(block: bytes) -> dict[bytes, bytes | None]:
    """Return the fields of a block, a value in Huffman's code as None.

    Raises:
        UnknownHeadersError: It uses a dynamic table, or a static entry that servers of gRPC do not.
    """
    try:
        return dict(_fields(block))
    except IndexError as error:
        msg = f"a block that ends in the middle: {block.hex()}"
        raise UnknownHeadersError(msg) from error


def _fields(block: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the fields of a block."""
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:
            index, at = _integer(block, at, 7)
            yield _entry(index)
        elif first & 0xE0 == 0x20:
            size, at = _integer(block, at, 5)
            if size:
                msg = f"a dynamic table of {size} bytes, where none is allowed"
                raise UnknownHeadersError(msg)
        else:
            index, at = _integer(block, at, 6 if first & 0x40 else 4)
            name: bytes | None
            if index:
                name = _entry(index)[0]
            else:
                name, at = _string(block, at)
            value, at = _string(block, at)
            yield name or b"", value


def _entry(index: int) -> tuple[bytes, bytes]:
    """Return an entry of the static table."""
    if index not in _STATIC:
        msg = f"entry {index} of the tables of headers"
        raise UnknownHeadersError(msg)
    return _STATIC[index]


def _integer(block: bytes, at: int, prefix_bits: int) -> tuple[int, int]:
    """Return an integer, and where it ends."""
    limit = (1 << prefix_bits) - 1
    value, at, shift = block[at] & limit, at + 1, 0
    if value < limit:
        return value, at
    while True:
        value += (block[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not block[at - 1] & 0x80:
            return value, at


def _string(block: bytes, at: int) -> tuple[bytes | None, int]:
    """Return a string, None when it is in Huffman's code, and where it ends."""
    is_huffman = bool(block[at] & 0x80)
    length, at = _integer(block, at, 7)
    end = at + length
    if end > len(block):
        raise IndexError
    return (None if is_huffman else block[at:end]), end
