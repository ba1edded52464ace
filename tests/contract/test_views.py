"""Views: how much of a run is returned, the same wherever runs are."""

from typing import Any, Final

import pytest
from google.protobuf.duration_pb2 import Duration

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import DEFAULT, Stub, archive, create, fail, get, set_retention
from tests.support.methods import COLLECTIONS, build, call

RUN_METHODS: Final = ("GetRun", *COLLECTIONS)


def rich_run(stub: Stub) -> pb.Run:
    """Create a run that has every field but those of a copy, and of a known caller; return it whole."""
    run_id = create(stub, tags=["old", "b"], metadata={"k": "word"}, parent=DEFAULT).run_id
    set_retention(stub, run_id, pb.RetentionPolicy(delete_after=Duration(seconds=1)))
    fail(stub, run_id)
    archive(stub, run_id)
    run = get(stub, run_id)
    others = {"cloned_from", "creator"}
    assert {field.name for field, _ in run.ListFields()} == {*pb.Run.DESCRIPTOR.fields_by_name} - others
    return run


def shown(stub: Stub, name: str, run: pb.Run, **fields: Any) -> pb.Run:
    """Return a run as a method shows it."""
    if name == "GetRun":
        return get_with(stub, run.run_id, **fields)
    if name == "ListRuns":
        fields["states"] = [pb.RUN_STATE_ARCHIVED]
    elif name == "QueryRunsByState":
        fields["state"] = pb.RUN_STATE_ARCHIVED
    else:
        fields["include_archived"] = True
    answer = call(stub, name, build(name, DEFAULT, **fields))
    (found,) = answer.runs
    assert isinstance(found, pb.Run)
    return found


def get_with(stub: Stub, run_id: str, **fields: Any) -> pb.Run:
    """Return a run by GetRun."""
    return stub.GetRun(pb.GetRunRequest(run_id=run_id, **fields)).run


@pytest.mark.parametrize("name", RUN_METHODS)
def test_full_is_everything(stub: Stub, name: str) -> None:
    """So is no view at all."""
    run = rich_run(stub)

    assert shown(stub, name, run) == run
    assert shown(stub, name, run, view=pb.RUN_VIEW_UNSPECIFIED) == run
    assert shown(stub, name, run, view=pb.RUN_VIEW_FULL) == run


@pytest.mark.parametrize("name", RUN_METHODS)
def test_basic_is_everything_but_metadata(stub: Stub, name: str) -> None:
    """Also of a run that has none."""
    run = rich_run(stub)
    expected = pb.Run()
    expected.CopyFrom(run)
    expected.ClearField("metadata")

    basic = shown(stub, name, run, view=pb.RUN_VIEW_BASIC)

    assert basic == expected
    assert not basic.HasField("metadata")


@pytest.mark.parametrize("name", RUN_METHODS)
def test_id_only_is_the_id(stub: Stub, name: str) -> None:
    """And nothing else."""
    run = rich_run(stub)

    assert shown(stub, name, run, view=pb.RUN_VIEW_ID_ONLY) == pb.Run(run_id=run.run_id)


@pytest.mark.parametrize(
    "view", [pb.RUN_VIEW_ID_ONLY, pb.RUN_VIEW_BASIC, pb.RUN_VIEW_FULL], ids=pb.RunView.Name
)
@pytest.mark.parametrize("name", RUN_METHODS)
def test_every_view_is_of_one_revision(stub: Stub, name: str, view: Any) -> None:
    """The answer names it whatever it shows."""
    run = rich_run(stub)

    assert call(stub, name, build(name, run.run_id, view=view)).revision == run.revision


@pytest.mark.parametrize(
    "view", [pb.RUN_VIEW_ID_ONLY, pb.RUN_VIEW_BASIC, pb.RUN_VIEW_FULL], ids=pb.RunView.Name
)
def test_the_default_run_in_every_view(stub: Stub, view: Any) -> None:
    """It is named as it is everywhere."""
    whole = get(stub, DEFAULT)
    expected = pb.Run(run_id=DEFAULT) if view == pb.RUN_VIEW_ID_ONLY else whole

    assert get_with(stub, DEFAULT, view=view) == expected
    assert list(stub.ListRuns(pb.ListRunsRequest(view=view)).runs) == [expected]
