"""Tokens: what one looks like, and who calls with it.

A token is `ri_<id>_<secret>`. The id is public: lists show it. The secret is 256 random bits, so that one
round of SHA-256 is enough: it cannot be found from its hash, and whoever reads the hashes cannot call.
"""

import hashlib
import hmac
import math
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from runindex_server.access.caller import Caller, Role

NAME_CHARS_MAX: Final = 128
"""Of a caller's name, which is a part of keys."""

TOKEN_CHARS_MAX: Final = 128
"""What is longer is no token, and is not hashed."""

_PREFIX: Final = "ri"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_PUBLIC_CHARS: Final = len(_PREFIX) + 2 * _ID_BYTES + 2
"""Of a token's text: all before the secret."""

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def checked_name(name: str) -> str:
    """Return the name of a caller.

    Raises:
        ValueError: It is none.
    """
    if not 0 < len(name) <= NAME_CHARS_MAX or not name.isascii() or not name.isprintable():
        msg = f"a name has 1 to {NAME_CHARS_MAX} printable ASCII characters"
        raise ValueError(msg)
    return name


class Token(BaseModel):
    """A token, without its secret.

    Attributes:
        id: Its public part.
        name: Of the caller. Tokens of one name are one caller, so that one can take over from another.
        role: What they may do.
        sha256: The hash of the secret, in hexadecimal digits.
        create_time: When it was made.
        expire_time: From when it is refused; None for never.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=f"^[0-9a-f]{{{2 * _ID_BYTES}}}$")
    name: Annotated[str, AfterValidator(checked_name)]
    role: Role
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    create_time: AwareDatetime
    expire_time: AwareDatetime | None = None


def new_token(name: str, role: Role, *, now: datetime, expire_time: datetime | None) -> tuple[Token, str]:
    """Return a new token, and the text to call with, which is kept nowhere.

    Args:
        name: Of the caller; as `checked_name`.
        role: What they may do.
        now: The time, of a known zone.
        expire_time: From when it is refused; None for never.
    """
    token_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    token = Token(
        id=token_id,
        name=name,
        role=role,
        sha256=_hash_of(secret).hex(),
        create_time=now,
        expire_time=expire_time,
    )
    return token, f"{_PREFIX}_{token_id}_{secret}"


class _Known(NamedTuple):
    """A token, as each call needs it.

    Attributes:
        sha256: The hash of the secret.
        expire_us: From when it is refused, in microseconds since 1970.
        caller: Who calls with it; None for nobody.
    """

    sha256: bytes
    expire_us: float
    caller: Caller | None


_UNKNOWN: Final = _Known(bytes(32), 0, None)


class TokenTable:
    """Tokens by what callers send."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        """Take the tokens."""
        self._known = {f"{_PREFIX}_{token.id}_": _as_asked(token) for token in tokens}

    def caller_of(self, text: str, now_us: int) -> Caller | None:
        """Return who calls with a token; None when it is none, or none any more.

        It takes as long for an id that is unknown as for a wrong secret, so that ids cannot be found out.

        Args:
            text: What the caller sent.
            now_us: The time, in microseconds since 1970.
        """
        known = self._known.get(text[:_PUBLIC_CHARS], _UNKNOWN)
        is_right = hmac.compare_digest(_hash_of(text[_PUBLIC_CHARS:TOKEN_CHARS_MAX]), known.sha256)
        return known.caller if is_right and now_us < known.expire_us else None


def _as_asked(token: Token) -> _Known:
    expire_us: float = math.inf
    if token.expire_time is not None:
        expire_us = (token.expire_time - _EPOCH) // timedelta(microseconds=1)
    return _Known(bytes.fromhex(token.sha256), expire_us, Caller(token.name, token.role))


def _hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
