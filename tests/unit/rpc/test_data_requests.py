"""Requests for data: the pages they ask for, and what makes two of them the same."""

import inspect
from typing import Any

import pytest

from runindex.v1 import run_data_pb2 as pb
from runindex_server import limits
from runindex_server.data.listing import Page, PageRequest, Place
from runindex_server.errors import InvalidPageSize, InvalidPageToken
from runindex_server.rpc.data_requests import next_page_token, page_request
from runindex_server.rpc.digest import query_digest, request_digest
from runindex_server.rpc.run_data_servicer import RunDataServicer
from runindex_server.runs.page_token import PageTokens
from runindex_server.schema.header import new_header

TOKENS = PageTokens(new_header(create_us=1, created_by="test"))
RUN_ID = "0192f3aa-bbcc-7ddd-8eee-ff0011223344"


def listed(**fields: Any) -> pb.ListValuesRequest:
    return pb.ListValuesRequest(run_id=RUN_ID, **fields)


@pytest.mark.parametrize(
    ("asked", "size"), [(0, limits.PAGE_SIZE_DEFAULT), (1, 1), (1_000, 1_000), (1_001, 1_000)]
)
def test_page_sizes(asked: int, size: int) -> None:
    assert page_request(listed(page_size=asked), TOKENS) == PageRequest(size)


def test_a_negative_page_size() -> None:
    with pytest.raises(InvalidPageSize):
        page_request(listed(page_size=-1), TOKENS)


def test_a_token_leads_to_its_place_and_the_end_has_none() -> None:
    page = Page([b"x"], Place(7, "é".encode()))
    token = next_page_token(listed(), TOKENS, page)
    assert page_request(listed(page_size=3, page_token=token), TOKENS) == PageRequest(3, page.end)
    assert next_page_token(listed(), TOKENS, Page([b"x"], None)) == ""


@pytest.mark.parametrize(
    "other",
    [
        listed(prefix="a"),
        listed(names_only=True),
        pb.ListValuesRequest(run_id="default"),
        pb.ListStatesRequest(run_id=RUN_ID),
        pb.GetValueHistoryRequest(run_id=RUN_ID, key="k"),
    ],
)
def test_a_token_belongs_to_its_query(other: Any) -> None:
    token = next_page_token(listed(), TOKENS, Page([b"x"], Place(7, b"k")))
    other.page_token = token
    with pytest.raises(InvalidPageToken):
        page_request(other, TOKENS)


def events(**fields: Any) -> pb.ReadEventsRequest:
    return pb.ReadEventsRequest(run_id=RUN_ID, **fields)


@pytest.mark.parametrize(
    "other", [events(stream="s"), events(from_sequence=0), events(backwards=True), events(stream="")]
)
def test_what_is_set_to_nothing_is_another_query_than_what_is_unset(other: Any) -> None:
    assert query_digest(other) != query_digest(events())


def value(**kind: Any) -> pb.PutValueRequest:
    return pb.PutValueRequest(run_id=RUN_ID, key="k", value=pb.DataValue(**kind))


def test_same_requests() -> None:
    one, other = value(json={"struct_value": {}}), value(json={"struct_value": {}})
    for name in "abcdefgh":
        one.value.json.struct_value.fields[name].bool_value = True
    for name in "hgfedcba":
        other.value.json.struct_value.fields[name].bool_value = True
    other.run_id, other.request_id = RUN_ID.upper(), "r"
    assert request_digest(one) == request_digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (value(binary=b""), value(json={"null_value": 0})),
        (value(binary=b""), pb.PutValueRequest(run_id=RUN_ID, key="k", value=pb.DataValue())),
        (value(binary=b"\x00"), value(binary=b"")),
        (
            pb.CompareAndSetStateRequest(run_id=RUN_ID, cell="c", expected=pb.DataValue(binary=b"")),
            pb.CompareAndSetStateRequest(run_id=RUN_ID, cell="c"),
        ),
        (pb.DeleteValueRequest(run_id=RUN_ID), pb.DeleteValueRequest(run_id=RUN_ID, expected_version=0)),
        (pb.DeleteDocumentRequest(run_id=RUN_ID), pb.DeleteDocumentRequest(run_id=RUN_ID, pointer="/")),
    ],
)
def test_different_requests(one: Any, other: Any) -> None:
    assert request_digest(one) != request_digest(other)


def test_the_servicer_has_the_methods_of_the_contract_in_its_order() -> None:
    contract = [method.name for method in pb.DESCRIPTOR.services_by_name["RunData"].methods]
    methods = [name for name, _ in inspect.getmembers(RunDataServicer, inspect.isfunction)]
    assert len(contract) == 17
    assert [name for name in vars(RunDataServicer) if not name.startswith("_")] == contract
    assert set(contract) <= set(methods)
