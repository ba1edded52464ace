"""Answers of calls for data: what is joined byte by byte is what the messages would be."""

from typing import Any

import pytest

from runindex.v1 import run_data_pb2 as pb
from runindex_server.data.events import NumberedEvent
from runindex_server.data.items import NumberedVersion
from runindex_server.data.listing import Page
from runindex_server.rpc import data_convert as convert
from runindex_server.schema.items import ItemVersion, StoredEvent
from runindex_server.schema.records import timestamp

VALUE = pb.DataValue(binary=b"v" * 300)
JSON = pb.DataValue(json={"string_value": "x"})
TIME_US = 1_772_366_430_123_456


def version(value: bytes, **fields: Any) -> NumberedVersion:
    content = ItemVersion(write_us=TIME_US, value=value, **fields)
    return NumberedVersion(name="n", number=300, content=content)


KEPT: dict[str, Any] = {"version": 300, "write_time": timestamp(TIME_US)}


def test_versions() -> None:
    held = version(VALUE.SerializeToString())
    key = pb.KeyValue(key="n", value=VALUE, **KEPT)
    cell = pb.StateCell(cell="n", value=VALUE, **KEPT)
    assert pb.KeyValue.FromString(convert.key_value(held)) == key
    assert pb.StateCell.FromString(convert.state_cell(held)) == cell
    assert pb.Document.FromString(convert.document(version(JSON.json.SerializeToString()))) == pb.Document(
        document="n", value=JSON.json, **KEPT
    )
    assert len(convert.key_value(held)) == key.ByteSize()


def test_names_only() -> None:
    held = version(VALUE.SerializeToString())
    assert pb.KeyValue.FromString(convert.LISTED_VALUES[True](held)) == pb.KeyValue(key="n", **KEPT)
    assert pb.StateCell.FromString(convert.LISTED_STATES[True](held)) == pb.StateCell(cell="n", **KEPT)
    assert pb.Document.FromString(convert.LISTED_DOCUMENTS[True](held)) == pb.Document(document="n", **KEPT)
    for listed in (convert.LISTED_VALUES, convert.LISTED_STATES, convert.LISTED_DOCUMENTS):
        assert len(listed[False](held)) > 300 > len(listed[True](held))


def test_deletions_hold_nothing() -> None:
    deletion = version(b"", is_deleted=True)
    key = pb.KeyValue(key="n", deleted=True, **KEPT)
    assert pb.KeyValue.FromString(convert.key_value(deletion)) == key
    document = pb.Document.FromString(convert.document(deletion))
    assert document == pb.Document(document="n", deleted=True, **KEPT)
    assert not document.HasField("value")


def test_events() -> None:
    content = StoredEvent(stream="s", append_us=TIME_US, value=VALUE.SerializeToString())
    event = pb.Event(sequence=0, stream="s", value=VALUE, append_time=timestamp(TIME_US))
    assert pb.Event.FromString(convert.event(NumberedEvent(0, content))) == event


RESPONSES: list[Any] = [
    (pb.GetValueResponse, "item"),
    (pb.GetStateResponse, "item"),
    (pb.GetDocumentResponse, "item"),
    (pb.ListValuesResponse, "items"),
    (pb.GetValueHistoryResponse, "items"),
    (pb.ReadEventsResponse, "events"),
    (pb.ListStatesResponse, "items"),
    (pb.ListDocumentsResponse, "items"),
]


@pytest.mark.parametrize(("response", "name"), RESPONSES)
def test_items_are_field_1_of_every_response(response: Any, name: str) -> None:
    assert response.DESCRIPTOR.fields_by_name[name].number == convert._ITEM_FIELD


def test_the_numbers_of_values() -> None:
    for message in (pb.KeyValue, pb.StateCell, pb.Document):
        assert message.VALUE_FIELD_NUMBER == convert._VALUE_FIELD
    assert pb.Event.VALUE_FIELD_NUMBER == convert._EVENT_VALUE_FIELD


def test_responses() -> None:
    item = pb.KeyValue(key="n", value=VALUE, **KEPT)
    one = convert.item_response(pb.GetValueResponse(revision=7), item.SerializeToString())
    assert pb.GetValueResponse.FromString(one) == pb.GetValueResponse(item=item, revision=7)

    response = pb.ListValuesResponse(next_page_token="t", revision=7)
    many = convert.page_response(response, Page([item.SerializeToString()] * 2, None))
    assert pb.ListValuesResponse.FromString(many) == pb.ListValuesResponse(
        items=[item, item], next_page_token="t", revision=7
    )
