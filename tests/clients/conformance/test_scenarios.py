"""The conformance suite, through both clients."""

from pathlib import Path

import pytest

from tests.clients.conformance.runner import Caller, run
from tests.clients.conformance.scenario import read, scenario_files


@pytest.mark.parametrize("path", scenario_files(), ids=lambda path: path.stem)
def test_scenario(caller: Caller, path: Path) -> None:
    run(read(path), caller)
