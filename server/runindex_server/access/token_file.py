"""The file of tokens: read by the server whenever it changes, changed by the operator's commands."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from runindex_server.access.caller import Caller
from runindex_server.access.tokens import Token, TokenTable
from runindex_server.clock import Clock
from runindex_server.logs import get_logger

LOOK_INTERVAL_US: Final = 1_000_000
"""How often the server looks whether the file has changed at most: a revoked token works as long."""

_log: Final = get_logger(__name__)


class TokensRefused(Exception):
    """The file of tokens cannot be used: the sentence says why, and what to do."""


class _Content(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[Token, ...] = ()


def load_tokens(path: Path) -> tuple[Token, ...]:
    """Return the tokens in a file, in the order of their making; none when there is no file.

    Raises:
        TokensRefused: Others than its owner may use it, or it is no such file.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            if mode & 0o077:
                msg = f"{path} has the mode {mode:04o}, so that others can use it; close it: chmod 600 {path}"
                raise TokensRefused(msg)
            return _Content.model_validate_json(file.read()).tokens
    except FileNotFoundError:
        return ()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise TokensRefused(msg) from error
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        msg = f"{path} is no file of tokens{place and f', at {place}'}: {error.errors()[0]['msg']}"
        raise TokensRefused(msg) from error


def add_token(path: Path, token: Token) -> None:
    """Add a token to a file, which is made when there is none.

    Raises:
        TokensRefused: As `load_tokens`, or it cannot be written.
    """
    with _locked(path):
        _save(path, (*load_tokens(path), token))


def remove_token(path: Path, token_id: str) -> Token | None:
    """Remove a token from a file, and return it; None when it is not there.

    Raises:
        TokensRefused: As `add_token`.
    """
    with _locked(path):
        tokens = load_tokens(path)
        found = next((token for token in tokens if token.id == token_id), None)
        if found is not None:
            _save(path, tuple(token for token in tokens if token is not found))
    return found


def _save(path: Path, tokens: tuple[Token, ...]) -> None:
    """Write tokens to a file: all of them or, when that fails, nothing."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(_Content(tokens=tokens).model_dump_json(indent=2).encode() + b"\n")
        file.flush()
        os.fsync(fd)
    new.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let no other command change a file meanwhile.

    Raises:
        TokensRefused: The folder cannot be written to.
    """
    try:
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
            # So that a token which was revoked stays so.
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise TokensRefused(msg) from error


class LiveTokens:
    """The tokens of a file, as the file is now. Belongs to one event loop."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Read the file for the first time.

        Raises:
            TokensRefused: As `load_tokens`.
        """
        self._path = path
        self._clock = clock
        self._read()

    def caller_of(self, text: str) -> Caller | None:
        """Return who calls with a token; None when it is none, or none any more."""
        if self._clock.monotonic_us() - self._looked_us >= LOOK_INTERVAL_US:
            self._look()
        return self._table.caller_of(text, self._clock.now_us())

    def _look(self) -> None:
        """Read the file again when it has changed. What cannot be used changes nothing but the log."""
        self._looked_us = self._clock.monotonic_us()
        if self._identity == _identity_of(self._path):
            return
        try:
            self._read()
        except TokensRefused as error:
            _log.error("tokens not read again", problem=str(error))

    def _read(self) -> None:
        self._looked_us = self._clock.monotonic_us()
        # Taken before, so that a change in between is seen the next time.
        self._identity = _identity_of(self._path)
        self._table = TokenTable(load_tokens(self._path))


def _identity_of(path: Path) -> tuple[int, ...] | None:
    """Return what tells a file from any other under its path; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode
