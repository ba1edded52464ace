"""The terms under which a run is found: the keys of the postings.

    every run    "*"
    partial      "!"                 a run with too many terms, found by its record
    state        "s" | state u8
    outcome      "o" | state u8
    parent       "p" | run_id[16]
    tag          "t" | tag           UTF-8
    word         "w" | word          of any field; UTF-8
    value word   "m" | path | 0x00 | word     of a metadata value

A path of more than 24 bytes, or with a 0x00, stands as 0xff and its digest. A term of more than
`limits.TERM_BYTES_MAX` bytes stands as its first 47, 0xff and a digest of the whole: it is still found by a
prefix, but only to be checked on the record. 0xff occurs in no UTF-8.

A change of a run takes away the terms that its old record has by these rules. So they belong to the storage
version, and with them those of `document` and `text`.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, islice
from typing import Final

from runindex_server import limits
from runindex_server.schema.document import MetadataText, Words, fields_beside_metadata
from runindex_server.schema.run import Run, RunId, RunState

EVERY_RUN: Final = b"*"
PARTIAL: Final = b"!"

TERMS_BYTES_MAX: Final = 120 * 1024
"""Terms of one run together. A change that replaces them all fits into one row of changed terms."""

METADATA_REMEMBERED: Final = 32
"""Metadata objects whose terms are remembered: a change of a run looks at the old and the new one, which are
mostly equal, and a run that is short is changed again soon. Some 16 MB at the worst."""

PATH_BYTES_MAX: Final = 24
"""A longer path stands as a digest, which leaves a word most of its term."""

DIGEST_BYTES: Final = 16
"""As many as make a chance, or a made, collision of no concern."""

STEM_BYTES: Final = limits.TERM_BYTES_MAX - 1 - DIGEST_BYTES
"""What a shortened term keeps of its beginning."""

_SHORTENED: Final = b"\xff"


def state(of: RunState) -> bytes:
    """Return the term of the runs in a state."""
    return b"s" + bytes([of])


def outcome(of: RunState) -> bytes:
    """Return the term of the runs that finished in a state, archived or not."""
    return b"o" + bytes([of])


def parent(run_id: RunId) -> bytes:
    """Return the term of the children of a run."""
    return b"p" + run_id


def tag(text: str) -> bytes:
    """Return the term of the runs that carry a tag."""
    return _shortened(b"t" + text.encode())


def word(text: str, *, path: str | None = None) -> bytes:
    """Return the term of the runs with a word in any field, or in a metadata value under a path."""
    return _shortened(word_prefix(text, path=path))


def word_prefix(text: str, *, path: str | None = None) -> bytes:
    """Return what the terms of all words that begin so begin with, as far as they are not shortened."""
    if path is None:
        return b"w" + text.encode()
    raw = path.encode()
    if len(raw) > PATH_BYTES_MAX or 0 in raw:
        raw = _SHORTENED + _digest(raw)
    return b"m" + raw + b"\x00" + text.encode()


def is_shortened(term: bytes) -> bool:
    """Tell whether a term may be that of several texts, so that a run found by it has yet to be checked."""
    return len(term) == limits.TERM_BYTES_MAX and term.startswith(_SHORTENED, STEM_BYTES)


def terms_of(run: Run) -> frozenset[bytes]:
    """Return the terms of a run.

    A run with more than `limits.TERMS_MAX` of them, or more than TERMS_BYTES_MAX, is partial: it has a mark
    for its words. The other terms it always has.
    """
    exact = frozenset(_exact_terms(run))
    of_fields = _terms_below(word_prefix(""), fields_beside_metadata(run))
    terms = exact | of_fields | _metadata_terms(run.metadata)
    is_partial = len(terms) > limits.TERMS_MAX or sum(map(len, terms)) > TERMS_BYTES_MAX
    return exact | {PARTIAL} if is_partial else terms


def _exact_terms(run: Run) -> Iterator[bytes]:
    """Yield the terms that are no words."""
    yield EVERY_RUN
    yield state(run.state)
    if run.outcome is not None:
        yield outcome(run.outcome)
    if run.parent is not None:
        yield parent(run.parent)
    yield from map(tag, run.tags)


@lru_cache(METADATA_REMEMBERED)
def _metadata_terms(metadata: bytes) -> frozenset[bytes]:
    """Return the terms of the words of metadata, in any field and by their path.

    Of a run that has too many, some: one more than it may have.
    """
    text = MetadataText(metadata)
    terms = _terms_below(word_prefix(""), text.fields)
    for path, fields in text.values.items():
        terms |= _terms_below(word_prefix("", path=path), fields)
    return frozenset(islice(terms, limits.TERMS_MAX + 1))


def _terms_below(prefix: bytes, fields: Iterable[Words]) -> set[bytes]:
    """Return the terms of the words of some fields."""
    terms = {prefix + text.encode() for text in chain.from_iterable(fields)}
    # Nearly none: so the others are not asked one by one.
    too_long = [term for term in terms if len(term) > limits.TERM_BYTES_MAX]
    terms.difference_update(too_long)
    terms.update(map(_shortened, too_long))
    return terms


def _shortened(term: bytes) -> bytes:
    """Return a term as it is, or shortened to the bytes that it may have."""
    if len(term) <= limits.TERM_BYTES_MAX:
        return term
    return term[:STEM_BYTES] + _SHORTENED + _digest(term)


def _digest(data: bytes) -> bytes:
    """Return the digest of what is too long to stand in a term."""
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
