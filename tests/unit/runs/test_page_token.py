"""Page tokens: what was made is read back, and nothing else is taken."""

from dataclasses import replace

import pytest

from runindex_server.errors import InvalidPageToken
from runindex_server.runs.page_token import PageTokens, Position
from runindex_server.schema.header import new_header

HEADER = new_header(create_us=1, created_by="test")
TOKENS = PageTokens(HEADER)
QUERY = b"query-01"


@pytest.mark.parametrize("position", [Position(before=1), Position(before=2**63, now_us=2**63)])
def test_a_token_is_read_as_it_was_made(position: Position) -> None:
    assert Position.unpack(TOKENS.decode(QUERY, TOKENS.encode(QUERY, position.pack()))) == position


@pytest.mark.parametrize("size", range(20))
def test_a_place_may_have_any_size(size: int) -> None:
    place = b"\xff" * size

    assert TOKENS.decode(QUERY, TOKENS.encode(QUERY, place)) == place


def test_any_changed_character_is_refused() -> None:
    token = TOKENS.encode(QUERY, Position(before=77, now_us=5).pack())
    for place, char in enumerate(token):
        damaged = token[:place] + ("A" if char != "A" else "B") + token[place + 1 :]
        with pytest.raises(InvalidPageToken):
            TOKENS.decode(QUERY, damaged)


@pytest.mark.parametrize("token", ["x", "====", "AAAA", "ä", "A" * 56, "A" * 10_000, " "])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidPageToken):
        TOKENS.decode(QUERY, token)


def test_a_token_has_one_spelling() -> None:
    tokens = [TOKENS.encode(QUERY, Position(before=number).pack()) for number in range(100)]
    spelt_otherwise = [token.replace("-", "+").replace("_", "/") for token in tokens]
    changed = [other for token, other in zip(tokens, spelt_otherwise, strict=True) if other != token]

    assert changed
    for token in changed:
        with pytest.raises(InvalidPageToken):
            TOKENS.decode(QUERY, token)


def test_a_token_of_another_query_is_refused() -> None:
    with pytest.raises(InvalidPageToken, match="another query"):
        TOKENS.decode(b"query-02", TOKENS.encode(QUERY, Position(before=1).pack()))


def test_a_token_of_another_store_is_refused() -> None:
    other = PageTokens(new_header(create_us=1, created_by="test"))
    with pytest.raises(InvalidPageToken, match="this store"):
        other.decode(QUERY, TOKENS.encode(QUERY, Position(before=1).pack()))


def test_a_token_from_before_a_restore_is_refused() -> None:
    restored = PageTokens(replace(HEADER, epoch=b"restored"))
    with pytest.raises(InvalidPageToken, match="restored"):
        restored.decode(QUERY, TOKENS.encode(QUERY, Position(before=1).pack()))
