"""Text: what a word is, and how numbers and booleans read."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runindex_server.schema.text import boolean_text, encoded_words, ends_in_word, number_text, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("--- ... *", []),
        ("alpha", ["alpha"]),
        ("gpt-4o mini", ["gpt", "4o", "mini"]),
        ("snake_case,kebab-case/path.to", ["snake_case", "kebab", "case", "path", "to"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("İstanbul", ["i̇stanbul"]),
        ("日本 語", ["日本", "語"]),
        ("½ x² ٣", ["½", "x²", "٣"]),
        ("a\x00b\nc", ["a", "b", "c"]),
        ("out of memory: 12.5%", ["out", "of", "memory", "12", "5"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_an_accent_does_not_end_a_word() -> None:
    assert words("cafe\u0301s") == words("cafés") == ["cafés"]


@given(st.text())
def test_words_are_words(text: str) -> None:
    for word in words(text):
        assert word
        assert words(f"({word})") in ([word], words(word))


@given(st.text() | st.text(st.characters(codec="ascii")))
def test_encoded_words_are_the_same_words(text: str) -> None:
    assert [word.decode() for word in encoded_words(text)] == words(text)


@given(st.text(), st.text())
def test_texts_on_lines_of_their_own_have_their_own_words(first: str, second: str) -> None:
    assert words(f"{first}\n{second}") == words(first) + words(second)
    assert words(f"{first}.{second}") == words(first) + words(second)


@pytest.mark.parametrize(
    ("text", "expected"), [("gpt", True), ("gpt-", False), ("", False), ("cafe\u0301", True)]
)
def test_ends_in_word(text: str, expected: bool) -> None:  # noqa: FBT001
    assert ends_in_word(text) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (5.0, "5"),
        (-12.0, "-12"),
        (0.1, "0.1"),
        (-1.5, "-1.5"),
        (2.0**53, "9007199254740992"),
        (2.0**53 + 2, "9007199254740994"),
        (1e16, "10000000000000000"),
        (12345678901234567890.0, "12345678901234567000"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (0.000001, "0.000001"),
        (0.0000015, "0.0000015"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"),
    ],
)
def test_numbers_read_as_in_json(number: float, expected: str) -> None:
    assert number_text(number) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_number_reads_back_as_it(number: float) -> None:
    text = number_text(number)

    assert float(json.loads(text)) == number
    assert len(Decimal(text).normalize().as_tuple().digits) <= 17


def test_booleans() -> None:
    assert (boolean_text(True), boolean_text(False)) == ("true", "false")
