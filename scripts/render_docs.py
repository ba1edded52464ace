"""Render the tables of the docs from the code that they describe.

A table stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->`. Everything else in a page is written
by hand and stays as it is. With `--check` it writes nothing, and fails when a page differs.
"""

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Final

from pydantic.fields import FieldInfo

from runindex_server import limits
from runindex_server.errors import Reason
from runindex_server.kv import api
from runindex_server.rpc.policy import POLICY
from runindex_server.rpc.status import STATUS_CODES
from runindex_server.runs.lifecycle import OPERATIONS, TRANSITIONS
from runindex_server.schema import data_keys, keys
from runindex_server.settings import Settings
from scripts import contract
from tests.trust import promises
from tests.trust.promised import PROOFS

ROOT: Final = Path(__file__).resolve().parent.parent
MARKED: Final = re.compile(r"(<!-- begin: ([a-z-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)
BEGIN: Final = re.compile(r"<!-- begin: ([a-z-]+) -->")

BYTE_UNITS: Final = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Render, or compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page differs")
    check = parser.parse_args(arguments).check
    stale = []
    for page in pages():
        text = page.read_text()
        rendered = render(text)
        if rendered != text:
            stale.append(page.relative_to(ROOT).as_posix())
            if not check:
                page.write_text(rendered)
    if check and stale:
        print(f"Stale: {', '.join(stale)}. Run `make docs`, and commit it.", file=sys.stderr)
        return 1
    print(f"{len(stale)} pages written." if stale else "All pages are current.")
    return 0


def pages() -> Iterator[Path]:
    """Yield the pages that can hold tables."""
    yield from sorted(ROOT.glob("*.md"))
    yield from sorted((ROOT / "docs").rglob("*.md"))


def render(page: str) -> str:
    """Return a page with its tables rendered.

    Raises:
        ValueError: A mark has no end, or names no table.
    """
    if unknown := set(BEGIN.findall(page)) - TABLES.keys():
        msg = f"no such table: {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    rendered, count = MARKED.subn(lambda match: match[1] + TABLES[match[2]]() + match[3], page)
    if count != len(BEGIN.findall(page)):
        msg = "a table has no end, or ends by another name"
        raise ValueError(msg)
    return rendered


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    lines = [header, ["---"] * len(header), *escaped]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def limits_table(module: ModuleType) -> str:
    """Return the bounds that a module defines, each with the docstring below it."""
    statements = ast.parse(inspect.getsource(module)).body
    rows = []
    for statement, follower in pairwise(statements):
        match statement, follower:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(reason))),
            ) if isinstance(number := getattr(module, name), int):
                rows.append((f"`{name}`", shown(name, number), " ".join(reason.split())))
    return table(("limit", "value", "what it bounds, and why"), rows)


def shown(name: str, number: int) -> str:
    """Return a number as people read it, with the unit that its name tells."""
    if "BYTES" in name.upper():
        size, unit = next(((size, unit) for size, unit in BYTE_UNITS if number % size == 0), (1, "bytes"))
        return f"{number // size:,} {unit}"
    if "_US" in name:
        return f"{number // 1_000_000:,} s"
    return f"{number:,}"


def errors_table() -> str:
    """Return the reasons, in the order of the contract, with the status codes that the server sends."""
    rows = [
        (f"`{STATUS_CODES[Reason(reason.name)].name}`", f"`{reason.name}`", capitalised(reason.meaning))
        for reason in contract.error_reasons()
    ]
    return table(("status code", "reason", "meaning, and the keys of its metadata"), rows)


def lifecycle_table() -> str:
    """Return the transitions: a row for each state, with the call that leads to each next one."""
    rows = []
    for state, followers in TRANSITIONS.items():
        calls = [
            f"`{follower.name}` by `{OPERATIONS[follower].title()}Run`" for follower in sorted(followers)
        ]
        rows.append((f"`{state.name}`", ", ".join(calls) or "nothing: it is final"))
    return table(("from", "to"), rows)


def settings_table() -> str:
    """Return the settings, in the order of their definition."""
    prefix = Settings.model_config["env_prefix"]
    rows = [
        (
            f"`--{name.replace('_', '-')}`",
            f"`{prefix}{name.upper()}`",
            default_of(name, field),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
    return table(("flag", "environment variable", "default", "what it sets"), rows)


def default_of(name: str, field: FieldInfo) -> str:
    """Return a setting's default as it is given, and its smallest value where it has one."""
    least = next((bound.ge for bound in field.metadata if hasattr(bound, "ge")), None)
    return given(name, field.default) + ("" if least is None else f"; at least {given(name, least)}")


def given(name: str, value: object) -> str:
    """Return a setting's value as it is given, and a number of bytes also as people read it."""
    if value is None or value == "":  # Not 0.
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" + (f" ({shown(name, value)})" if isinstance(value, int) and "bytes" in name else "")


def access_table() -> str:
    """Return the role that each method takes."""
    rows = [
        (f"`{service}`", f"`{name}`", "nobody is asked" if role is None else f"`{role}`")
        for service, methods in POLICY.items()
        for name, role in methods.items()
    ]
    return table(("service", "method", "role"), rows)


def methods_table() -> str:
    """Return the methods of RunIndex, with their names in the RunIndex plan."""
    rows = [
        (str(number), f"`{method.origin}`", f"`{method.name}`", first_sentence(method.comment))
        for number, method in enumerate(contract.methods("RunIndex"), start=1)
    ]
    return table(("", "in the plan", "RPC", "what it does"), rows)


def service_table(service: str) -> str:
    """Return the methods of a service that is not in the RunIndex plan."""
    rows = [(f"`{method.name}`", first_sentence(method.comment)) for method in contract.methods(service)]
    return table(("RPC", "what it does"), rows)


def keys_table() -> str:
    """Return the subspaces of the store, by tag."""
    rows = [
        (f"`0x{space.tag:02x}`", space.name, code(space.parts), space.value)
        for space in sorted(keys.SUBSPACES, key=lambda space: space.tag)
    ]
    return table(("tag", "rows", "key after the tag", "value"), rows)


def data_keys_table() -> str:
    """Return the parts of what a run holds, by number."""
    rows = [
        (f"`0x{part.number:02x}`", part.name, code(part.parts), part.value)
        for part in sorted(data_keys.PARTS, key=lambda part: part.number)
    ]
    return table(("part", "rows", "key after the part", "value"), rows)


def code(text: str) -> str:
    """Return a text in code font, or nothing for none."""
    return f"`{text}`" if text else ""


def capitalised(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def first_sentence(text: str) -> str:
    """Return the first sentence of a text."""
    paragraph, _, _ = text.partition("\n\n")
    sentence, _, _ = paragraph.partition(". ")
    return sentence.rstrip(".") + "."


def promise_table(name: str) -> str:
    """Return the tests that hold a promise, with what they have tried when they last ran."""
    return table(("test", "tried", "failed", "last run"), promises.proof_rows(name))


TABLES: Final[dict[str, Callable[[], str]]] = {
    "access": access_table,
    "data-keys": data_keys_table,
    "errors": errors_table,
    "keys": keys_table,
    "lifecycle": lifecycle_table,
    "limits": lambda: limits_table(limits),
    "maintenance-methods": lambda: service_table("Maintenance"),
    "methods": methods_table,
    **{f"promise-{name}": partial(promise_table, name) for name in PROOFS},
    "run-data-methods": lambda: service_table("RunData"),
    "run-insights-methods": lambda: service_table("RunInsights"),
    "run-templates-methods": lambda: service_table("RunTemplates"),
    "settings": settings_table,
    "store-limits": lambda: limits_table(api),
}
"""What each marked table is made by."""


if __name__ == "__main__":
    sys.exit(main())
