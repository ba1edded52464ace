"""A store does not survive a fork: the child is refused by name, whatever it tries, and disturbs nothing."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.tally import Tally
from tests.trust.processes.commands import PATIENCE_S, serve_arguments
from tests.trust.processes.programs import ended


def test_a_forked_child_is_refused_by_name_and_its_parent_goes_on(tmp_path: Path, tally: Tally) -> None:
    data_dir = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.trust.processes.forking", str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        told = json.loads(parent.stdout.readline())
        # What the child gave back at its end was not the parent's lock.
        second = ended(serve_arguments(data_dir), tmp_path / "logs")
        parent.communicate("", timeout=PATIENCE_S)
    expected = f"RuntimeError: the store belongs to process {parent.pid}; it does not survive a fork"
    wrong = {name: outcome for name, outcome in told["child"].items() if outcome != expected}
    tally("uses of a store after a fork", runs=len(told["child"]), failures=len(wrong))
    assert wrong == {}
    assert told["parent"] == ["written", "written", "after"]
    assert f"is held by process {parent.pid};" in second.said
