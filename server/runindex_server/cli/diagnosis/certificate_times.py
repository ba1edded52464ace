"""From when until when certificates are good: read from PEM, which the standard library alone cannot."""

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_BEFORE_VALIDITY: Final = 3
"""Serial number, signature algorithm, issuer."""


@dataclass(frozen=True, slots=True)
class Validity:
    """A span of time, both ends of it within."""

    begin: datetime
    end: datetime


def validities_in(path: Path) -> list[Validity]:
    """Return the spans of the certificates in a file, in their order.

    Raises:
        OSError: It cannot be read.
        ValueError: One of them is none.
    """
    try:
        return [_validity(ssl.PEM_cert_to_DER_cert(found[0])) for found in _PEM.finditer(path.read_text())]
    except (IndexError, StopIteration) as error:
        msg = f"{path} holds a certificate that ends too early"
        raise ValueError(msg) from error


def _validity(certificate: bytes) -> Validity:
    """Return the span of a certificate in DER."""
    _, body = next(_items(certificate))
    _, signed = next(_items(body))
    items = [item for item in _items(signed) if item[0] != _VERSION]
    begin, end = _items(items[_BEFORE_VALIDITY][1])
    return Validity(_time(*begin), _time(*end))


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the items in an item of DER: the tag of each, and what it holds."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            digits = length & 0x7F
            length = int.from_bytes(data[at : at + digits], "big")
            at += digits
        yield tag, data[at : at + length]
        at += length


def _time(tag: int, value: bytes) -> datetime:
    """Return a time; years of two digits are those of 1950 to 2049."""
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
