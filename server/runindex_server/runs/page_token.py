"""Page tokens: opaque, bound to the store's history and to the query that made them, and authenticated.

version u8 | epoch[8] | query[8] | place | mac[9]        as URL-safe base 64, without padding
"""

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from runindex_server.errors import InvalidPageToken
from runindex_server.schema.header import StoreHeader

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">B8s8s")
_MAC_BYTES: Final = 9
_POSITION: Final = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a page of runs begins.

    Attributes:
        before: The ordinal below which it begins.
        now_us: The time from which the ages of a search count; 0 for other collections.
    """

    before: int
    now_us: int = 0

    def pack(self) -> bytes:
        """Return it as the place of a token."""
        return _POSITION.pack(self.before, self.now_us)

    @classmethod
    def unpack(cls, place: bytes) -> "Position":
        """Return the position in the place of a token of runs, which its query tells from all others."""
        before, now_us = _POSITION.unpack(place)
        return cls(before=before, now_us=now_us)


class PageTokens:
    """Makes and reads the page tokens of one store."""

    def __init__(self, header: StoreHeader) -> None:
        """Take the store's epoch and key."""
        self._epoch = header.epoch
        self._key = header.token_key

    def encode(self, query: bytes, place: bytes) -> str:
        """Return the token of a page.

        Args:
            query: The digest of the query, page size and view left out: 8 bytes.
            place: Where the page begins, in a form that belongs to the kind of query.
        """
        body = _HEAD.pack(_VERSION, self._epoch, query) + place
        return _text(body + self._mac(body))

    def decode(self, query: bytes, token: str) -> bytes:
        """Return the place where the page of a token begins.

        Raises:
            InvalidPageToken: It is damaged, of another store or of another query.
        """
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidPageToken("not a page token") from error
        if _text(data) != token:  # The decoder takes + for - and / for _, too, and what is left of a byte.
            raise InvalidPageToken("not a page token")
        body, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if len(body) < _HEAD.size or not hmac.compare_digest(mac, self._mac(body)):
            raise InvalidPageToken("not a page token of this store")
        version, epoch, of_query = _HEAD.unpack_from(body)
        if version != _VERSION or epoch != self._epoch:
            raise InvalidPageToken("made before the store was restored from a backup")
        if of_query != query:
            raise InvalidPageToken("made by another query")
        return body[_HEAD.size :]

    def _mac(self, body: bytes) -> bytes:
        """Return what only this store can put behind a token."""
        return blake2b(body, digest_size=_MAC_BYTES, key=self._key).digest()


def _text(token: bytes) -> str:
    """Return the one spelling of a token."""
    return base64.urlsafe_b64encode(token).decode().rstrip("=")
