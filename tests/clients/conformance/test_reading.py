"""Files that are no scenarios are refused, by file, step and fault."""

import json
from typing import Any

import pytest

from tests.clients.conformance.scenario import FormatError, parse

GET = "runindex.v1.RunIndex/GetRun"
LIST = "runindex.v1.RunIndex/ListRuns"
VERIFY = "runindex.v1.Maintenance/Verify"
OK = {"call": GET, "response": {}}


def text_of(*steps: Any, **members: Any) -> str:
    """Return a scenario of some steps."""
    return json.dumps({"about": "Something.", "steps": steps, **members})


TEXTS = [
    ("", "Expecting value"),
    ("[]", "not an object"),
    ('{"about": "A.", "about": "B.", "steps": []}', "a member twice in ['about', 'about', 'steps']"),
    (text_of(OK).replace("{}", '{"run": NaN}'), "NaN is not JSON"),
    (json.dumps({"steps": [OK]}), "['about'] missing"),
    (json.dumps({"about": "A."}), "['steps'] missing"),
    (text_of(OK, about=""), "about is not a sentence"),
    (text_of(OK, why="x"), "['why'] unknown"),
    (text_of(), "steps are not a list of some"),
    (text_of(steps=OK), "steps are not a list of some"),
]

AT = f"step 1 ({GET}): "
STEPS: list[tuple[Any, str]] = [
    ([], "step 1: not an object"),
    ({"response": {}}, "step 1: has []; exactly one of ['call', 'each', 'stream'] is needed"),
    (
        {"call": GET, "each": LIST, "response": {}},
        "step 1: has ['call', 'each']; exactly one of ['call', 'each', 'stream'] is needed",
    ),
    ({"call": GET}, "step 1: expects []; exactly one of ['response', 'error'] is needed"),
    (
        {"call": GET, "response": {}, "error": {"code": "NOT_FOUND"}},
        "step 1: expects ['response', 'error']; exactly one of ['response', 'error'] is needed",
    ),
    ({"each": LIST, "response": {}}, "step 1: expects []; exactly one of ['items', 'error'] is needed"),
    ({**OK, "items": []}, "step 1: ['items'] unknown"),
    ({**OK, "comment": "x"}, "step 1: ['comment'] unknown"),
    ({"each": LIST, "items": [], "keep": {"a": "0"}}, "step 1: ['keep'] unknown"),
    ({"call": GET, "error": {"code": "NOT_FOUND"}, "keep": {}}, "step 1: ['keep'] unknown"),
    ({"call": "GetRun", "response": {}}, "step 1: there is no method 'GetRun'"),
    ({"call": 7, "response": {}}, "step 1: there is no method 7"),
    ({"call": VERIFY, "response": {}}, f"step 1 ({VERIFY}): not for call"),
    ({"each": VERIFY, "items": []}, f"step 1 ({VERIFY}): not for each"),
    ({"stream": GET, "responses": []}, AT + "not for stream"),
    ({"each": GET, "items": []}, AT + "not a collection"),
    ({**OK, "request": []}, AT + "request is not an object"),
    ({"call": GET, "response": []}, AT + "response is not an object"),
    ({"each": LIST, "items": {}}, f"step 1 ({LIST}): items are not a list"),
    ({"each": LIST, "items": ["x"]}, f"step 1 ({LIST}): an item of items is not an object"),
    ({"stream": VERIFY, "responses": {}}, f"step 1 ({VERIFY}): responses are not a list"),
    ({"call": GET, "response": {"runs": []}}, AT + "GetRunResponse: ['runs'] unknown"),
    ({"call": GET, "response": {"run": {"run_id": "x"}}}, AT + "Run: ['run_id'] unknown"),
    ({"each": LIST, "items": [{"runid": None}]}, f"step 1 ({LIST}): Run: ['runid'] unknown"),
    (
        {"stream": VERIFY, "responses": [{"done": None}]},
        f"step 1 ({VERIFY}): VerifyResponse: ['done'] unknown",
    ),
    ({"call": GET, "error": "NOT_FOUND"}, AT + "error is not an object"),
    ({"call": GET, "error": {}}, AT + "error: ['code'] missing"),
    ({"call": GET, "error": {"code": "NOT_FOUND", "message": "x"}}, AT + "error: ['message'] unknown"),
    ({"call": GET, "error": {"code": "OK"}}, AT + "'OK' is no code of an error"),
    ({"call": GET, "error": {"code": "NOT_FOUND", "reason": "GONE"}}, AT + "'GONE' is no reason"),
    ({"call": GET, "error": {"code": "NOT_FOUND", "metadata": {"n": 1}}}, AT + "metadata are not strings"),
    ({**OK, "keep": []}, AT + "keep is not an object"),
    ({**OK, "keep": {"a b": "run"}}, AT + "'a b' is no name to keep something under"),
    ({**OK, "keep": {"run": ""}}, AT + "'' is no path"),
    ({**OK, "keep": {"run": 1}}, AT + "1 is no path"),
]


@pytest.mark.parametrize(("text", "fault"), TEXTS)
def test_a_text_that_is_no_scenario(text: str, fault: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse("x.json", text)

    assert str(caught.value).startswith(f"x.json: {fault}")


@pytest.mark.parametrize(("step", "fault"), STEPS)
def test_a_step_that_is_none(step: Any, fault: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse("x.json", text_of(step))

    assert str(caught.value) == f"x.json, {fault}"


def test_the_step_is_counted_from_one() -> None:
    with pytest.raises(FormatError, match=r"^x\.json, step 3: "):
        parse("x.json", text_of(OK, OK, {}))


def test_what_is_left_out() -> None:
    (step,) = parse("x.json", text_of(OK)).steps

    assert (step.kind, step.name, step.request, step.keep) == ("call", GET, {}, {})


def test_metadata_of_a_run_has_any_members() -> None:
    step = {"call": GET, "response": {"run": {"metadata": {"any": {"member": None}}}}}

    assert parse("x.json", text_of(step)).steps[0].expected == step["response"]
