"""What typer does not document, and a version of it may not have."""

from types import SimpleNamespace
from typing import Any

import pytest

from runindex.cli.quick import convert_quickly


@pytest.mark.parametrize("inside", [{}, {"type_descriptor": None}, {"get_runtime_param": None}])
def test_a_typer_that_is_another_inside_converts_all_by_itself(inside: dict[str, Any]) -> None:
    parameter = SimpleNamespace(**inside)
    convert_quickly(parameter)
    assert vars(parameter) == inside
