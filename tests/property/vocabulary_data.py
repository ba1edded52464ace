"""What the machine says about what runs hold: few names and values, so that calls meet each other."""

from typing import Any, Final

from hypothesis import strategies as st

from tests.property.model_arguments import ABSENT_KIND
from tests.property.vocabulary import nested
from tests.support.clock import DAY_US, HOUR_US

NAMES: Final = ("k", "k1", "k é", "a/~b", "\uffff", "\U0001f600", "x" * 128)
"""Names of keys, cells and documents. The last but one comes before its neighbour in UTF-16."""

STREAMS: Final = ("s", "s1", "\U0001f600")
PREFIXES: Final = ("", "", "k", "k1", "é", "\uffff", "x" * 128)
MEMBERS: Final = ("a", "b", "", "0", "-", "a/b", "~1")
POINTERS: Final = (
    "/a",
    "/b",
    "/",
    "/0",
    "/-",
    "/1",
    "/01",
    "/a~1b",
    "/~01",
    "/a/a",
    "/a/0",
    "/a/-",
    "/b/1",
    "/b/-",
    "/a/b/-",
    "//0",
    "/a/b/a",
    "/a" * 19,
    "/a" * 20,
    "/" + "a" * 1_023,
)
"""Places in documents; some never are."""

LARGE_JSON: Final = ("x" * 262_140, [None] * 5_000, nested(20), {"a": "x" * 140_000}, {"b": "x" * 140_000})
"""At a bound, or so large that two pass one."""

names = st.sampled_from((*NAMES[:3], *NAMES))
json_numbers = st.sampled_from((0.0, 1.0, -1.5, 1e300, 2.0**53))
scalars = st.one_of(st.none(), st.booleans(), json_numbers, st.sampled_from(("", "text", "日本")))
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=3)
    ),
    max_leaves=6,
)
documents = st.one_of(
    st.dictionaries(st.sampled_from(MEMBERS), json_values, max_size=4),
    st.lists(json_values, max_size=3),
    json_values,
)
patches = st.one_of(
    st.dictionaries(st.sampled_from(MEMBERS), json_values, max_size=3),
    st.dictionaries(st.sampled_from(MEMBERS), st.none(), min_size=1, max_size=2),
    json_values,
)
binaries = st.sampled_from((b"", b"\x00", b"text", b"\xff" * 300))
contents = st.one_of(
    json_values.map(lambda value: {"json": value}), binaries.map(lambda binary: {"binary": binary})
)
large_json = st.integers(0, len(LARGE_JSON) - 1).map(lambda number: LARGE_JSON[number])
"""By number, as Hypothesis shows what it draws from."""

large_contents = st.one_of(
    large_json.map(lambda value: {"json": value}), st.none().map(lambda _: {"binary": b"b" * 262_144})
)
drafts = st.fixed_dictionaries({"stream": st.sampled_from(STREAMS), "value": contents})

retention = st.sampled_from(
    (
        {"keep_all": {}},
        {"keep_latest_n": 1},
        {"keep_latest_n": 1},
        {"keep_latest_n": 2},
        {"keep_latest_n": 3},
        {"keep_duration": 1_000},
        {"keep_duration": HOUR_US * 1_000},
        {"keep_duration": DAY_US * 1_000},
        {"delete_after": 1_000},
        {"delete_after": HOUR_US * 1_000},
        {"delete_after": DAY_US * 1_000},
    )
)
"""Policies that soon have something to do; durations in nanoseconds, as in requests."""

durations = st.sampled_from(
    (
        {"keep_duration": HOUR_US * 1_000},
        {"keep_duration": 1_000_000},
        {"delete_after": HOUR_US * 1_000},
        {"delete_after": 1_000_000},
    )
)

default_policies = st.sampled_from(
    (
        {"keep_latest_n": 1},
        {"keep_latest_n": 2},
        {"keep_all": {}},
        {"keep_latest_n": 3},
        {"keep_duration": HOUR_US},
        {"keep_duration": 2 * DAY_US},
        {"delete_after": HOUR_US},
        {"delete_after": DAY_US},
    )
)
"""Store-wide policies; durations in microseconds, as in the settings."""

_NO_NAMES: Final = ("", "x" * 129, "é" * 65, "a\tb", "\x00", "\x85")
_NO_JSON: Final = (ABSENT_KIND, float("nan"), [float("inf")], {"a": [ABSENT_KIND]}, nested(21), "x" * 262_141)

INVALID_DATA_FIELDS: Final[dict[str, tuple[Any, ...]]] = {
    "key": _NO_NAMES,
    "cell": _NO_NAMES,
    "document": _NO_NAMES,
    "stream": _NO_NAMES,
    "prefix": _NO_NAMES[1:],
    "version": (0,),
    "pointer": ("a", "~0", "/~", "/~2", "#/a", "/a~", "/" + "a" * 1_024, "/" + "é" * 512),
    "value": ({}, {"binary": b"b" * 262_145}, *({"json": value} for value in _NO_JSON)),
    "expected": ({}, {"binary": b"b" * 262_145}, *({"json": value} for value in _NO_JSON)),
    "patch": _NO_JSON,
    "events": (
        [],
        [{"stream": "s", "value": {"json": None}}] * 1_001,
        *([{"stream": "s", "value": {"json": 1.0}}, {"stream": name, "value": {}}] for name in _NO_NAMES),
        [{"stream": "s", "value": {"json": 1.0}}, {"stream": "s"}],
        *([{"stream": "s", "value": {"json": value}}] for value in _NO_JSON),
    ),
    "page_size": (-1, -(2**31)),
    "request_id": ("", "x" * 65, "é" * 33),
}
"""For each field values that the contract refuses."""
