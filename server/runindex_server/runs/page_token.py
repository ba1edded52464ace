"""Page tokens: opaque, bound to the store's history and to the query that made them, and authenticated.

version u8 | epoch[8] | query[8] | before u64 | now_us u64 | mac[9]        as URL-safe base 64
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
_TOKEN: Final = struct.Struct(">B8s8sQQ")
_MAC_BYTES: Final = 9
"""42 bytes in all: base 64 without padding, so that each token has one spelling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a page begins.

    Attributes:
        before: The ordinal below which it begins.
        now_us: The time from which the ages of a search count; 0 for other collections.
    """

    before: int
    now_us: int = 0


class PageTokens:
    """Makes and reads the page tokens of one store."""

    def __init__(self, header: StoreHeader) -> None:
        """Take the store's epoch and key."""
        self._epoch = header.epoch
        self._key = header.token_key

    def encode(self, query: bytes, position: Position) -> str:
        """Return the token of a page.

        Args:
            query: The digest of the query, page size and view left out: 8 bytes.
            position: Where the page begins.
        """
        body = _TOKEN.pack(_VERSION, self._epoch, query, position.before, position.now_us)
        return base64.urlsafe_b64encode(body + self._mac(body)).decode()

    def decode(self, query: bytes, token: str) -> Position:
        """Return where the page of a token begins.

        Raises:
            InvalidPageToken: It is damaged, of another store or of another query.
        """
        try:
            data = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidPageToken("not a page token") from error
        if base64.urlsafe_b64encode(data).decode() != token:  # The decoder takes + for - and / for _, too.
            raise InvalidPageToken("not a page token")
        body, mac = data[: _TOKEN.size], data[_TOKEN.size :]
        if len(body) != _TOKEN.size or not hmac.compare_digest(mac, self._mac(body)):
            raise InvalidPageToken("not a page token of this store")
        version, epoch, of_query, before, now_us = _TOKEN.unpack(body)
        if version != _VERSION or epoch != self._epoch:
            raise InvalidPageToken("made before the store was restored from a backup")
        if of_query != query:
            raise InvalidPageToken("made by another query")
        return Position(before=before, now_us=now_us)

    def _mac(self, body: bytes) -> bytes:
        """Return what only this store can put behind a token."""
        return blake2b(body, digest_size=_MAC_BYTES, key=self._key).digest()
