"""Answers of RunInsights: what is joined byte by byte is what the messages would be."""

import inspect
from typing import Any

import pytest

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.data.listing import Page
from runindex_server.insights.tree import Tree, TreeNode
from runindex_server.rpc import insights_convert as convert
from runindex_server.rpc.insights_servicer import RunInsightsServicer
from runindex_server.schema.history import Transition
from runindex_server.schema.records import timestamp
from runindex_server.schema.run import RunState
from tests.support.insight_methods import COLLECTIONS

TIME_US = 1_772_366_430_123_456
RUN = index_pb.Run(run_id="default", version=300, tags=["t" * 200])


@pytest.mark.parametrize(("name", "items"), COLLECTIONS.items())
def test_items_are_field_1_of_every_page(name: str, items: str) -> None:
    response = getattr(pb, f"{name}Response")
    assert response.DESCRIPTOR.fields_by_name[items].number == convert._ITEM_FIELD


def test_the_numbers_of_trees() -> None:
    assert pb.TreeNode.RUN_FIELD_NUMBER == pb.GetRunTreeResponse.RUN_FIELD_NUMBER == convert._RUN_FIELD
    assert pb.GetRunTreeResponse.ANCESTORS_FIELD_NUMBER == convert._ANCESTORS_FIELD
    assert pb.GetRunTreeResponse.DESCENDANTS_FIELD_NUMBER == convert._DESCENDANTS_FIELD


@pytest.mark.parametrize(
    ("from_state", "known"), [(None, {}), (RunState.PAUSED, {"from_state": index_pb.RUN_STATE_PAUSED})]
)
def test_transitions(from_state: RunState | None, known: dict[str, Any]) -> None:
    kept = Transition(
        from_state=from_state, to_state=RunState.FAILED, time_us=TIME_US, version=300, actor="é"
    )
    told = pb.RunTransition(
        to_state=index_pb.RUN_STATE_FAILED, time=timestamp(TIME_US), version=300, actor="é", **known
    )
    response = pb.GetRunHistoryResponse(next_page_token="t", revision=7)

    assert pb.RunTransition.FromString(convert.transition(kept)) == told
    wire = convert.history_response(response, Page([convert.transition(kept)] * 2, None))
    assert pb.GetRunHistoryResponse.FromString(wire) == pb.GetRunHistoryResponse(
        transitions=[told, told], next_page_token="t", revision=7
    )


def node(level: int, **marks: bool) -> tuple[TreeNode, pb.TreeNode]:
    """Return a node of a tree, and the message that it is."""
    counts = ((RunState.ACTIVE, 1), (RunState.ARCHIVED, 300)) if level else ()
    children = [index_pb.StateCount(state=state.value, count=count) for state, count in counts]
    message = pb.TreeNode(run=RUN, level=level, children=children, **marks)
    return TreeNode(run=RUN.SerializeToString(), level=level, children=counts, **marks), message


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("ancestors_truncated", [False, True])
def test_trees(*, truncated: bool, ancestors_truncated: bool) -> None:
    root, above, orphan, below, circular = (
        node(0),
        node(1),
        node(2, is_orphan=True),
        node(1),
        node(200, is_circular=True),
    )
    found = Tree(
        run=root[0],
        ancestors=[above[0], orphan[0]],
        descendants=[below[0], circular[0]],
        truncated=truncated,
        ancestors_truncated=ancestors_truncated,
    )

    wire = convert.tree_response(found, 7)

    expected = pb.GetRunTreeResponse(
        run=root[1],
        ancestors=[above[1], orphan[1]],
        descendants=[below[1], circular[1]],
        truncated=truncated,
        ancestors_truncated=ancestors_truncated,
        revision=7,
    )
    assert pb.GetRunTreeResponse.FromString(wire) == expected
    assert len(wire) == expected.ByteSize()


def test_the_servicer_has_the_methods_of_the_contract_in_its_order() -> None:
    contract = [method.name for method in pb.DESCRIPTOR.services_by_name["RunInsights"].methods]
    methods = [name for name, _ in inspect.getmembers(RunInsightsServicer, inspect.isfunction)]
    assert [name for name in vars(RunInsightsServicer) if not name.startswith("_")] == contract
    assert set(contract) <= set(methods)
