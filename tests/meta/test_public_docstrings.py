"""Every public name of the server and of the Python client is documented."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.repository import modules, shown

MODULES = dict(modules("server", "clients/python"))

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def is_servicer(node: ast.ClassDef) -> bool:
    """Tell whether a class serves the contract, which alone tells what its methods mean."""
    return node.name.endswith("Servicer")


def is_told_elsewhere(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function is one of several signatures, or sets what a property of its name documents."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(name.endswith(("overload", "override", ".setter")) for name in decorators)


def public_names(node: Documented, path: str) -> Iterator[tuple[str, Documented]]:
    """Yield what is public in a module or a class, itself first."""
    yield path, node
    for child in node.body:
        match child:
            case ast.ClassDef(name=name) if not name.startswith("_"):
                if is_servicer(child):
                    yield f"{path}.{name}", child
                else:
                    yield from public_names(child, f"{path}.{name}")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not name.startswith("_"):
                if not is_told_elsewhere(child):
                    yield f"{path}.{name}", child


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_every_public_name_is_documented(path: Path) -> None:
    names = public_names(MODULES[path], path.stem)

    assert [name for name, node in names if not ast.get_docstring(node)] == []
