"""The docs say what the code does: what can be compared is compared."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import typer.core
import typer.main

from runindex_server import limits
from runindex_server.cli.app import app
from runindex_server.errors import Reason
from runindex_server.schema import insight_keys, keys
from runindex_server.schema.data_keys import PARTS, DataKeys, ItemKind, ItemVersionRef, Part
from runindex_server.schema.run import DEFAULT_RUN_ID, RunState, parse_run_id
from runindex_server.settings import Settings
from scripts import contract, render_docs
from tests.support.repository import ROOT, pages, shown, text_of

REFERENCE: Final = ROOT / "docs" / "reference"
PAGES: Final = dict(pages())
every_page = pytest.mark.parametrize("page", PAGES, ids=shown)

FENCED: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
EXAMPLE: Final = re.compile(r"^((?:(?:insight_)?keys|data)\..+)\n = ([0-9a-f ]+)$", re.MULTILINE)


def prose(page: Path) -> str:
    """Return a page's text without its code."""
    return re.sub(r"`[^`\n]*`", "", FENCED.sub("", PAGES[page]))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as repository hosts make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", PAGES[page]), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[str]:
    """Yield the lines of a page's shell examples."""
    for language, block in FENCED.findall(PAGES[page]):
        if language in {"bash", "sh", "shell", "console"}:
            yield from block.splitlines()


def make_targets() -> set[str]:
    """Return the targets of the Makefile."""
    makefile = text_of(ROOT / "Makefile") or ""
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


@every_page
def test_tables_are_current(page: Path) -> None:
    assert render_docs.render(PAGES[page]) == PAGES[page], "run `make docs`"


@every_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@every_page
def test_make_commands_name_targets(page: Path) -> None:
    told = [words for line in commands(page) if (words := shlex.split(line, comments=True))[:1] == ["make"]]
    named = {word for words in told for word in words[1:] if "=" not in word and not word.startswith("-")}

    assert named <= make_targets()


@pytest.mark.parametrize("method", contract.methods(), ids=lambda method: method.name)
def test_every_rpc_is_told(method: contract.Method) -> None:
    assert any(f"`{method.name}`" in text for text in PAGES.values())
    assert method.comment


def test_readme_has_the_methods() -> None:
    assert "<!-- begin: methods -->" in PAGES[ROOT / "README.md"]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_told(reason: Reason) -> None:
    assert f"`{reason}`" in PAGES[REFERENCE / "errors.md"]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_told(name: str) -> None:
    text = PAGES[REFERENCE / "configuration.md"]

    assert f"`--{name.replace('_', '-')}`" in text
    assert f"`RUNINDEX_{name.upper()}`" in text


def test_every_setting_is_a_flag() -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    serve = command.get_command(command.make_context("", [], resilient_parsing=True), "serve")
    assert serve is not None

    assert {option.name for option in serve.params} == set(Settings.model_fields)


@pytest.mark.parametrize("name", [name for name in vars(limits) if name.isupper()])
def test_every_limit_is_told(name: str) -> None:
    assert f"| `{name}` |" in PAGES[REFERENCE / "limits.md"]


@pytest.mark.parametrize("space", keys.SUBSPACES, ids=lambda space: space.name)
def test_every_subspace_is_told_once(space: keys.Subspace) -> None:
    subspaces, _, _ = PAGES[REFERENCE / "key-layout.md"].partition("<!-- end: keys -->")

    assert subspaces.count(f"| `0x{space.tag:02x}` |") == 1


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_part_of_data_is_told_once(part: Part) -> None:
    _, _, parts = PAGES[REFERENCE / "key-layout.md"].partition("<!-- begin: data-keys -->")

    assert parts.count(f"| `0x{part.number:02x}` |") == 1


def test_examples_of_keys_are_right() -> None:
    run_id = parse_run_id("0192f3a4-5b6c-7d8e-9f00-112233445566")
    assert run_id is not None
    names = {
        "keys": keys,
        "insight_keys": insight_keys,
        "Figure": insight_keys.Figure,
        "HOUR_US": insight_keys.HOUR_US,
        "data": DataKeys(run_id, 1),
        "run_id": run_id,
        "default": DEFAULT_RUN_ID,
        "RunState": RunState,
        "VALUE": ItemKind.VALUE,
        "ItemVersionRef": ItemVersionRef,
    }
    examples = EXAMPLE.findall(PAGES[REFERENCE / "key-layout.md"])

    assert len(examples) >= len(keys.SUBSPACES) + len(PARTS)
    for expression, told in examples:
        assert eval(expression, names).hex() == told.replace(" ", ""), expression
