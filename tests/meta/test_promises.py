"""What the page of promises says was found by tests that are there, and none of them failed."""

import ast
from typing import Final

import pytest

from tests.trust.promised import PROOFS, named
from tests.trust.promises import ROOT, read_results

PAGE: Final = ROOT / "docs/reference/promises.md"


def test_every_promise_is_on_the_page() -> None:
    page = PAGE.read_text()
    assert [name for name in PROOFS if f"<!-- begin: promise-{name} -->" not in page] == []


def test_the_last_run_was_of_the_tests_that_are_named() -> None:
    assert read_results().keys() == set(named()), "run `make promises`, and commit what it wrote"


@pytest.mark.parametrize("test", named())
def test_a_test_that_is_named_is_there_and_holds(test: str) -> None:
    path, name, *_ = test.split("::")
    tree = ast.parse((ROOT / "tests" / path).read_text())
    there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    there |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert name in there
    tried = read_results()[test]
    assert tried["skipped"] == 0
    assert set(tried["failures"].values()) == {0}
    assert min(tried["runs"].values()) > 0
