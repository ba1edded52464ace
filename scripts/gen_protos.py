"""Generate Python from the protos: the only writer of generated code.

It must not change what protoc writes: the package `runindex.v1` is the Python package `runindex.v1`, so that
imports are right as they come. With `--check` it writes nothing, and fails when what is committed differs.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PROTOS: Final = ROOT / "protos"
CONTRACT: Final = Path("runindex/v1")
STORAGE: Final = Path("runindex/storage/v1")

CLIENT: Final = Path("clients/python")
STORAGE_MODULES: Final = Path("server/runindex_server/schema/_generated")

PACKAGE_DOCSTRINGS: Final = {
    CLIENT / CONTRACT: "The contract's messages and stubs, generated from `protos/runindex/v1`.",
    STORAGE_MODULES: "The store's messages, generated from `protos/runindex/storage/v1`.",
}
"""The packages of generated code, each with what its `__init__.py` says. Nothing is re-exported: a caller of
one service does not load the others."""

GENERATED_SUFFIXES: Final = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


class GenerationError(Exception):
    """protoc failed, or what is committed differs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate, or compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something differs")
    check = parser.parse_args(arguments).check
    try:
        with tempfile.TemporaryDirectory(prefix="runindex-protos-") as scratch:
            generated = generate(Path(scratch))
            if check:
                compare(generated)
            else:
                write(generated)
    except GenerationError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(generated)} generated files are {'current' if check else 'written'}.")
    return 0


def generate(scratch: Path) -> dict[Path, bytes]:
    """Return what every generated file must hold, by its path from the root.

    Args:
        scratch: An empty folder to work in.

    Raises:
        GenerationError: protoc refused a file.
    """
    for folder in ("contract", "storage"):
        (scratch / folder).mkdir()
    _protoc(CONTRACT, scratch / "contract", services=True)
    _protoc(STORAGE, scratch / "storage", services=False)

    files = {
        folder / "__init__.py": f'"""{text}"""\n'.encode() for folder, text in PACKAGE_DOCSTRINGS.items()
    }
    for path in _generated_files(scratch / "contract"):
        files[CLIENT / path.relative_to(scratch / "contract")] = path.read_bytes()
    for path in _generated_files(scratch / "storage"):
        # Flat, below the package that uses it: nobody else imports what is private to the store.
        files[STORAGE_MODULES / path.name] = path.read_bytes()
    return files


def write(generated: dict[Path, bytes]) -> None:
    """Write generated files, and remove those that no proto makes any more."""
    for path in _committed() - generated.keys():
        (ROOT / path).unlink()
    for path, content in generated.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_bytes(content)


def compare(generated: dict[Path, bytes]) -> None:
    """Compare generated files with the committed ones, byte for byte.

    Raises:
        GenerationError: One is missing, differs, or is left from a proto that is gone.
    """
    problems = [f"{path}: no proto makes it" for path in sorted(_committed() - generated.keys())]
    for path, content in sorted(generated.items()):
        if not (ROOT / path).exists():
            problems.append(f"{path}: missing")
        elif (ROOT / path).read_bytes() != content:
            problems.append(f"{path}: differs from what its proto makes")
    if problems:
        raise GenerationError(
            "\n".join([*problems, "Generated code is stale: run `make proto`, and commit it."])
        )


def _protoc(package: Path, out: Path, *, services: bool) -> None:
    """Run protoc on the protos of a package."""
    protos = sorted(path.relative_to(PROTOS).as_posix() for path in (PROTOS / package).glob("*.proto"))
    outputs = [f"--python_out={out}", f"--mypy_out=quiet:{out}"]
    if services:
        outputs += [f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"]
    plugins = [
        f"--plugin={name}={Path(sys.executable).parent / name}"
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", *plugins, *outputs, *protos]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise GenerationError(f"protoc failed on {package}:\n{done.stderr.strip()}")


def _generated_files(folder: Path) -> Iterator[Path]:
    """Yield the generated files below a folder."""
    return (path for path in folder.rglob("*") if path.name.endswith(GENERATED_SUFFIXES))


def _committed() -> set[Path]:
    """Return the generated files that are there, by their paths from the root."""
    return {
        path.relative_to(ROOT) for folder in PACKAGE_DOCSTRINGS for path in _generated_files(ROOT / folder)
    }


if __name__ == "__main__":
    sys.exit(main())
