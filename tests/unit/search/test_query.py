"""Queries: what each is read as, and where each mistake is shown."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runindex_server import limits
from runindex_server.errors import InvalidQuery
from runindex_server.schema.run import DEFAULT_RUN_ID, RunId, RunState
from runindex_server.search.expression import (
    And,
    Created,
    Duration,
    Expression,
    Id,
    IdPrefix,
    Interval,
    Not,
    Or,
    Outcome,
    Parent,
    State,
    Tag,
    Text,
    Times,
    Updated,
)
from runindex_server.search.query import parse_query

UUID = "0192f3aa-7c1e-7abc-8def-0123456789ab"
RUN = RunId(bytes.fromhex(UUID.replace("-", "")))
HOUR_US = 3_600_000_000
NEW_YEAR_US = 1_767_225_600_000_000

A, B, C, D = (Text((word,)) for word in "abcd")
ID_WORDS = Text(tuple(UUID.split("-")))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a", A),
        ("  a\t\n", A),
        ("a b", And((A, B))),
        ("a b c", And((A, B, C))),
        ("a OR b", Or((A, B))),
        ("a OR b OR c", Or((A, B, C))),
        ("a b OR c d", Or((And((A, B)), And((C, D))))),
        ("a (b OR c) d", And((A, Or((B, C)), D))),
        ("(a)", A),
        ("((a b))", And((A, B))),
        ("a(b)c", And((A, B, C))),
        ("( a OR b )", Or((A, B))),
        ("(a)OR(b)", Or((A, B))),
        ("a or b", And((A, Text(("or",)), B))),
        ("ORa", Text(("ora",))),
        ("-a", Not(A)),
        ("-a -b", And((Not(A), Not(B)))),
        ("--a", Not(Not(A))),
        ("-(a OR b)", Not(Or((A, B)))),
        ("a -b OR -c", Or((And((A, Not(B))), Not(C)))),
        ('-"a b"', Not(Text(("a", "b")))),
        ("-state:failed", Not(State(RunState.FAILED))),
    ],
)
def test_structure(query: str, expected: Expression) -> None:
    assert parse_query(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Straße", Text(("strasse",))),
        ("gpt-4o", Text(("gpt", "4o"))),
        ("a.b/c,d", Text(("a", "b", "c", "d"))),
        ("snake_case", Text(("snake_case",))),
        ("user@host", Text(("user", "host"))),
        ("a=b", Text(("a", "b"))),
        ("lr=0.1", Text(("lr", "0", "1"))),
        ("5%", Text(("5",))),
        ("a-", A),
        ("gpt*", Text(("gpt",), is_prefix=True)),
        ("gpt-4*", Text(("gpt", "4"), is_prefix=True)),
        ("cafe\u0301*", Text(("café",), is_prefix=True)),
        ('"a"', A),
        ('"Out of  memory!"', Text(("out", "of", "memory"))),
        ('"a*"', A),
        ('"a OR (b) -c tag:d"', Text(("a", "or", "b", "c", "tag", "d"))),
        (r'"a\"b"', Text(("a", "b"))),
        (r'"C:\dir\\"', Text(("c", "dir"))),
        ("meta.model:gpt", Text(("gpt",), path="model")),
        ("meta.model:gpt*", Text(("gpt",), is_prefix=True, path="model")),
        ("meta.a.b:gpt-4o", Text(("gpt", "4o"), path="a.b")),
        ('meta.a.b:"two words"', Text(("two", "words"), path="a.b")),
        ("meta.n:-5", Text(("5",), path="n")),
        ("meta.Ünï-key:x", Text(("x",), path="Ünï-key")),
        ("meta.a=b:c", Text(("c",), path="a=b")),
        ("meta.:x", Text(("x",), path="")),
    ],
)
def test_text(query: str, expected: Expression) -> None:
    assert parse_query(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state:active", State(RunState.ACTIVE)),
        ("state:FAILED", State(RunState.FAILED)),
        ('state:"archived"', State(RunState.ARCHIVED)),
        ("outcome:cancelled", Outcome(RunState.CANCELLED)),
        ("tag:prod", Tag("prod")),
        ("tag:Prod:EU", Tag("Prod:EU")),
        ("tag:a(b)c", Tag("a(b)c")),
        ("tag:a(b", Tag("a(b")),
        ("(tag:prod)", Tag("prod")),
        ("(tag:a(b))", Tag("a(b)")),
        ('tag:5"', Tag('5"')),
        ("tag:*", Tag("*")),
        ("tag:-", Tag("-")),
        (r"tag:a\b", Tag(r"a\b")),
        ('tag:"a b"', Tag("a b")),
        (r'tag:"say \"hi\" \\ \n"', Tag(r'say "hi" \ \n')),
        ("tag:a tag:b", And((Tag("a"), Tag("b")))),
        (f"parent:{UUID}", Parent(RUN)),
        (f"parent:urn:uuid:{UUID}", Parent(RUN)),
        ("parent:default", Parent(DEFAULT_RUN_ID)),
        (f"id:{UUID.upper()}", Id(RUN)),
        (f"id:{{{UUID}}}", Id(RUN)),
        ("id:default", Id(DEFAULT_RUN_ID)),
        ("id:0192f3*", IdPrefix("0192f3")),
        ("id:0192F3AA-7C*", IdPrefix("0192f3aa7c")),
        ("id:0192f3aa-*", IdPrefix("0192f3aa")),
        ("id:0192f3aa7c1e*", IdPrefix("0192f3aa7c1e")),
        (f"id:{UUID}*", IdPrefix(UUID.replace("-", ""))),
        ("id:de*", Or((IdPrefix("de"), Id(DEFAULT_RUN_ID)))),
        ("id:defau*", Id(DEFAULT_RUN_ID)),
    ],
)
def test_fields(query: str, expected: Expression) -> None:
    assert parse_query(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (UUID, Or((ID_WORDS, Id(RUN)))),
        (f"{{{UUID}}}", Or((ID_WORDS, Id(RUN)))),
        (f"urn:uuid:{UUID}", Or((Text(("urn", "uuid", *UUID.split("-"))), Id(RUN)))),
        ("default", Or((Text(("default",)), Id(DEFAULT_RUN_ID)))),
        ("0192f3aa", Or((Text(("0192f3aa",)), IdPrefix("0192f3aa")))),
        ("0192f3aa-7c", Or((Text(("0192f3aa", "7c")), IdPrefix("0192f3aa7c")))),
        ("0192F3AA*", Or((Text(("0192f3aa",), is_prefix=True), IdPrefix("0192f3aa")))),
        ("0192f3a", Text(("0192f3a",))),
        ("0192f3ag", Text(("0192f3ag",))),
        ("0192-f3aa", Text(("0192", "f3aa"))),
        ("defaults", Text(("defaults",))),
        (f'"{UUID}"', ID_WORDS),
    ],
)
def test_words_that_are_ids_or_may_begin_one(query: str, expected: Expression) -> None:
    assert parse_query(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("created<2026-01-01", Created(Times(Interval(end_us=NEW_YEAR_US)))),
        ("created<=2026-01-01", Created(Times(Interval(end_us=NEW_YEAR_US + 1)))),
        ("created>2026-01-01", Created(Times(Interval(start_us=NEW_YEAR_US + 1)))),
        ("created>=2026-01-01T00:00:00Z", Created(Times(Interval(start_us=NEW_YEAR_US)))),
        ('created>="2026-01-01"', Created(Times(Interval(start_us=NEW_YEAR_US)))),
        ("updated<1h", Updated(Times(Interval(end_us=HOUR_US), is_age=True))),
        ("updated>=1.5h", Updated(Times(Interval(start_us=HOUR_US * 3 // 2), is_age=True))),
        ("duration>5m", Duration(Interval(start_us=300_000_001))),
        ("duration<=1.5s", Duration(Interval(end_us=1_500_001))),
    ],
)
def test_comparisons(query: str, expected: Expression) -> None:
    assert parse_query(query) == expected


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("", 0),
        (" \t\n", 0),
        ('"abc', 0),
        ('a "b', 2),
        (r'"a\"', 0),
        ('""', 0),
        ('"a"b', 3),
        ('"a""b"', 3),
        ('"a"*', 3),
        ('a"b"', 1),
        ('meta.a:x"y"', 8),
        ("(a", 0),
        ("a (b (c)", 2),
        ("a)", 1),
        (")", 0),
        ("()", 0),
        ("a ( ) b", 2),
        ("OR", 0),
        ("OR a", 0),
        ("a OR", 2),
        ("a OR OR b", 5),
        ("(a OR)", 3),
        ("(OR a)", 1),
        ("a OR )", 2),
        ("-", 0),
        ("---", 0),
        ("a - b", 2),
        ("(a -)", 3),
        ("-OR b", 0),
        ("...", 0),
        ("a …", 2),
        ('a "..."', 2),
        ("*", 0),
        ("**", 0),
        ("*a", 0),
        ("a*b", 1),
        ("a**", 1),
        ("gpt-*", 4),
        ("meta.a:*", 7),
        ("id:*", 3),
        ("name:x", 0),
        ("a http://host", 2),
        ("ünï:x", 0),
        (":x", 0),
        ("a >5", 2),
        ("cost>5", 0),
        ("State:failed", 0),
        ("meta:x", 0),
        ("state:", 6),
        ("state: failed", 6),
        ('tag:""', 4),
        ("tag:)", 4),
        ("meta.a:", 7),
        ("meta.a:---", 7),
        ("state:running", 6),
        ("outcome:active", 8),
        ("outcome:archived", 8),
        ("parent:nope", 7),
        ("parent:0192f3*", 7),
        ("id:nope", 3),
        ("id:0192f3aa", 3),
        (f"id:{'0' * 32}", 3),
        ("id:xyz*", 3),
        ("id:0192-f3*", 3),
        (f"id:{UUID}0*", 3),
        ("state<failed", 5),
        ("state=failed", 5),
        ("tag>=x", 3),
        ("meta.a>5", 6),
        ("meta.a=5", 6),
        ("created:1h", 7),
        ("created=1h", 7),
        ("created>", 8),
        ("created>soon", 8),
        ("created>2026-13-01", 8),
        ("updated<1y", 8),
        ("updated<-1h", 8),
        ("duration>5", 9),
        ("duration>2026-01-01", 9),
        ("日本 OR", 3),
        ("🚀 a", 0),
        ("-" * (limits.QUERY_DEPTH_MAX + 1) + "a", limits.QUERY_DEPTH_MAX),
        ("a " + "(" * (limits.QUERY_DEPTH_MAX + 1) + "a", limits.QUERY_DEPTH_MAX + 2),
    ],
)
def test_mistakes_are_shown_where_they_are(query: str, position: int) -> None:
    with pytest.raises(InvalidQuery) as refusal:
        parse_query(query)

    assert refusal.value.position == position
    assert refusal.value.metadata == {"field": "query", "position": str(position)}


def test_depth_is_bounded() -> None:
    depth = limits.QUERY_DEPTH_MAX

    assert parse_query("(" * depth + "a" + ")" * depth) == A
    parse_query("-(" * (depth // 2) + "a" + ")" * (depth // 2))
    parse_query("(a) " * 200)


def test_what_is_shown_back_is_bounded() -> None:
    with pytest.raises(InvalidQuery) as refusal:
        parse_query("state:" + "x" * 1_000)

    assert len(refusal.value.message) < 300


@given(st.text(alphabet='ab -()":*<>=\\.OR\u00e4\u3000\x00', max_size=30))
@example('"' + "\\" * 500)
@example("(" * 1_024)
@example("-" * 1_024)
@example('tag:"' * 200)
def test_any_text_is_read_or_refused(query: str) -> None:
    position = 0
    try:
        parse_query(query)
    except InvalidQuery as refusal:
        position = refusal.position

    assert 0 <= position <= len(query)
