"""What holds for every file: it names no registry and no machine, leaves nothing open, and can be read."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.repository import ROOT, files, modules, shown, text_of, texts

MODULE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 50

LONGER_MODULES: Final = {
    "server/runindex_server/errors.py": 660,  # One class for each reason: a table in the form of classes.
    "server/runindex_server/schema/keys.py": 450,  # One function for each key: a table too.
    "tests/unit/kv/test_conformance.py": 600,  # One suite over every store.
}
"""Modules that may be longer, each with its own bound."""

# Written in pieces, so that this file names none of them.
REGISTRIES: Final = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("crates", "io"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("deb", "debian", "org"),
        ("buf", "build"),
    )
]
LEFT_OPEN: Final = ["TO" + "DO", "FIX" + "ME"]
MACHINE_PATH: Final = re.compile(r"(?<![\w.~/])/(?:work|farm|root|home)/[\w.]")
SCRATCH_PATH: Final = re.compile(r"(?<![\w.~/])/tmp\b")


def lines_with(pattern: re.Pattern[str], text: str) -> list[str]:
    """Return the lines of a text in which a pattern is found."""
    return [line.strip() for line in text.splitlines() if pattern.search(line)]


def any_of(words: list[str]) -> re.Pattern[str]:
    """Return a pattern that finds any of some words."""
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b")


def found(pattern: re.Pattern[str], *, outside: str | None = None) -> dict[str, list[str]]:
    """Return the files, but for those in one folder, with the lines in which a pattern is found."""
    hits = {shown(path): lines_with(pattern, text) for path, text in texts()}
    return {
        path: lines for path, lines in hits.items() if lines and not (outside and path.startswith(outside))
    }


def test_no_file_names_a_package_registry() -> None:
    assert found(any_of(REGISTRIES)) == {}


def test_no_file_names_a_path_of_some_machine() -> None:
    assert found(MACHINE_PATH) == {}
    assert found(SCRATCH_PATH, outside="tests/") == {}


def test_nothing_is_left_open() -> None:
    assert found(any_of(LEFT_OPEN)) == {}


def test_no_module_is_too_long() -> None:
    lengths = {shown(path): len((text_of(path) or "").splitlines()) for path, _ in modules()}
    too_long = {
        path: lines for path, lines in lengths.items() if lines > LONGER_MODULES.get(path, MODULE_LINES_MAX)
    }

    assert too_long == {}


def test_modules_that_may_be_longer_are() -> None:
    for path in LONGER_MODULES:
        assert len((text_of(ROOT / path) or "").splitlines()) > MODULE_LINES_MAX, f"{path} needs no exception"


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{shown(path)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX} == {}


@pytest.mark.parametrize("path", [path for path in files() if path.read_bytes()[:2] == b"#!"], ids=shown)
def test_programs_can_be_started(path: Path) -> None:
    assert path.stat().st_mode & 0o111
