"""What the scenarios cover, together: every method, and every refusal that the contract lists at it."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

import pytest

from scripts import contract
from tests.clients.conformance.methods import METHODS, items_field
from tests.clients.conformance.scenario import REASONS, Step, read, scenario_files

PACKAGE: Final = "runindex.v1"
RUN_INDEX: Final = f"{PACKAGE}.RunIndex/"
COMMENTS: Final = {f"{PACKAGE}.{each.service}/{each.name}": each.comment for each in contract.methods()}

FIELD: Final = re.compile(r"[a-z_]+")
LISTED: Final = re.compile(r"\b([A-Z]+(?:_[A-Z]+)+)(?: \(([^)]*)\))?")
"""A reason in a comment of the contract, and what stands in parentheses behind it."""

WITH_FIELDS: Final = frozenset({"FIELD_REQUIRED", "INVALID_FIELD"})
"""Reasons behind which the contract names the fields that they are about."""

OUT_OF_REACH: Final = {
    "UNSPECIFIED": "never sent",
    "UNPARSABLE_REQUEST": "clients send what parses",
    "REQUEST_TOO_LARGE": "nobody reads a scenario of a mebibyte",
    "READ_ONLY": "of a server that only reads",
    "CLOCK_JUMPED": "of a machine whose clock has jumped",
    "STORE_FULL": "of a full disk",
    "RATE_LIMITED": "of a server that bounds its callers",
    "CREDENTIALS_MISSING": "of a server that asks for credentials",
    "CREDENTIALS_INVALID": "of a server that asks for credentials",
    "PERMISSION_DENIED": "of a server that knows rights",
    "NOT_EXECUTED": "of a server that is late",
    "DEADLINE_PASSED": "of a server that is late",
    "OVERLOADED": "of a server that has too much to do",
    "SHUTTING_DOWN": "of a server that stops",
    "MIGRATING": "of a server whose store is being migrated",
    "COMMIT_OUTCOME_UNKNOWN": "of a disk that fails",
    "STORE_CORRUPT": "of a damaged store",
    "INTERNAL_ERROR": "of a faulty server",
}
"""Reasons that no scenario can provoke: no sequence of calls leads an ordinary server to them."""

TOO_LONG: Final = {
    f"{PACKAGE}.RunData/AppendEvents": {("INVALID_FIELD", "events")},  # For more than 1,000 of them.
    f"{PACKAGE}.RunData/MergeDocument": {("LIMIT_EXCEEDED", "")},  # For a document of more than 256 KiB.
}
"""Refusals that take a request too long to be read; the tests of the server make them."""


@cache
def steps() -> tuple[Step, ...]:
    """Return the steps of all scenarios."""
    return tuple(step for path in scenario_files() for step in read(path).steps)


def answered(kinds: Iterable[str]) -> set[str]:
    """Return the methods that some step of these kinds calls with success."""
    return {step.name for step in steps() if step.kind in kinds and step.expects != "error"}


def refused(name: str) -> set[tuple[str, str]]:
    """Return the reasons for which a method is refused, each with the field for those that have some."""
    errors = [step.expected for step in steps() if step.name == name and step.expects == "error"]
    return {(error["reason"], _field(error)) for error in errors if "reason" in error}


def _field(error: dict) -> str:
    """Return the field that an expected error names, without an index; empty where it does not matter."""
    field: str = error.get("metadata", {}).get("field", "")
    return field.partition("[")[0] if error["reason"] in WITH_FIELDS else ""


def listed(name: str) -> set[tuple[str, str]]:
    """Return the reasons that the contract lists at a method, each with each of its fields."""
    _, _, comment = COMMENTS[name].partition("Fails ")
    reasons = {
        (reason, field)
        for reason, details in LISTED.findall(comment)
        if reason in REASONS
        for field in (_fields(details) if reason in WITH_FIELDS else [""])
    }
    return reasons | listed(f"{RUN_INDEX}CloseRun") if "as CloseRun does" in comment else reasons


def _fields(details: str) -> list[str]:
    """Return the fields that stand behind a reason, but for those that are told in words."""
    return [field for field in re.split("[,;] ", details) if FIELD.fullmatch(field)]


every_method: Final = pytest.mark.parametrize("name", METHODS)
OF_RUN_INDEX: Final = [name for name in METHODS if name.startswith(RUN_INDEX)]
MUTATIONS: Final = [name for name in OF_RUN_INDEX if "request_id" in METHODS[name].input_type.fields_by_name]


@every_method
def test_each_method_succeeds_in_some_scenario(name: str) -> None:
    assert name in answered(["stream"] if METHODS[name].server_streaming else ["call"])


@pytest.mark.parametrize("name", [name for name in METHODS if items_field(METHODS[name].output_type)])
def test_each_collection_is_iterated_over(name: str) -> None:
    assert name in answered(["each"])


@every_method
def test_each_method_is_refused_for_each_reason_that_the_contract_lists(name: str) -> None:
    beyond = {(reason, "") for reason in OUT_OF_REACH} | TOO_LONG.get(name, set())

    assert listed(name) - beyond - refused(name) == set()


@pytest.mark.parametrize("name", TOO_LONG)
def test_what_is_too_long_is_left_out(name: str) -> None:
    assert TOO_LONG[name] <= listed(name) - refused(name)


@pytest.mark.parametrize("name", OF_RUN_INDEX)
def test_each_method_of_run_index_is_refused(name: str) -> None:
    assert listed(name) & refused(name)


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_mutation_of_run_index_is_refused_for_its_request_id(name: str) -> None:
    assert {("REQUEST_ID_REUSED", ""), ("INVALID_FIELD", "request_id")} <= refused(name)


def test_each_reason_that_is_within_reach_is_expected() -> None:
    expected = {reason for name in METHODS for reason, _ in refused(name)}

    assert expected == REASONS - OUT_OF_REACH.keys()


def test_the_contract_is_read_as_it_is_meant() -> None:
    assert listed(f"{RUN_INDEX}FailRun") == {
        ("INVALID_RUN_ID", ""),
        ("FIELD_REQUIRED", "error"),
        ("INVALID_FIELD", "error"),
        ("RUN_NOT_FOUND", ""),
        ("DEFAULT_RUN_PROTECTED", ""),
        ("VERSION_MISMATCH", ""),
        ("INVALID_STATE_TRANSITION", ""),
    }
    assert {("INVALID_FIELD", "view"), ("INVALID_FIELD", "skip")} < listed(f"{RUN_INDEX}ListRuns")
    assert listed(f"{PACKAGE}.Maintenance/GetStatus") == set()
