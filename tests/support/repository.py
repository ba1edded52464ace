"""What the tests of the repository itself read: its files, its Python, its pages."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent

GENERATED: Final = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


@cache
def files() -> tuple[Path, ...]:
    """Return the files that are tracked, or would be: those that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = sorted(ROOT / name for name in listed.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


@cache
def text_of(path: Path) -> str | None:
    """Return a file's text, or None when it is not a text."""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return None


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every text file with its text."""
    return ((path, text) for path in files() if (text := text_of(path)) is not None)


def pages() -> Iterator[tuple[Path, str]]:
    """Yield every Markdown page with its text."""
    return ((path, text) for path, text in texts() if path.suffix == ".md")


def modules(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Yield every module that people write, below some folders or anywhere, parsed."""
    roots = [ROOT / folder for folder in folders or (".",)]
    for path, text in texts():
        written = path.suffix == ".py" and not path.name.endswith(GENERATED)
        if written and any(path.is_relative_to(root) for root in roots):
            yield path, ast.parse(text)


def shown(path: Path) -> str:
    """Return a path as it is told: from the root."""
    return path.relative_to(ROOT).as_posix()
