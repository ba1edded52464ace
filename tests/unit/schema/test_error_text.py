"""What errors have in common: which are the same, and how that reads."""

import time
from itertools import product
from textwrap import indent
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runindex_server.schema.error_text import (
    CHARACTERS_MAX,
    DIGEST_BYTES,
    LINE_CHARACTERS_MAX,
    common_error,
    error_digest,
)

HEAD: Final = "Traceback (most recent call last):\n"
FRAME: Final = '  File "/srv/app/run.py", line 3, in step\n    raise error\n'
FURTHER_FRAME: Final = '  File "/srv/app/lib.py", line 12, in __call__\n    return f()\n           ^^^\n'

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    # A first line.
    "it broke": ("it broke", "  it broke \n", "\n\nit broke\nand more\n", "it \t broke", "it\u00a0broke"),
    "It broke": ("It broke",),
    "": ("\n", "\u2028"),
    # Python.
    "ValueError: bad value <n>": (
        "ValueError: bad value 12",
        f"{HEAD}{FRAME}ValueError: bad value 7",
        f"{HEAD}{FRAME}{FURTHER_FRAME}ValueError: bad value -1.5e-7\n",
        f"{HEAD}{FRAME}KeyError: 'a'\n\nDuring handling of it:\n\n{HEAD}{FRAME}ValueError: bad value 8",
        f"ERROR the step failed: {HEAD}{FRAME}ValueError: bad value 9",
        "failed:\n" + indent(f"{HEAD}{FRAME}ValueError: bad value 3\nfor one", "    "),
        "failed:\n" + indent(f"{HEAD}{FRAME}ValueError: bad value 4\nfor two", "worker_1 | "),
    ),
    "pydantic_core._pydantic_core.ValidationError: <n> validation error for Model": (
        (
            f"{HEAD}{FRAME}pydantic_core._pydantic_core.ValidationError: 1 validation error for Model\n"
            "count\n  Input should be a valid integer"
        ),
    ),
    "TypeError: two": (
        (
            f"  + Exception Group {HEAD}{indent(FRAME, '  | ')}  | ExceptionGroup: all (2 sub-exceptions)\n"
            f"  +-+---------------- 1 ----------------\n{indent(f'{HEAD}{FRAME}TypeError: one', '    | ')}\n"
            f"    +---------------- 2 ----------------\n{indent(f'{HEAD}{FRAME}TypeError: two', '    | ')}\n"
            "    +------------------------------------\n"
        ),
    ),
    "raise error": (f"{HEAD}{FRAME}",),
    "KeyError: <text>": (
        "KeyError: 'model'",
        'KeyError: "it\'s"',
        "KeyError: 'it\\'s'",
        "KeyError: b'\\x00'",
    ),
    "FileNotFoundError: [Errno <n>] No such file or directory: <text>": (
        "FileNotFoundError: [Errno 2] No such file or directory: '/tmp/a b/c.json'",
        "FileNotFoundError: [Errno 2] No such file or directory: 'C:\\\\new\\\\file'",
        "FileNotFoundError: [Errno 2] No such file or directory: 'C:\\new\\'",
    ),
    "<Worker object at <hex>> is gone": (
        "<Worker object at 0x7f3a2c001d90> is gone",
        "<Worker object at 0XFF> is gone",
    ),
    # Java, Go, JavaScript.
    "java.lang.IllegalStateException: queue <text> has <n> items": (
        'java.lang.IllegalStateException: queue "in" has 12 items\n\tat a.B.c(B.java:77)\nCaused by: x',
        'java.lang.IllegalStateException: queue "out-2" has 1,300 items\n\tat a.B.c(B.java:91)',
    ),
    "Exception in thread <text> java.lang.OutOfMemoryError: Java heap space": (
        'Exception in thread "pool-1-thread-3" java.lang.OutOfMemoryError: Java heap space',
        'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space\n\tat X.main(X.java:5)',
    ),
    "panic: runtime error: index out of range [<n>] with length <n>": (
        "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()",
        "panic: runtime error: index out of range [0] with length 0\n\ngoroutine 18 [running]:\nmain.f(...)",
    ),
    "TypeError: Cannot read properties of undefined (reading <text>)": (
        "TypeError: Cannot read properties of undefined (reading 'name')\n    at step (/app/run.js:10:15)",
        "TypeError: Cannot read properties of undefined (reading 'id')\n    at async go (file:///app/x.mjs:3:1)",
    ),
    # Ids.
    "run <id> is gone": (
        "run 0192f3a4-5b6c-7d8e-9f00-112233445566 is gone",
        "run 0192F3A4-5B6C-7D8E-9F00-112233445567 is gone",
        "run 01JDK3X9Z8QW5T7V2B4N6M8P0R is gone",
    ),
    "overloaded (request req_<id>)": (
        "overloaded (request req_011CSHoEeqs5C35K2UUqR7Fy)",
        "overloaded (request req_018EeFcq7rTKxkZQ3vbnMfWJ)",
    ),
    "no image <hex>": (
        "no image a1b2c3d",
        "no image 9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
    ),
    "lost tmp_<hex>.part": ("lost tmp_a1b2c3d4.part", "lost tmp_00ff00ff00ff.part"),
    "a facade of deadbeef, sha<n>WithRSAEncryption": ("a facade of deadbeef, sha256WithRSAEncryption",),
    # Numbers.
    "HTTP <n>": ("HTTP 503", "HTTP 504", "HTTP 1.1", "HTTP -1", "HTTP +2"),
    "task-<n> of step<n>": ("task-3 of step4", "task-12 of step500"),
    "at <n>-<n>-<n>T<n>Z": ("at 2026-03-01T12:00:30Z", "at 2025-12-31T23:59:59.123456Z"),
    "took <n>s": ("took 5s", "took 12.75s", "took 1,000s"),
    "frame of <n>x<n>": ("frame of 1920x1080", "frame of 640x480", "frame of 10x5"),
    "loss is <n>": ("loss is 1e-5", "loss is -0.25", "loss is 3", "loss is 2.5E+10"),
    "cannot reach <n>: timeout": (
        "cannot reach 10.0.0.1:8080: timeout",
        "cannot reach 192.168.1.254: timeout",
    ),
    "cannot reach [<hex>]:<n>: timeout": (
        "cannot reach [::1]:8080: timeout",
        "cannot reach [2001:db8::8a2e:370:7334]:443: timeout",
        "cannot reach [fe80:0000:0000:0000:0202:b3ff:fe1e:8329]:443: timeout",
    ),
    "std::vector of a::b at <n>": ("std::vector of a::b at 12:30:45", "std::vector of a::b at 1"),
    # Quotes.
    "can't open <text>, won't go on": (
        "can't open 'x', won't go on",
        "can't open \"x y\", won't go on",
        "can't open `x`, won't go on",
        "can't open \u2018x\u2019, won't go on",
        "can't open “the \u2018x\u2019”, won't go on",
        "can't open «x», won't go on",
        "can't open 'don't', won't go on",
        'can\'t open "say \\"x\\" to", won\'t go on',
        "can't open '', won't go on",
    ),
    "the users' <text> isn't": ("the users' 'x' isn't", "the users' \"y z\" isn't"),
    "said {<text>: <text>, <text>: [<text>, <n>]}": (
        'said {"a": "b", "c": ["d", 1]}',
        "said {'k': 'it\\'s', 'l': ['', 22]}",
    ),
    'an inch is <n>" here': ('an inch is 1" here', 'an inch is 2" here'),
    # Unicode.
    "Datei <text> fehlt: größer als <n> Й 名 🚀": (
        "Datei 'ü' fehlt: größer als 5 Й 名 🚀",
        "Datei 'ä ö' fehlt: größer als 6 Й 名 🚀",
    ),
}
"""What errors have in common, and such errors."""

TABLE: Final = [(error, common) for common, errors in GROUPS.items() for error in errors]


@pytest.mark.parametrize(("error", "common"), TABLE)
def test_what_an_error_has_in_common(error: str, common: str) -> None:
    assert common_error(error) == common


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: bad value", "TypeError: bad value"),
        ("it broke", "It broke"),
        ("no such file", "no such file: 'x'"),
        ("[1, 2]", "[1, 2, 3]"),
        ("it broke here", "it brokehere"),
        ("größer", "gro\u0308ßer"),
    ],
)
def test_other_errors(one: str, other: str) -> None:
    """What differs in its words, or in how many things there are, is another error."""
    assert error_digest(one) != error_digest(other)


def test_equal_errors_have_one_digest_and_no_others() -> None:
    digests: dict[str, set[bytes]] = {}
    for error, common in TABLE:
        digests.setdefault(common, set()).add(error_digest(error))

    assert {len(found) for found in digests.values()} == {1}
    assert len(set.union(*digests.values())) == len(digests)
    assert {len(digest) for found in digests.values() for digest in found} == {DIGEST_BYTES}


@pytest.mark.parametrize(
    ("error", "common"),
    [
        ("x" * CHARACTERS_MAX, "x" * CHARACTERS_MAX),
        ("x" * CHARACTERS_MAX + "y", "x" * CHARACTERS_MAX),
        ("7" * LINE_CHARACTERS_MAX + " left", "<n>"),
        ("7" * (LINE_CHARACTERS_MAX - 5) + " left", "<n> left"),
        ("7" * (LINE_CHARACTERS_MAX - 4) + " left", "<n> lef"),
        ("9 " * 8_000, ("<n> " * 64)),
    ],
    ids=lambda text: f"{text[:4]}{len(text)}",
)
def test_long_lines_are_cut(error: str, common: str) -> None:
    """First to what is looked at, then to what is kept."""
    assert common_error(error) == common


@given(st.text() | st.text(st.sampled_from("a1f'\"\\`“”\u2018\u2019«»:.,-+eExX0b \n\t")))
@example("\x00")
@example("\x85\x1c")
@example("'\\")
def test_anything_has_something_in_common(error: str) -> None:
    common = common_error(error)

    assert len(common) <= CHARACTERS_MAX
    assert len(common.splitlines()) <= 1
    assert not any(digit in common for digit in "123456789")


@given(
    st.lists(st.sampled_from(("model", "can't", "größer", "x_y", "of")), min_size=1, max_size=9),
    st.lists(st.integers()),
)
def test_numbers_tell_no_errors_apart(words: list[str], numbers: list[int]) -> None:
    text = " ".join(words)

    found = {common_error(f"{text} {number}: {text} ({number})") for number in numbers}
    assert found <= {f"{text} <n>: {text} (<n>)"}


PIECES: Final = (
    *("a", "1", "f1", "1a", "1e", "e1", "0x", "+1", ".1", "1.", "-", " ", "f:", "1:", "::"),
    *(
        "'",
        '"',
        "`",
        "\\",
        "\\'",
        '\\"',
        "b'",
        ".b'a",
        ".b'aa",
        "aa'a",
        "“",
        "”",
        "\u2018",
        "\u2019",
        "«",
        "'a",
        '"a',
    ),
)
CPU_S_MAX: Final = 0.05
"""What a line of any kind may take; it takes a tenth of it at most. One that is looked at again from each of
its places would take more."""


def cpu_s(line: str) -> float:
    """Return the CPU time that a line takes, which nobody has asked for before."""
    before_s = time.process_time()
    common_error(line)
    return time.process_time() - before_s


@pytest.mark.parametrize("piece", PIECES)
def test_no_line_takes_long(piece: str) -> None:
    """Not even one that is made to."""
    for lead, other in product(("", "'"), PIECES):
        line = (lead + (piece + other) * LINE_CHARACTERS_MAX)[: LINE_CHARACTERS_MAX - 1] + "!"
        if cpu_s(line) > CPU_S_MAX:
            # Again, because others are at work, too; and as another line, because this one is remembered.
            assert min(cpu_s(line + " " * times) for times in range(1, 4)) <= CPU_S_MAX, line[:60]
