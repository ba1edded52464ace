"""Digests: what makes two requests the same, and two pages of one query."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from runindex.v1 import run_index_pb2 as pb
from runindex_server.rpc.digest import query_digest, request_digest

RUN_ID = "0192f3aa-bbcc-7ddd-8eee-ff0011223344"


def create(**fields: Any) -> pb.CreateRunRequest:
    return pb.CreateRunRequest(**fields)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (create(request_id="a"), create(request_id="b")),
        (create(run_id=RUN_ID), create(run_id=RUN_ID.upper().replace("-", ""))),
        (create(tags=["a", "b", "a"]), create(tags=["a", "b"])),
        (create(metadata=Struct()), create()),
    ],
)
def test_same_requests(one: pb.CreateRunRequest, other: pb.CreateRunRequest) -> None:
    assert request_digest(one) == request_digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (create(), create(run_id=RUN_ID)),
        (create(tags=["a", "b"]), create(tags=["b", "a"])),
        (pb.CloseRunRequest(run_id=RUN_ID), pb.PauseRunRequest(run_id=RUN_ID)),
        (pb.CloseRunRequest(run_id=RUN_ID), pb.CloseRunRequest(run_id=RUN_ID, expected_version=0)),
        (pb.SetRunRetentionRequest(run_id=RUN_ID), pb.DeleteRunRequest(run_id=RUN_ID)),
    ],
)
def test_different_requests(one: Any, other: Any) -> None:
    assert request_digest(one) != request_digest(other)


def test_page_size_view_skip_and_token_are_not_of_the_query() -> None:
    first = pb.ListRunsRequest(states=[1, 2], skip=5, page_size=1)
    later = pb.ListRunsRequest(states=[1, 2, 1], page_size=9, view=pb.RUN_VIEW_BASIC, page_token="x")

    assert query_digest(first) == query_digest(later)
    assert query_digest(first) != query_digest(pb.ListRunsRequest(states=[1]))
    assert query_digest(pb.ListRunsRequest()) != query_digest(pb.SearchRunsRequest())


def test_digesting_leaves_the_request_as_it_is() -> None:
    request = create(run_id=RUN_ID.upper(), tags=["a", "a"], request_id="r")
    before = request.SerializeToString(deterministic=True)
    request_digest(request)

    assert request.SerializeToString(deterministic=True) == before
