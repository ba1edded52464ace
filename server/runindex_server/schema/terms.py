"""The terms under which a run is found: the keys of the postings.

    every run    "*"
    partial      "!"                 a run with too many terms, found by its record
    imported     "i"                 a run that is not listed by its create time
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

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from runindex_server import limits
from runindex_server.schema.document import MetadataText, texts_beside_metadata
from runindex_server.schema.run import Run, RunId, RunState
from runindex_server.schema.text import encoded_words

EVERY_RUN: Final = b"*"
PARTIAL: Final = b"!"
IMPORTED: Final = b"i"

TERMS_BYTES_MAX: Final = 120 * 1024
"""Terms of one run together. A change that replaces them all fits into one row of changed terms."""

SURELY_COMPLETE_BYTES: Final = 1_800
"""A run with less text has fewer terms than it may have: of 2 bytes comes at most one word, and of that two
terms, beside 70 that are no words, all together less than TERMS_BYTES_MAX."""

LEAVES_REMEMBERED: Final = 2_048
"""Short values of metadata whose terms are remembered, because runs have many in common: models, versions,
names. Some 2 MB, 16 MB at the worst."""

LEAF_CHARACTERS_MAX: Final = 64
"""Of a path and a value that are remembered."""

PATH_BYTES_MAX: Final = 24
"""A longer path stands as a digest, which leaves a word most of its term."""

DIGEST_BYTES: Final = 16
"""As many as make a chance, or a made, collision of no concern."""

STEM_BYTES: Final = limits.TERM_BYTES_MAX - 1 - DIGEST_BYTES
"""What a shortened term keeps of its beginning."""

_WORD: Final = b"w"
_SHORTENED: Final = b"\xff"
_PLAIN_WORD: Final = re.compile(rb"(?!e\Z|true\Z|false\Z)[a-z]+")
_FOLDS_TO_ASCII: Final = re.compile("|".join("ßẞſ\u212a\ufb00\ufb01\ufb02\ufb03\ufb04\ufb05\ufb06").encode())
"""The characters other than A to Z of which the folding is of the letters a to z; a test looks at all."""
_SEPARATOR: Final = "\n"
"""Between texts of which the words are wanted: it is part of no word, and composes with nothing."""


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
        return _WORD + text.encode()
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
    terms = exact | _words_beside_metadata(run) | _metadata_terms(run.metadata)
    return exact | {PARTIAL} if _are_too_many(terms) else terms


def terms_changed(old: Run, new: Run) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Return the terms that a change of a run adds, and those that it takes away.

    Of the added ones the run may have had some before. Most changes leave the metadata alone, and then its
    terms, which are most, are not looked at.
    """
    if old.metadata != new.metadata or max(map(_text_bytes, (old, new))) > SURELY_COMPLETE_BYTES:
        before, after = terms_of(old), terms_of(new)
        return after - before, before - after
    before, after = frozenset(_state_terms(old)), frozenset(_state_terms(new))
    if old.tags != new.tags:
        before, after = before.union(map(tag, old.tags)), after.union(map(tag, new.tags))
    added, removed = _words_changed(old, new)
    return (after - before) | added, (before - after) | removed


def _words_changed(old: Run, new: Run) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Return the terms of words that a change which leaves the metadata alone adds and takes away."""
    before, after = texts_beside_metadata(old), texts_beside_metadata(new)
    added = _word_terms(encoded_words(_SEPARATOR.join(set(after).difference(before))))
    removed = _word_terms(encoded_words(_SEPARATOR.join(set(before).difference(after))))
    if removed:
        removed -= _word_terms(encoded_words(_SEPARATOR.join(after)))
    if removed and may_have_word(new.metadata, (term[len(_WORD) :] for term in removed)):
        removed -= _metadata_words(new.metadata)
    return added, removed


def may_have_word(metadata: bytes, words: Iterable[bytes]) -> bool:
    """Tell whether metadata may have one of some words: False is certain, and found out without reading it.

    A word of the letters a to z stands in the encoded text as it is, in upper or lower case, unless other
    characters fold to it; words of numbers and booleans do not.
    """
    if _FOLDS_TO_ASCII.search(metadata) is not None:
        return True
    folded = metadata.lower()
    return any(_PLAIN_WORD.fullmatch(word) is None or word in folded for word in words)


def _text_bytes(run: Run) -> int:
    """Return how much text of a run is searched, at most."""
    return len(run.metadata) + 4 * sum(map(len, texts_beside_metadata(run)))


def _exact_terms(run: Run) -> Iterator[bytes]:
    """Yield the terms that are no words."""
    yield from _state_terms(run)
    yield from map(tag, run.tags)


def _state_terms(run: Run) -> Iterator[bytes]:
    """Yield the terms that are no words, without those of tags."""
    yield EVERY_RUN
    yield state(run.state)
    if run.outcome is not None:
        yield outcome(run.outcome)
    if run.parent is not None:
        yield parent(run.parent)
    if run.is_imported:
        yield IMPORTED


def _words_beside_metadata(run: Run) -> frozenset[bytes]:
    """Return the terms of the words of a run's state, error and tags."""
    return _word_terms(encoded_words(_SEPARATOR.join(texts_beside_metadata(run))))


def _metadata_words(metadata: bytes) -> frozenset[bytes]:
    """Return the terms of the words of metadata, in any field."""
    leaves = MetadataText(metadata).leaves
    return _word_terms(encoded_words(_SEPARATOR.join(part for leaf in leaves for part in leaf if part)))


def _metadata_terms(metadata: bytes) -> set[bytes]:
    """Return the terms of the words of metadata, in any field and by their path."""
    terms: set[bytes] = set()
    for path, text in MetadataText(metadata).leaves:
        is_short = text is None or len(path) + len(text) <= LEAF_CHARACTERS_MAX
        terms |= _remembered_leaf_terms(path, text) if is_short else _leaf_terms(path, text)
    return terms


def _leaf_terms(path: str, text: str | None) -> frozenset[bytes]:
    """Return the terms of a value of metadata and of the keys that lead to it."""
    # A key's words are those of a path with it: what joins keys is part of no word.
    words = encoded_words(path)
    if text is None:
        return _word_terms(words)
    of_value, prefix = encoded_words(text), word_prefix("", path=path)
    return _word_terms(words + of_value) | _fitting({prefix + word for word in of_value})


_remembered_leaf_terms: Final = lru_cache(LEAVES_REMEMBERED)(_leaf_terms)


def _word_terms(words: list[bytes]) -> frozenset[bytes]:
    """Return the terms of words of any field."""
    return _fitting({_WORD + word for word in words})


def _fitting(terms: set[bytes]) -> frozenset[bytes]:
    """Return terms of which the long ones are shortened."""
    # Nearly none: so the others are not asked one by one.
    if max(map(len, terms), default=0) <= limits.TERM_BYTES_MAX:
        return frozenset(terms)
    return frozenset(map(_shortened, terms))


def _are_too_many(terms: frozenset[bytes]) -> bool:
    """Tell whether a run has more terms than it may have, by number or by bytes."""
    if len(terms) <= TERMS_BYTES_MAX // limits.TERM_BYTES_MAX:
        return False
    return len(terms) > limits.TERMS_MAX or sum(map(len, terms)) > TERMS_BYTES_MAX


def _shortened(term: bytes) -> bytes:
    """Return a term as it is, or shortened to the bytes that it may have."""
    if len(term) <= limits.TERM_BYTES_MAX:
        return term
    return term[:STEM_BYTES] + _SHORTENED + _digest(term)


def _digest(data: bytes) -> bytes:
    """Return the digest of what is too long to stand in a term."""
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
