"""Terms: by what a run is found, how long they are, and how many."""

import itertools
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runindex_server import limits
from runindex_server.kv.api import VALUE_BYTES_MAX
from runindex_server.schema import terms
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.run import Run, RunId, RunState
from runindex_server.schema.terms import (
    EVERY_RUN,
    IMPORTED,
    PARTIAL,
    TERMS_BYTES_MAX,
    terms_changed,
    terms_of,
)
from runindex_server.schema.text import words
from tests.support.search_world import make_run

PARENT = RunId(b"p" * 16)


def numbered(count: int) -> Run:
    """Return a run with so many terms beside those that every active run has, a tag and the key `k`."""
    return make_run(tags=("t",), metadata={"k": " ".join(f"w{number}" for number in range(count // 2))})


def test_the_terms_of_a_run() -> None:
    run = make_run(
        state=RunState.ARCHIVED,
        outcome=RunState.FAILED,
        error="Boom",
        tags=("A tag",),
        parent=PARENT,
        metadata={"model": {"name": "gpt-4o"}},
    )

    assert terms_of(run) == {
        b"*",
        b"s\x06",
        b"o\x04",
        b"p" + PARENT,
        b"tA tag",
        b"warchived",
        b"wboom",
        b"wa",
        b"wtag",
        b"wmodel",
        b"wname",
        b"wgpt",
        b"w4o",
        b"mmodel.name\x00gpt",
        b"mmodel.name\x004o",
    }


def test_an_imported_run_has_a_term_more_for_life() -> None:
    run = make_run(is_imported=True)
    changed = run._replace(state=RunState.COMPLETED, outcome=RunState.COMPLETED)

    assert terms_of(run) - terms_of(make_run()) == {IMPORTED}
    assert terms_changed(run, changed) == (
        terms_of(changed) - terms_of(run),
        terms_of(run) - terms_of(changed),
    )


def test_ids_are_no_terms() -> None:
    run = make_run(0xABCDEF)

    assert terms_of(run) == {EVERY_RUN, terms.state(RunState.ACTIVE), terms.word("active")}


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_long_word_stands_as_its_beginning_and_a_digest(over: int) -> None:
    word = "w" * (limits.TERM_BYTES_MAX - 1 + over)
    term = terms.word(word)

    assert len(term) == min(len(word) + 1, limits.TERM_BYTES_MAX)
    assert terms.is_shortened(term) is (over > 0)
    assert term.startswith(terms.word_prefix(word)[: terms.STEM_BYTES])
    assert terms.word(word + "x") != terms.word(word + "y")


def test_long_tags_and_characters_cut_in_two_are_terms_too() -> None:
    for text in ("t" * 128, "ü" * 64, "x" + "ü" * 60, "日" * 42):
        for term in (terms.tag(text), terms.word(text), terms.word(text, path="a.b")):
            assert len(term) == limits.TERM_BYTES_MAX
            assert terms.is_shortened(term)


def test_words_of_different_paths_are_different_terms() -> None:
    paths = ["", "a", "a.b", "a\x00", "a\x00b", "p" * 24, "p" * 25, "p" * 26, "\x00" * 3]
    made = {terms.word("b", path=path) for path in paths}

    assert len(made) == len(paths)
    for first, second in itertools.permutations(paths, 2):
        assert not terms.word("b", path=first).startswith(terms.word_prefix("", path=second))


def test_a_path_leaves_room_for_the_word() -> None:
    for path in ("p" * 24, "p" * 1_000):
        assert not terms.is_shortened(terms.word("w" * 38, path=path))


@pytest.mark.parametrize("over", [-2, 0, 2])
def test_a_run_with_too_many_terms_is_partial(over: int) -> None:
    own = len(terms_of(make_run(tags=("t",), metadata={"k": ""})))
    found = terms_of(numbered(limits.TERMS_MAX - own - own % 2 + over))

    if own + (limits.TERMS_MAX - own - own % 2 + over) <= limits.TERMS_MAX:
        assert len(found) <= limits.TERMS_MAX
        assert terms.word("w0") in found
    else:
        assert found == {EVERY_RUN, PARTIAL, terms.state(RunState.ACTIVE), terms.tag("t")}


def test_a_partial_run_keeps_what_it_is_found_by_exactly() -> None:
    run = make_run(
        state=RunState.CANCELLED,
        outcome=RunState.CANCELLED,
        tags=tuple(f"tag {number}" for number in range(limits.TAGS_MAX)),
        parent=PARENT,
        metadata={"k": " ".join(map(str, range(limits.TERMS_MAX)))},
    )
    found = terms_of(run)

    assert len(found) == limits.TAGS_MAX + 5
    assert {EVERY_RUN, PARTIAL, terms.parent(PARENT), terms.outcome(RunState.CANCELLED)} <= found


def test_a_change_of_all_terms_fits_into_a_row() -> None:
    """Each term costs 2 bytes beside its own."""
    overhead = 2 * limits.TERMS_MAX
    row = (
        pb.PendingTerms(ordinal=2**64 - 1, added=[b"x" * 64]).ByteSize()
        - 66
        + 2 * (TERMS_BYTES_MAX + overhead)
    )

    assert row + 5 <= VALUE_BYTES_MAX


def test_a_run_with_very_long_terms_is_partial_too() -> None:
    words = [f"{number:060}" for number in range(1_050)]
    long_paths = {f"{'p' * 24}": " ".join(words)}

    assert PARTIAL in terms_of(make_run(metadata=long_paths))
    assert PARTIAL not in terms_of(make_run(metadata={"p": " ".join(words[:500])}))


# Changes: words that fields have in common, so that one may go from here and stay there.

WORDS = st.sampled_from(["active", "paused", "Failed", "gpt", "4", "straße", "x" * 70, "e\u0301", ""])
TEXTS = st.lists(WORDS, max_size=3).map(" ".join)
LEAVES = TEXTS | st.just(4.0) | st.booleans() | st.none()
OBJECTS = st.recursive(
    st.dictionaries(TEXTS, LEAVES | st.lists(LEAVES, max_size=2), max_size=3),
    lambda objects: st.dictionaries(TEXTS, objects | LEAVES, max_size=2),
    max_leaves=5,
)


@st.composite
def changed_runs(draw: st.DrawFn) -> tuple[Run, Run]:
    """Draw a run before and after a change, mostly with the same metadata, sometimes with very much of it."""
    metadata = draw(OBJECTS)
    if draw(st.integers(0, 9)) == 0:
        metadata = {**metadata, "much": " ".join(map(str, range(draw(st.integers(100, 5_000)))))}
    return _drawn_run(draw, metadata), _drawn_run(draw, metadata if draw(st.booleans()) else draw(OBJECTS))


def _drawn_run(draw: st.DrawFn, metadata: Mapping[str, object]) -> Run:
    return make_run(
        state=draw(st.sampled_from(RunState)),
        error=draw(st.none() | TEXTS),
        tags=tuple(draw(st.lists(TEXTS.filter(bool), max_size=3, unique=True))),
        metadata=metadata,
    )


@given(changed_runs())
def test_a_change_leads_from_the_terms_before_to_those_after(runs: tuple[Run, Run]) -> None:
    old, new = runs
    added, removed = terms_changed(old, new)

    assert (terms_of(old) - removed) | added == terms_of(new)
    assert not removed & terms_of(new)
    assert removed <= terms_of(old)


def test_a_word_that_the_metadata_has_too_stays() -> None:
    old = make_run(tags=("gpt",), metadata={"model": {"gpt": None}})
    new = make_run(metadata={"model": {"gpt": None}})

    assert terms_changed(old, new) == (frozenset(), frozenset({terms.tag("gpt")}))


def test_a_word_that_is_not_in_the_bytes_is_not_in_the_metadata() -> None:
    """Of every character: those that fold to letters from a to z are known."""
    unknown = [
        character
        for character in map(chr, itertools.chain(range(0x80, 0xD800), range(0xE000, 0x110000)))
        if any(re.search("[a-z]", word) and word.isascii() for word in words(character))
        and not terms.may_have_word(character.encode(), [b"absent"])
    ]

    assert unknown == []


@pytest.mark.parametrize(
    ("metadata", "word", "expected"),
    [
        ({"state": "Active"}, "active", True),
        ({"ACTIVE": None}, "active", True),
        ({"state": "activ"}, "active", False),
        ({"state": "aktiv\u017f"}, "active", True),
        ({"number": 1e300}, "e", True),
        ({"number": 12}, "12", True),
        ({"flag": True}, "true", True),
        ({"flag": False}, "false", True),
        ({"näher": "日本"}, "active", False),
        ({"näher": "日本"}, "näher", True),
        ({}, "active", False),
    ],
)
def test_where_a_word_may_be(metadata: Mapping[str, object], word: str, expected: bool) -> None:  # noqa: FBT001
    encoded = make_run(metadata=metadata).metadata

    assert terms.may_have_word(encoded, [word.encode()]) is expected


def test_who_has_so_little_text_is_not_partial() -> None:
    """The shortest words that there can be, of different texts, under a path that is as long as it can be."""
    letters = [chr(code) for code in range(0x4E00, 0x4E00 + terms.SURELY_COMPLETE_BYTES // 4)]
    run = make_run(metadata={"k" * 24: " ".join(letters)})
    assert len(run.metadata) > terms.SURELY_COMPLETE_BYTES * 0.9

    assert PARTIAL not in terms_of(run)
