"""What the errors of failed runs have in common: the line that tells most, without what differs by run.

The digest of it is part of keys. So these rules belong to the storage version.
"""

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final

TRACEBACK: Final = "Traceback (most recent call last)"
"""An error that holds this is told by the line that ends the last traceback, which names the exception."""

LINE_CHARACTERS_MAX: Final = 2_048
"""What is looked at of a line."""

CHARACTERS_MAX: Final = 256
"""What is kept of it."""

DIGEST_BYTES: Final = 16

REMEMBERED: Final = 512
"""Errors whose common part is remembered: runs fail alike."""

# No rule looks twice at what it has passed over: `++` and `*+` give nothing back, no quote begins at an
# escaped one, and none goes on over another that begins. So the longest line takes little, whatever it holds.
RULES: Final = (
    # A UUID.
    (r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", "<id>"),
    # Quotes, those of Python's bytes included. Within single ones an apostrophe may stand, inside a word.
    # What ends with a backslash, as folders of Windows do, is taken without escapes.
    (r"""(?<![\w\\])b?"(?:(?:[^"\\]++|\\.)*+"|[^"]*+")(?!\w)""", "<text>"),
    (
        r"""(?<![\w\\])(?:(?<!')b)?'(?:(?:[^'\\]++|\\.|(?<=\w\w)'(?=\w))*+'|[^']*+')(?!\w)""",
        "<text>",
    ),
    (r"`[^`]*+`(?!\w)|“[^“”]*+”|\u2018(?:[^\u2018\u2019]++|(?<=\w)\u2019(?=\w))*+\u2019|«[^«»]*+»", "<text>"),
    # A number with a prefix.
    (r"(?<![0-9A-Za-z])0[xX][0-9a-fA-F]++", "<hex>"),
    # Addresses of IPv6, shortened, and whole ones with those of network cards.
    (
        r"(?<![\w:])(?=[a-fA-F:]*+[0-9])(?>(?:[0-9a-fA-F]{1,4}:){1,7}|:)(?::[0-9a-fA-F]{1,4}){1,7}+(?![\w:])",
        "<hex>",
    ),
    (r"(?<![\w:])(?:[0-9a-fA-F]{1,4}:){5,7}[0-9a-fA-F]{1,4}(?![\w:])", "<hex>"),
    # Digits and letters a to f, from the seven of a short commit on.
    (
        r"(?<![0-9A-Za-z])(?=[a-fA-F]*+[0-9])(?=[0-9]*+[a-fA-F])[0-9a-fA-F]{7,}+(?![0-9A-Za-z])",
        "<hex>",
    ),
    # Ids of digits and any letters: long, and digits in two places.
    (
        r"(?<![0-9A-Za-z])(?=[A-Za-z]*+[0-9]++[A-Za-z]++[0-9])[0-9A-Za-z]{20,}+(?![0-9A-Za-z])",
        "<id>",
    ),
    # Numbers, versions, times, addresses of IPv4 with their port.
    (r"(?:(?<![\w)\]])[-+])?[0-9]++(?:[.,:][0-9]++)*+(?:[eE][-+]?[0-9]++(?!\w))?+", "<n>"),
    (r"\s++", " "),
)
"""What is replaced, one after the other, and by what."""

_COMPILED: Final = tuple((re.compile(pattern), text) for pattern, text in RULES)


@lru_cache(REMEMBERED)
def common_error(error: str) -> str:
    """Return what an error has in common with others of its kind: one line."""
    line = _telling_line(error).strip()[:LINE_CHARACTERS_MAX]
    for pattern, text in _COMPILED:
        line = pattern.sub(text, line)
    return line[:CHARACTERS_MAX]


def error_digest(error: str) -> bytes:
    """Return the digest of what an error has in common with others: 16 bytes."""
    return blake2b(common_error(error).encode(), digest_size=DIGEST_BYTES).digest()


def _telling_line(error: str) -> str:
    """Return the first line of an error, or the one that names the exception of its last traceback.

    Behind the head of a traceback that is the first line which is not indented; more lines of the exception's
    message may follow it. Where each line stands behind a margin, the head does too.
    """
    lines = [line for line in error.splitlines() if line.strip()] or [""]
    heads = [place for place, line in enumerate(lines) if TRACEBACK in line]
    if not heads:
        return lines[0]
    margin, _, _ = lines[heads[-1]].partition(TRACEBACK)
    for line in lines[heads[-1] + 1 :]:
        text = line.removeprefix(margin)
        if text and not text[0].isspace():
            return text
    return lines[-1]
