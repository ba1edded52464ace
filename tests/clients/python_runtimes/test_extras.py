"""What is installed with an extra is asked for by its name where it is missing."""

import subprocess
import sys

import pytest

from runindex import Client
from tests.clients.python_runtimes.trees import roots, shape
from tests.support.repository import ROOT
from tests.support.server import WAIT_S, RunningServer


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"PYTHONPATH": str(ROOT / "clients/python"), **environment},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("extra", "library", "package"),
    [
        ("langchain", "langchain_core", "langchain-core"),
        ("opentelemetry", "opentelemetry", "opentelemetry-api"),
    ],
)
def test_a_missing_library_is_told_with_its_extra(extra: str, library: str, package: str) -> None:
    done = run_python(f"import sys; sys.modules[{library!r}] = None; import runindex.{extra}")

    assert done.stderr.splitlines()[-1] == (
        f"ImportError: runindex.{extra} needs {package}: pip install 'runindex[{extra}]'"
    )


def test_langchain_is_recorded_without_langgraph(server: RunningServer, client: Client) -> None:
    code = """
import sys
sys.modules["langgraph"] = None
from langchain_core.runnables import RunnableLambda
from runindex.langchain import RunIndexCallbackHandler
chain = RunnableLambda(len) | str
print(chain.invoke("four", {"callbacks": [RunIndexCallbackHandler()], "metadata": {"thread_id": "t"}}))
RunnableLambda(lambda given: 1 / 0, name="fails").invoke(None, {"callbacks": [RunIndexCallbackHandler()]})
"""

    done = run_python(code, RUNINDEX_ADDRESS=server.target)

    assert done.stdout == "4\n"
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert [shape(client, root) for root in roots(client)] == [
        "RunnableSequence COMPLETED\n  len COMPLETED\n  str COMPLETED",
        "fails FAILED",
    ]
