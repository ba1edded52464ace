"""What the machine says: ids, tags, metadata and queries of so few words that calls meet each other."""

from typing import Any, Final

from hypothesis import strategies as st

from tests.property.model_arguments import ABSENT_KIND
from tests.property.model_search import All, Compared, Either, Named, Not, Query, Words

SPELLINGS: Final = (
    str,
    str.upper,
    lambda run_id: run_id.replace("-", ""),
    lambda run_id: f"{{{run_id}}}",
    lambda run_id: f"urn:uuid:{run_id}",
    lambda run_id: f"{{{run_id.replace('-', '').upper()}}}",
    lambda run_id: f"URN:UUID:{run_id.replace('-', '')}",
)
"""The ways in which a caller may write a run id."""

CHOSEN_IDS: Final = (
    "00000000-0000-0000-0000-000000000001",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "c0ffee00-1234-4abc-8def-000000000000",
    "c0ffee00-1234-4abc-8def-000000000001",
    "c0ffee01-1234-4abc-8def-000000000000",
)
"""Ids that callers choose, again and again."""

UNKNOWN_ID: Final = "dead0000-0000-4000-8000-000000000000"
"""An id that no call creates."""

TAGS: Final = ("prod", "Prod", "a b", "a(b)", "ünï", "x" * 128, "gpt-4o", "prod:eu")
ERRORS: Final = (
    "out of memory",
    "Straße gesperrt",
    "E42: timeout\n at line 7",
    " alpha ",
    "x" * 16_384,
    # The same as others, but for what differs by run.
    "E7: timeout",
    "Traceback (most recent call last):\n  File 'a.py', line 3\nE1: timeout",
    "\n  alpha",
)
TEMPLATES: Final = ("t", "t1", "nightly eval", "ünï", "\U0001f600", "\uffff")
WORDS: Final = (
    "alpha",
    "beta",
    "gpt-4o",
    "Straße",
    "日本",
    "snake_case",
    "failed",
    "default",
    "w" * 70,
    "1.5",
    "m99",
)
KEYS: Final = ("model", "a", "b", "note", "ünï", "a_name_that_is_longer_than_most", "nul\x00")
LARGE: Final = (
    "x" * 44_000,
    [None] * 3_000,
    # More words than are kept as terms.
    " ".join(f"n{number}" for number in range(4_500)),
    # More words that begin alike than a prefix is looked up by.
    " ".join(f"m{number}" for number in range(100)),
)
"""Metadata values of which one fits, but not always two."""


numbers = st.sampled_from((0.0, 1.0, -1.5, 42.0, 0.1, 2.0**53))
texts = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=5,
)
metadata = st.dictionaries(st.sampled_from(KEYS), values, max_size=3)
large_metadata = st.sampled_from(LARGE[2:]).map(lambda value: {"large": value})
tag_lists = st.lists(st.sampled_from(TAGS), min_size=1, max_size=3)
lives = st.sampled_from(
    (
        (),
        ("PauseRun",),
        ("CloseRun",),
        ("CancelRun", "ArchiveRun"),
        ("FailRun",),
        ("FailRun", "ArchiveRun"),
        ("ArchiveRun",),
    )
)
"""What becomes of a run."""

policies = st.sampled_from(
    (
        {"keep_all": {}},
        {"keep_latest_n": 1},
        {"keep_latest_n": 2**53},
        {"keep_duration": 1_000},
        {"keep_duration": 90_000_001_000},
        {"delete_after": 86_400 * 10**9},
        {"delete_after": 315_576_000_000 * 10**9},
    )
)

words = st.one_of(
    st.sampled_from(WORDS).map(Words),
    st.sampled_from(
        ("STRASSE", "日本", "prod", "eu", "active", "archived", "true", "42", "absent", "n7", "large")
    ).map(Words),
    st.sampled_from(("alpha beta", "out of", "beta alpha", "a b", "n41 n42")).map(
        lambda text: Words(text, is_quoted=True)
    ),
    st.sampled_from(("al", "str", "4", "w" * 65, "sn", "n1", "n449", "m", "m1")).map(
        lambda text: Words(text, is_prefix=True)
    ),
)
in_metadata = st.builds(
    lambda words, path: Words(words.sought, words.is_quoted, words.is_prefix, path),
    words,
    st.sampled_from(
        (
            ("model",),
            ("a",),
            ("a", "b"),
            ("note",),
            ("ünï",),
            ("a_name_that_is_longer_than_most",),
            ("large",),
        )
    ),
)
states = st.sampled_from(("active", "paused", "completed", "failed", "cancelled", "archived"))
named = st.one_of(
    states.map(lambda name: Named("state", name)),
    st.sampled_from(("completed", "failed", "cancelled")).map(lambda name: Named("outcome", name)),
    st.sampled_from(TAGS).map(lambda tag: Named("tag", tag)),
    st.sampled_from((*CHOSEN_IDS, "default", UNKNOWN_ID)).map(lambda run_id: Named("parent", run_id)),
    st.sampled_from((*CHOSEN_IDS, "default", "c0ffee00*", "c0*", "f*", "c0ffee0*")).map(
        lambda run_id: Named("id", run_id)
    ),
    st.sampled_from((CHOSEN_IDS[2], "c0ffee00", "c0ffee00-1234")).map(Words),
)
comparisons = st.sampled_from(("<", "<=", ">", ">="))
compared = st.builds(
    Compared,
    st.sampled_from(("created", "updated", "duration")),
    comparisons,
    st.sampled_from((0, 1, 59, 60, 90)),
    st.sampled_from(("s", "m", "h", "d", "w")),
)
but_not_archived = st.builds(
    lambda term: Not(All((Named("state", "archived"), term))), st.one_of(words, named)
)
terms: st.SearchStrategy[Query] = st.one_of(words, in_metadata, named, compared, but_not_archived)


queries: st.SearchStrategy[Query] = st.recursive(
    terms,
    lambda inner: st.one_of(
        inner.filter(lambda part: not isinstance(part, Not)).map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: All(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Either(tuple(parts))),
    ),
    max_leaves=4,
)


INVALID_POLICIES: Final[tuple[Any, ...]] = (
    {},
    {"keep_latest_n": 0},
    {"keep_latest_n": 2**53 + 1},
    {"keep_duration": 0},
    {"keep_duration": 999},
    {"keep_duration": -1_000_000},
    {"delete_after": -5 * 10**9},
)
INVALID_FIELDS: Final[dict[str, tuple[Any, ...]]] = {
    "run_id": ("", "nope", "Default", "00000000-0000-0000-0000-000000000000", "{" + CHOSEN_IDS[0], "0" * 200),
    "parent_run_id": ("", " default", CHOSEN_IDS[0] + "0", "urn:uuid:{" + CHOSEN_IDS[0] + "}"),
    "view": (4, -1),
    "page_size": (-1, -(2**31)),
    "skip": (-1, 100_001),
    "states": ([0], [1, 7], [-1, 6]),
    "state": (0, 7, -1),
    "tag": ("", "x" * 129, "a\tb", "\x85"),
    "tags": ([""], ["ok", "a\nb"], ["é" * 65], [f"tag {number}" for number in range(65)]),
    "metadata": (
        {"_strata_retention": "mine"},
        {"_strata_": None, "a": 1.0},
        {"a": float("nan")},
        {"a": [{"b": float("inf")}]},
        {"a": ABSENT_KIND},
        {"a": "x" * 65_536},
        {"a": [None] * 5_001},
    ),
    "error": ("", " \n\t", "x" * 16_385),
    "policy": INVALID_POLICIES,
    "request_id": ("", "x" * 65, "é" * 33),
    "query": ("",),
    "new_run_id": ("", "none", CHOSEN_IDS[0][1:]),
    "name": ("", "x" * 129, "é" * 65, "a\tb", "\x00", "\x85"),
    "prefix": ("x" * 129, "é" * 65, "a\tb", "\x85"),
    "retention": INVALID_POLICIES,
    "order": (3, -1),
    "interval": (3, -1),
    "idle_for": (0, -1_000, 999, 1_000_001),
    "max_depth": (-1, -(2**31)),
    "max_runs": (-1, -(2**31)),
}
"""For each field values that the contract refuses."""


def nested(levels: int) -> dict[str, Any]:
    """Return an object of so many levels."""
    inner: dict[str, Any] = {}
    for _ in range(levels - 1):
        inner = {"a": inner}
    return inner
