"""Order-preserving encodings of the parts of a key: integers, flags, strings.

For values `a` and `b` of one type, `encode(a) < encode(b)` exactly when `a < b`. Decoders refuse bytes that
no encoder makes.
"""


def encode_u8(number: int) -> bytes:
    """Return a number below 2^8 as 1 byte."""
    return number.to_bytes(1, "big")


def encode_u16(number: int) -> bytes:
    """Return a number of 0 to 65,535 as 2 bytes."""
    return number.to_bytes(2, "big")


def encode_u32(number: int) -> bytes:
    """Return a number below 2^32 as 4 bytes, big-endian."""
    return number.to_bytes(4, "big")


def encode_u64(number: int) -> bytes:
    """Return a number below 2^64 as 8 bytes, big-endian."""
    return number.to_bytes(8, "big")


def decode_u64(data: bytes) -> int:
    """Return the number that 8 bytes encode.

    Raises:
        ValueError: Not 8 bytes.
    """
    if len(data) != 8:
        msg = f"a u64 has 8 bytes, not {len(data)}"
        raise ValueError(msg)
    return int.from_bytes(data, "big")


def decode_flag(data: bytes) -> bool:
    """Return the flag that 1 byte encodes.

    Raises:
        ValueError: Not 1 byte, or neither 0x00 nor 0x01.
    """
    if data not in (b"\x00", b"\x01"):
        msg = f"a flag is 00 or 01, not {data.hex()}"
        raise ValueError(msg)
    return data == b"\x01"


def escape(data: bytes) -> bytes:
    """Return bytes so that none of them ends a string: 0x00 becomes 0x00 0xff."""
    return data.replace(b"\x00", b"\x00\xff")


def encode_string(data: bytes) -> bytes:
    r"""Return bytes as a part of a key that ends itself: escaped, then 0x00."""
    return escape(data) + b"\x00"


def split_string(data: bytes) -> tuple[bytes, bytes]:
    """Return the first string of a key's rest, decoded, and what follows it.

    Raises:
        ValueError: The string has no end.
    """
    end = 0
    while True:
        end = data.find(b"\x00", end)
        if end < 0:
            msg = "a string in a key has no end"
            raise ValueError(msg)
        if data[end + 1 : end + 2] != b"\xff":
            return data[:end].replace(b"\x00\xff", b"\x00"), data[end + 1 :]
        end += 2


def after_prefix(prefix: bytes) -> bytes:
    """Return the first key after all keys that begin with `prefix`.

    Raises:
        ValueError: There is none: `prefix` is empty or all 0xff.
    """
    stem = prefix.rstrip(b"\xff")
    if not stem:
        msg = "no key follows every key of this prefix"
        raise ValueError(msg)
    return stem[:-1] + bytes([stem[-1] + 1])
