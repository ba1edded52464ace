"""A scenario that does not hold fails, and says where: file, step, path, what was expected and what came."""

import json
from typing import Any, Final

import pytest

from tests.clients.conformance.runner import Caller, ScenarioError, run
from tests.clients.conformance.scenario import EXPECTATIONS, FOLDER, parse

CREATE: Final = "runindex.v1.RunIndex/CreateRun"
GET: Final = "runindex.v1.RunIndex/GetRun"
EXISTS: Final = "runindex.v1.RunIndex/RunExists"
LIST: Final = "runindex.v1.RunIndex/ListRuns"
CHILDREN: Final = "runindex.v1.RunIndex/GetChildRuns"
VERIFY: Final = "runindex.v1.Maintenance/Verify"
COMPACT: Final = "runindex.v1.Maintenance/Compact"

RUN_ID: Final = "0192f3aa-bbcc-7ddd-8eee-ff0011223344"
FIRST: Final = {
    "call": CREATE,
    "request": {"runId": RUN_ID, "tags": ["a", "b"], "metadata": {"n": 1, "ok": True}},
    "response": {},
    "keep": {"run": "run.runId", "tags": "run.tags"},
}

MISSING: Final = "0192f3aa-0000-7000-8000-000000000000"
NOT_FOUND: Final = {"code": "NOT_FOUND", "reason": "RUN_NOT_FOUND"}


def get(run: Any, request: Any = "$run") -> dict[str, Any]:
    """Return a step that expects something of a run."""
    return {"call": GET, "request": {"runId": request}, "response": {"run": run}}


def get_missing(error: Any) -> dict[str, Any]:
    """Return a step that expects an error of a run that is not there."""
    return {"call": GET, "request": {"runId": MISSING}, "error": error}


FAILURES: list[tuple[dict[str, Any], str]] = [
    (get({"version": "2"}), 'response.run.version: expected "2", got "1"'),
    (
        get({"state": "RUN_STATE_PAUSED"}),
        'response.run.state: expected "RUN_STATE_PAUSED", got "RUN_STATE_ACTIVE"',
    ),
    (get({"version": 1}), 'response.run.version: expected 1, got "1"'),
    (get({"parentRunId": ""}), 'response.run.parentRunId: expected "", got nothing'),
    (get({"duration": {}}), "response.run.duration: expected {}, got nothing"),
    (get({"error": None, "tags": None}), 'response.run.tags: expected null, got ["a", "b"]'),
    (get({"tags": ["b", "a"]}), 'response.run.tags.0: expected "b", got "a"'),
    (get({"tags": ["a"]}), 'response.run.tags: expected ["a"], got ["a", "b"]'),
    (get({"tags": ["a", "b", "c"]}), 'response.run.tags: expected ["a", "b", "c"], got ["a", "b"]'),
    (get({"metadata": {"n": 2}}), "response.run.metadata.n: expected 2, got 1.0"),
    (get({"metadata": {"ok": False}}), "response.run.metadata.ok: expected false, got true"),
    (get({"metadata": {"new": "x"}}), 'response.run.metadata.new: expected "x", got nothing'),
    (get({"runId": "$tags"}), f'response.run.runId: expected ["a", "b"], got "{RUN_ID}"'),
    (get({"runId": "$$run"}), f'response.run.runId: expected "$run", got "{RUN_ID}"'),
    (
        get({"runId": "$other"}),
        "response.run.runId: expected what an earlier step kept as other, got nothing",
    ),
    (get({}, "$other"), "request.runId: expected what an earlier step kept as other, got nothing"),
    (
        {**get({}), "keep": {"end": "run.endTime"}},
        "keep.end: expected something at run.endTime of the response, got nothing",
    ),
    (
        {**get({}), "keep": {"run": "run.runId"}},
        "keep.run: expected a name that is kept once, got one that was kept before",
    ),
    (
        {"call": LIST, "request": {"pageSize": 1}, "response": {"runs": [{}], "nextPageToken": ""}},
        'response.nextPageToken: expected "", got "...',
    ),
    (
        get({"version": "1"}, MISSING),
        'response: expected {"run": {"version": "1"}}, got an error: {"code": "NOT_FOUND", ...',
    ),
    (
        {"call": EXISTS, "request": {"runId": "$run"}, "error": {"code": "NOT_FOUND"}},
        'error: expected {"code": "NOT_FOUND"}, got an answer: {"exists": true, "revision": "2"}',
    ),
    (get_missing({"code": "ABORTED"}), 'error.code: expected "ABORTED", got "NOT_FOUND"'),
    (
        get_missing({**NOT_FOUND, "reason": "VALUE_NOT_FOUND"}),
        'error.reason: expected "VALUE_NOT_FOUND", got "RUN_NOT_FOUND"',
    ),
    (
        get_missing({**NOT_FOUND, "metadata": {"runId": "$run"}}),
        f'error.metadata.runId: expected "{RUN_ID}", got "{MISSING}"',
    ),
    (
        get_missing({**NOT_FOUND, "metadata": {"field": "run_id"}}),
        'error.metadata.field: expected "run_id", got nothing',
    ),
    (
        {"each": LIST, "request": {"pageSize": 1}, "items": [{"runId": "$run"}, {"runId": "$run"}]},
        f'items.1.runId: expected "{RUN_ID}", got "default"',
    ),
    (
        {"each": CHILDREN, "request": {"runId": "$run"}, "items": [{}]},
        "items: expected [{}], got []",
    ),
    (
        {"each": CHILDREN, "request": {"runId": "$run"}, "error": NOT_FOUND},
        'error: expected {"code": "NOT_FOUND", "reason": "RUN_NOT_FOUND"}, got an answer: []',
    ),
    (
        {"each": CHILDREN, "request": {"runId": "x"}, "items": []},
        'items: expected [], got an error: {"code": "INVALID_ARGUMENT", "reason": "INVALID_RUN_ID", ...',
    ),
    (
        {"each": LIST, "request": {"pageToken": "x"}, "items": []},
        'request.pageToken: expected nothing, got "x"',
    ),
    (
        {"stream": VERIFY, "responses": [{"progress": {}}, {"summary": {"drifts": "1"}}]},
        'responses.1.summary.drifts: expected "1", got "0"',
    ),
    ({"stream": VERIFY, "responses": []}, "responses: expected [], got [{..."),
    (
        {"stream": COMPACT, "request": {"dryRun": True, "trustClock": True}, "responses": []},
        'responses: expected [], got an error: {"code": "INVALID_ARGUMENT", "reason": "INVALID_FIELD", ...',
    ),
    (
        {"stream": COMPACT, "request": {"dryRun": True, "trustClock": True}, "error": NOT_FOUND},
        'error.code: expected "NOT_FOUND", got "INVALID_ARGUMENT"',
    ),
    (get({}, 7), "request: expected a GetRunRequest, got Failed to parse runId field: ..."),
    (
        {"call": GET, "request": {"run": "x"}, "response": {}},
        'request: expected a GetRunRequest, got Message type "runindex.v1.GetRunRequest" has no field...',
    ),
]


@pytest.mark.parametrize(("step", "told"), FAILURES)
def test_a_step_that_does_not_hold(caller: Caller, step: dict[str, Any], told: str) -> None:
    last = get({"version": "never reached"})
    text = json.dumps({"about": "Something.", "steps": [FIRST, step, last]})

    with pytest.raises(ScenarioError) as caught:
        run(parse("x.json", text), caller)

    (method,) = {step[kind] for kind in EXPECTATIONS if kind in step}
    message = f"x.json, step 2 ({method}): {told}"
    if message.endswith("..."):  # What follows is not the runner's to say.
        assert str(caught.value).startswith(message.removesuffix("..."))
    else:
        assert str(caught.value) == message


def test_the_example_of_the_page_holds(caller: Caller) -> None:
    page = (FOLDER.parent / "README.md").read_text()
    _, _, rest = page.partition("```json\n")
    example, fence, _ = rest.partition("\n```\n")

    assert fence
    run(parse("README.md", example), caller)
