"""What the package as a whole promises: its names, its generated half, its pages."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import runindex
from runindex.v1 import insights_pb2, maintenance_pb2, run_data_pb2, run_index_pb2, templates_pb2
from scripts import gen_sync_client
from tests.support.repository import ROOT
from tests.support.server import RunningServer

SOURCE = ROOT / "clients/python/runindex"
README = ROOT / "clients/python/README.md"


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_the_client_without_asyncio_is_current() -> None:
    gen_sync_client.compare(gen_sync_client.generate())


def test_a_stale_client_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gen_sync_client, "BANNER", "# {name}\n")

    assert gen_sync_client.main(["--check"]) == 1


def test_nothing_of_asyncio_is_left_in_it() -> None:
    text = "".join(path.read_text() for path in (SOURCE / "_sync").glob("_[!_]*.py"))

    assert (
        re.findall(
            r"\basync\b|\bawait\b|\basyncio\.(?!CancelledError)|grpc\.aio|Awaitable|\bAsync[A-Z]\w*", text
        )
        == []
    )


def test_every_method_of_the_contract_is_called() -> None:
    text = "".join(path.read_text() for path in (SOURCE / "_async").glob("*.py"))
    methods = {
        method.name
        for module in (insights_pb2, maintenance_pb2, run_data_pb2, run_index_pb2, templates_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }

    assert {name for name in methods if not re.search(rf"\bpb\.{name}Request\b", text)} == set()


@pytest.mark.parametrize("name", runindex.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(runindex, name) is not None
    assert name in dir(runindex)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Cilent'"):
        runindex.Cilent  # type: ignore[attr-defined]  # noqa: B018  # That is the point.


def test_the_package_alone_loads_no_grpc() -> None:
    done = run_python("import sys, runindex; sys.exit('grpc' in sys.modules)")

    assert done.returncode == 0, done.stderr


def test_a_client_loads_what_operators_need_when_it_is_needed() -> None:
    module = "runindex._sync._maintenance"
    code = f"import sys, runindex; runindex.Client(); sys.exit({module!r} in sys.modules)"

    done = run_python(code)

    assert done.returncode == 0, done.stderr


def example(text: str, server: RunningServer) -> dict[str, Any]:
    """Run an example against a server, and return its names."""
    names: dict[str, Any] = {}
    exec(text.replace("127.0.0.1:50051", server.target), names)
    return names


def test_the_example_of_the_package_runs(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert runindex.__doc__ is not None
    (code,) = re.findall(r"\n\n((?:    .*\n|\n)+)", runindex.__doc__)

    names = example(textwrap.dedent(code), server)

    assert capsys.readouterr().out == f"{names['step'].run_id} COMPLETED 42\n"


def test_the_examples_of_the_readme_run(
    server: RunningServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    printed = re.findall(r"```text\n(.*?)```", README.read_text(), re.DOTALL)
    monkeypatch.setenv("RUNINDEX_ADDRESS", server.target)
    said = []

    for code in examples:
        example(code, server)
        said.append(capsys.readouterr().out)

    assert len(examples) == 5
    assert [text for text in said if text] == printed
