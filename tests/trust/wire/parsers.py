"""The other parsers of bytes that anybody can send or hand over, each with what must hold whatever it gets.

A parser takes bytes, refuses them in its own way or accepts them; what it accepts is compared with a second
way to the same thing. Any other exception is a finding.
"""

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from runindex_server.access.caller import Role
from runindex_server.access.token_file import LiveTokens, add_token
from runindex_server.access.tokens import new_token
from runindex_server.errors import (
    CredentialsInvalid,
    CredentialsMissing,
    InvalidPageToken,
    InvalidQuery,
)
from runindex_server.rpc.admission import CALLER, Admission
from runindex_server.runs.page_token import PageTokens
from runindex_server.schema.error_text import CHARACTERS_MAX, common_error
from runindex_server.schema.header import read_header
from runindex_server.schema.run import parse_run_id, run_id_text
from runindex_server.schema.spans import parse_span_us
from runindex_server.search.index import TermIndex
from runindex_server.search.naive import NaiveSearch
from runindex_server.search.query import parse_query
from runindex_server.search.times import parse_instant_us
from tests.support.clock import ManualClock
from tests.support.search_world import find
from tests.trust.wire import seeds
from tests.trust.wire.callee import Callee, FakeContext
from tests.trust.wire.mutating import TEXTS

NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
QUERY: Final = bytes(8)

Change = Callable[[bytes, random.Random], bytes]
"""What mutates an input of a parser by its meaning."""


@dataclass(frozen=True, slots=True)
class Parser:
    """A parser, and how it is driven.

    Attributes:
        run: Gives it bytes; returns whether they were accepted.
        beginnings: Bytes from which mutation begins.
        change: None for none of its own.
    """

    name: str
    run: Callable[[bytes], bool]
    beginnings: tuple[bytes, ...]
    change: Change | None = None


def text_of(data: bytes) -> str:
    """Return bytes as protobuf would hand them over, with what is no UTF-8 left out."""
    return data.decode(errors="ignore")


def page_tokens(callee: Callee) -> Parser:
    """Tokens of pages: only those are accepted that the store has made, and in one spelling."""
    tokens = PageTokens(callee.run(callee.store.read(read_header)))
    places = (b"", bytes(16), b"k" * 200)
    made = {tokens.encode(QUERY, place): place for place in places}

    def run(data: bytes) -> bool:
        text = text_of(data)
        try:
            place = tokens.decode(QUERY, text)
        except InvalidPageToken:
            assert text not in made
            return False
        assert made[text] == place
        return True

    return Parser("page tokens", run, tuple(text.encode() for text in made))


def queries(callee: Callee) -> Parser:
    """Queries: what is accepted finds by the term index what it finds record by record."""
    now_us = callee.clock.now_us()

    def run(data: bytes) -> bool:
        text = text_of(data)[:1_024]
        try:
            expression = parse_query(text)
        except InvalidQuery as error:
            refusal = error
            expression = None
        if expression is None:
            assert 0 <= refusal.position <= len(text)
            return False

        def compare(txn: Any) -> None:
            asked = {"now_us": now_us, "include_archived": True}
            by_index = find(TermIndex(), txn, expression, **asked)
            assert by_index == find(NaiveSearch(), txn, expression, **asked), text

        callee.run(callee.store.read(compare))
        return True

    texts = (*seeds.QUERIES, *(text for text in TEXTS if text and len(text) < 200))
    return Parser("search queries", run, tuple(text.encode() for text in texts))


def texts() -> Parser:
    """Ids, spans, times and errors: what is read is the same when it is written and read again."""

    def run(data: bytes) -> bool:
        text = text_of(data)
        run_id = parse_run_id(text)
        assert run_id is None or parse_run_id(run_id_text(run_id)) == run_id
        span_us, instant_us = parse_span_us(text), parse_instant_us(text)
        assert span_us is None or instant_us is None
        assert "\n" not in common_error(text)
        assert len(common_error(text)) <= CHARACTERS_MAX
        return run_id is not None or span_us is not None or instant_us is not None

    beginnings = (
        *(seeds.RUN, f"urn:uuid:{seeds.RUN}", "default", "1.5h", "2026-03-01", "2026-03-01T12:00:30.5+01:00"),
        *(
            "Traceback (most recent call last):\n File\nE: 'a' b\"c\" `d` 0x1f ::1 1.2.3.4:80",
            "É “x” \u2018y\u2019 «z»",
        ),
    )
    return Parser("ids, times and errors", run, tuple(text.encode() for text in beginnings))


def credentials() -> Parser:
    """The header `authorization`: nobody is let in but by the very token, whatever stands around it."""
    clock = ManualClock()
    with tempfile.TemporaryDirectory(prefix="runindex-tokens-") as folder:
        path = Path(folder) / "tokens.json"
        token, text = new_token("somebody", Role.READER, now=NOW, expire_time=None)
        add_token(path, token)
        # It looks at the file again when time passes, which it does not.
        admission = Admission(tokens=LiveTokens(path, clock))

    def run(data: bytes) -> bool:
        name, _, value = data.partition(b":")
        # As gRPC hands metadata over: text when it is UTF-8, and of one byte a character when not.
        metadata = tuple(_as_metadata(part) for part in (name, value))
        context: Any = FakeContext((metadata,))
        try:
            admission.admit(Role.READER, context)
        except (CredentialsInvalid, CredentialsMissing):
            return False
        assert metadata[0] == "authorization"
        scheme, _, rest = metadata[1].partition(" ")
        assert scheme.lower() == "bearer"
        assert rest == text
        assert CALLER.get().name == "somebody"
        return True

    return Parser(
        "credentials",
        run,
        tuple(
            head.encode()
            for head in (
                f"authorization:Bearer {text}",
                f"authorization:bearer {text}\x00",
                f"authorization:Basic {text}",
                f"Authorization:Bearer {text[:-1]}",
                f"x-user:{text}",
            )
        ),
    )


def _as_metadata(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin1")
