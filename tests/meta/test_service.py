"""RunIndex has exactly its 24 methods, and nothing that `docs/never.md` names."""

import re
from typing import Final

import pytest

from runindex.v1 import run_index_pb2
from scripts import contract
from tests.support.repository import ROOT

METHODS: Final = {
    "CreateRun": "run_create",
    "GetRun": "run_get",
    "ListRuns": "run_list",
    "RunExists": "run_exists",
    "UpdateRunMetadata": "run_update_metadata",
    "CloseRun": "run_close",
    "PauseRun": "run_pause",
    "ResumeRun": "run_resume",
    "FailRun": "run_fail",
    "CancelRun": "run_cancel",
    "ArchiveRun": "run_archive",
    "DeleteRun": "run_delete",
    "QueryRunsByState": "run_query_by_status",
    "QueryRunsByTag": "run_query_by_tag",
    "CountRuns": "run_count",
    "SearchRuns": "run_search",
    "AddRunTags": "run_add_tags",
    "RemoveRunTags": "run_remove_tags",
    "GetRunTags": "run_get_tags",
    "CreateChildRun": "run_create_child",
    "GetChildRuns": "run_get_children",
    "GetParentRun": "run_get_parent",
    "SetRunRetention": "run_set_retention",
    "GetRunRetention": "run_get_retention",
}
"""The methods in the order of the contract, each with its name in the RunIndex plan."""

NEVER: Final = re.findall(r"^\| `run_(\w+)` \|", (ROOT / "docs" / "never.md").read_text(), re.MULTILINE)
"""What must never be added, as the page has it: without `run_`."""

FILLERS: Final = {"run", "runs", "from", "to", "for", "with", "by"}


def words(name: str) -> set[str]:
    """Return the telling words of a name in either style."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", name)} - FILLERS


VERBS: Final = set().union(*map(words, METHODS))


def likeness(never: str) -> set[str]:
    """Return the words by which a method would be told to be one that must never be added.

    That is its verb; and, when that is a verb which the service has anyway, all of its words.
    """
    verb, _, _ = never.partition("_")
    return words(never) if verb in VERBS else {verb}


def test_service_has_exactly_its_24_methods() -> None:
    served = [method.name for method in run_index_pb2.DESCRIPTOR.services_by_name["RunIndex"].methods]

    assert len(METHODS) == 24
    assert served == list(METHODS)


def test_methods_name_their_origin() -> None:
    assert {method.name: method.origin for method in contract.methods("RunIndex")} == METHODS


def test_never_list_is_that_of_the_plan() -> None:
    assert NEVER == [
        "execute",
        "schedule",
        "retry",
        "timeout",
        "callback",
        "inherit_from_parent",
        "cascade_state_to_children",
        "wait_for_children",
        "search_contents",
        "fork_with_data",
        "merge_from",
        "gc",
    ]


@pytest.mark.parametrize("never", NEVER)
def test_service_has_no_method_that_must_never_be_added(never: str) -> None:
    served = [method.name for method in run_index_pb2.DESCRIPTOR.services_by_name["RunIndex"].methods]

    assert [name for name in served if likeness(never) <= words(name)] == []


@pytest.mark.parametrize(
    ("never", "name"),
    [
        ("execute", "ExecuteRun"),
        ("search_contents", "SearchRunContents"),
        ("wait_for_children", "WaitForChildRuns"),
    ],
)
def test_likeness_recognises_what_must_never_be_added(never: str, name: str) -> None:
    assert likeness(never) <= words(name)
