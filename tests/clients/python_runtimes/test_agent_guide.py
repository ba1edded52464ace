"""The examples of the guide run as they stand, and print what it says."""

import re
import shlex
from pathlib import Path

import pytest

from tests.clients.python_runtimes.test_extras import run_python
from tests.support.recordings import WAIT_S, start_pytest, write
from tests.support.repository import ROOT
from tests.support.server import RunningServer

GUIDE = (ROOT / "docs/guides/agent-runtimes.md").read_text()
ADDRESS = "127.0.0.1:50051"
EXAMPLES = list(
    zip(
        re.findall(r"^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE),
        re.findall(r"^```text\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE),
        strict=True,
    )
)


@pytest.mark.parametrize(("code", "printed"), EXAMPLES, ids=["langgraph", "interrupt", "opentelemetry"])
def test_an_example_prints_what_it_says(server: RunningServer, code: str, printed: str) -> None:
    done = run_python(code.replace(ADDRESS, server.target), RUNINDEX_ADDRESS=server.target)

    assert (done.stderr, done.stdout) == ("", printed)


def test_the_command_records_a_session(server: RunningServer, tmp_path: Path) -> None:
    (line,) = re.findall(r"^```bash\n(.*?)\n```", GUIDE, re.DOTALL | re.MULTILINE)
    command, *arguments = shlex.split(line.replace(ADDRESS, server.target))
    assert command == "pytest"
    folder = write(tmp_path, {"test_one.py": "def test_one():\n    pass\n"})

    with start_pytest(folder, *arguments) as process:
        output, _ = process.communicate(timeout=WAIT_S)

    assert re.search(r"^runindex: recorded 3 runs; .*[0-9a-f-]{36}", output, re.MULTILINE), output
