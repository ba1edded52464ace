"""A real grpcurl session: list, describe, and call, as a person would."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import RunningServer

RUN_ID = "0192f3aa-bbcc-7ddd-8eee-ff0011223344"


def find_grpcurl() -> str | None:
    """Return where grpcurl is: on the path, or where Go installs."""
    return shutil.which("grpcurl", path=f"{os.environ.get('PATH', '')}:{Path.home() / 'go' / 'bin'}")


GRPCURL = find_grpcurl()

pytestmark = [
    pytest.mark.skipif(GRPCURL is None, reason="grpcurl is not installed"),
    pytest.mark.parametrize("store_kind", ["memory"], indirect=True),
]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def grpcurl(server: RunningServer) -> Run:
    """Return what runs grpcurl on the server: words after its address, and a request as JSON."""

    def run(*words: str, request: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        assert GRPCURL is not None
        data = [] if request is None else ["-d", json.dumps(request)]
        command = [GRPCURL, "-plaintext", *data, server.target, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


def call(grpcurl: Run, method: str, **request: Any) -> dict[str, Any]:  # Any JSON.
    """Call a method and return its answer."""
    done = grpcurl(f"runindex.v1.RunIndex/{method}", request=request)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_it_lists_services_and_methods(grpcurl: Run) -> None:
    services = grpcurl("list").stdout.split()
    methods = grpcurl("list", "runindex.v1.RunIndex").stdout.split()

    assert services == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "runindex.v1.Maintenance",
        "runindex.v1.RunData",
        "runindex.v1.RunIndex",
        "runindex.v1.RunInsights",
        "runindex.v1.RunTemplates",
    ]
    assert len(methods) == 24


def test_it_describes_services_methods_and_messages(grpcurl: Run) -> None:
    for symbol, shown in (
        ("runindex.v1.RunIndex", "rpc CreateRun ( .runindex.v1.CreateRunRequest )"),
        ("runindex.v1.RunIndex.FailRun", "rpc FailRun ( .runindex.v1.FailRunRequest )"),
        ("runindex.v1.Run", "string run_id = 1"),
        ("runindex.v1.RunState", "RUN_STATE_ARCHIVED = 6"),
    ):
        assert shown in grpcurl("describe", symbol).stdout


def test_it_calls(grpcurl: Run) -> None:
    created = call(grpcurl, "CreateRun", run_id=RUN_ID, tags=["nightly"], metadata={"model": "gpt-4o"})
    child = call(grpcurl, "CreateChildRun", parent_run_id=RUN_ID)
    call(grpcurl, "FailRun", run_id=RUN_ID, error="rate limited")
    found = call(grpcurl, "SearchRuns", query='tag:nightly meta.model:gpt* "rate limited"')
    counted = call(grpcurl, "CountRuns", states=["RUN_STATE_FAILED"])
    deleted = call(grpcurl, "DeleteRun", run_id=RUN_ID)

    assert created["run"]["state"] == "RUN_STATE_ACTIVE"
    assert child["run"]["parent_run_id"] == RUN_ID
    assert [run["error"] for run in found["runs"]] == ["rate limited"]
    assert counted["count"] == "1"
    assert deleted["receipt"] == {"orphaned_children": "1"}


def test_it_shows_why_a_call_was_refused(grpcurl: Run) -> None:
    refused = grpcurl("runindex.v1.RunIndex/CloseRun", request={"run_id": "default"})

    assert refused.returncode != 0
    for shown in (
        "FailedPrecondition",
        "DEFAULT_RUN_PROTECTED",
        "google.rpc.ErrorInfo",
        '"operation": "close"',
    ):
        assert shown in refused.stderr


def test_health(grpcurl: Run) -> None:
    answer = grpcurl("grpc.health.v1.Health/Check", request={"service": "runindex.v1.RunIndex"})

    assert json.loads(answer.stdout) == {"status": "SERVING"}
