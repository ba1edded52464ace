"""Tokens: what one looks like, and who calls with it.

A token is `ri_<id>_<secret>`. The id is public: lists show it. The secret is 256 random bits, so that one
round of SHA-256 is enough: it cannot be found from its hash, and whoever reads the hashes cannot call.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from runindex_server.access.caller import Caller, Role

NAME_CHARS_MAX: Final = 128
"""Of a caller's name, which is a part of keys."""

TOKEN_CHARS_MAX: Final = 128
"""What is longer is no token, and is not hashed."""

_PREFIX: Final = "ri"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_NO_HASH: Final = "0" * 64


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
        sha256=_hash_of(secret),
        create_time=now,
        expire_time=expire_time,
    )
    return token, f"{_PREFIX}_{token_id}_{secret}"


class TokenTable:
    """Tokens by what callers send."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        """Take the tokens."""
        self._tokens = {token.id: token for token in tokens}

    def caller_of(self, text: str, now: datetime) -> Caller | None:
        """Return who calls with a token; None when it is none, or none any more.

        It takes as long for an id that is unknown as for a wrong secret, so that ids cannot be found out.

        Args:
            text: What the caller sent.
            now: The time, of a known zone.
        """
        prefix, _, rest = text[:TOKEN_CHARS_MAX].partition("_")
        token_id, _, secret = rest.partition("_")
        token = self._tokens.get(token_id)
        is_right = hmac.compare_digest(_hash_of(secret), _NO_HASH if token is None else token.sha256)
        if token is None or not is_right or prefix != _PREFIX:
            return None
        if token.expire_time is not None and token.expire_time <= now:
            return None
        return Caller(token.name, token.role)


def _hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
