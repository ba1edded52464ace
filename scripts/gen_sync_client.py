"""Make the client without asyncio of the one with it: the only writer of `runindex._sync`.

Both are one description. Every module of `runindex/_async` is read as text, the words of a literal table are
replaced, and ruff formats it. With `--check` it writes nothing, and fails when what is committed differs.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "clients/python/runindex/_async"
TARGET: Final = ROOT / "clients/python/runindex/_sync"

DOCSTRING: Final = (
    '"""The client without asyncio, made of `runindex._async` by `scripts/gen_sync_client.py`."""\n'
)
BANNER: Final = "# Made by `scripts/gen_sync_client.py` of `_async/{name}`, where changes are made.\n"

FIRST_PARTY: Final = 'lint.isort.known-first-party = ["runindex"]'
"""Told, because ruff would look for modules that are still to be written."""

WORDS: Final = (
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAwaitable\[(\w+(?:\[\w+\])?)\]", r"\1"),
    (r"\bAwaitable, ", ""),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\bgrpc\.aio\b", "grpc"),
    (r"\bchannel\.close\(None\)", "channel.close()"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\bimport asyncio\b", "import time"),
    (r"\bfor item in page\.items:\s+yield item\b", "yield from page.items"),
    (r"\brunindex\._async\b", "runindex._sync"),
    (r"\brequire_coroutine_function\b", "require_plain_function"),
    (r"\bAsync([A-Z]\w*)", r"\1"),
)
"""What is replaced, in this order: patterns of words, each with what takes their place."""


class GenerationError(Exception):
    """ruff failed, or what is committed differs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate, or compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something differs")
    check = parser.parse_args(arguments).check
    try:
        generated = generate()
        if check:
            compare(generated)
        else:
            write(generated)
    except GenerationError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(generated)} generated files are {'current' if check else 'written'}.")
    return 0


def generate() -> dict[Path, str]:
    """Return what every generated file must hold, by its path.

    Raises:
        GenerationError: ruff refused a file.
    """
    made = {TARGET / "__init__.py": DOCSTRING}
    for source in sorted(SOURCE.glob("_[!_]*.py")):
        made[TARGET / source.name] = _formatted(sync_of(source), TARGET / source.name)
    return made


def sync_of(source: Path) -> str:
    """Return a module with its words replaced, below a line that says where it comes from."""
    text = source.read_text()
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return BANNER.format(name=source.name) + text


def write(generated: dict[Path, str]) -> None:
    """Write generated files, and remove those that nothing makes any more."""
    TARGET.mkdir(exist_ok=True)
    for path in set(TARGET.glob("*.py")) - generated.keys():
        path.unlink()
    for path, text in generated.items():
        path.write_text(text)


def compare(generated: dict[Path, str]) -> None:
    """Compare generated files with the committed ones.

    Raises:
        GenerationError: One is missing, differs, or is made by nothing.
    """
    left = sorted(set(TARGET.glob("*.py")) - generated.keys())
    problems = [f"{path.relative_to(ROOT)}: nothing makes it" for path in left]
    for path, text in generated.items():
        if not path.exists():
            problems.append(f"{path.relative_to(ROOT)}: missing")
        elif path.read_text() != text:
            problems.append(f"{path.relative_to(ROOT)}: differs from what makes it")
    if problems:
        stale = "The client without asyncio is stale: run `python -m scripts.gen_sync_client`, and commit it."
        raise GenerationError("\n".join([*problems, stale]))


def _formatted(text: str, path: Path) -> str:
    """Return Python as ruff formats it, its imports sorted."""
    sort = ["check", "--quiet", "--select=I", "--fix-only", "--config", FIRST_PARTY]
    for arguments in (sort, ["format", "--quiet"]):
        ruff = [str(Path(sys.executable).parent / "ruff"), *arguments, "--stdin-filename", str(path), "-"]
        done = subprocess.run(ruff, input=text, capture_output=True, text=True, cwd=ROOT, check=False)
        if done.returncode != 0:
            msg = f"ruff failed on {path.relative_to(ROOT)}:\n{done.stderr.strip()}"
            raise GenerationError(msg)
        text = done.stdout
    return text


if __name__ == "__main__":
    sys.exit(main())
