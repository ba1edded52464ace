"""Answers of the calls for what runs hold: from what they return to response messages, or to their wire form.

Values come from the store in the wire form of their message and are joined as they are.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from runindex.v1 import run_data_pb2 as pb
from runindex_server.data.events import EventCount, NumberedEvent
from runindex_server.data.items import NumberedVersion
from runindex_server.data.listing import EncodeVersion, Page
from runindex_server.rpc.convert import joined
from runindex_server.schema.answers import Answer
from runindex_server.schema.records import length_delimited, timestamp

_ITEM_FIELD: Final = 1
"""The number of `item`, `items` and `events` in every response that has them; a test holds it."""

_VALUE_FIELD: Final = 2
"""The number of `value` in every version; a test holds it."""

_EVENT_VALUE_FIELD: Final = 3
"""The number of `value` in an event; a test holds it."""

WriteResponse = TypeVar(
    "WriteResponse",
    pb.PutValueResponse,
    pb.DeleteValueResponse,
    pb.SetStateResponse,
    pb.CompareAndSetStateResponse,
    pb.SetDocumentResponse,
    pb.MergeDocumentResponse,
    pb.DeleteDocumentResponse,
)
ItemResponse = pb.GetValueResponse | pb.GetStateResponse | pb.GetDocumentResponse
PageResponse = (
    pb.ListValuesResponse
    | pb.GetValueHistoryResponse
    | pb.ReadEventsResponse
    | pb.ListStatesResponse
    | pb.ListDocumentsResponse
)


def write_response(response_class: type[WriteResponse], answer: Answer) -> WriteResponse:
    """Return the answer to a write of a value, a state cell or a document."""
    return response_class(
        version=answer.version, write_time=timestamp(answer.update_us), revision=answer.revision
    )


def append_response(answer: Answer) -> pb.AppendEventsResponse:
    """Return the answer to an append of events."""
    return pb.AppendEventsResponse(
        first_sequence=answer.first_sequence,
        append_time=timestamp(answer.update_us),
        revision=answer.revision,
    )


def count_response(count: EventCount, revision: int) -> pb.CountEventsResponse:
    """Return how many events there are."""
    return pb.CountEventsResponse(count=count.kept, next_sequence=count.next_sequence, revision=revision)


def item_response(response: ItemResponse, item: bytes) -> bytes:
    """Return the wire form of a response with one item, the rest of it behind the item."""
    return joined(_ITEM_FIELD, [item], response)


def page_response(response: PageResponse, page: Page) -> bytes:
    """Return the wire form of a page, the rest of the response behind the items."""
    return joined(_ITEM_FIELD, page.items, response)


def key_value(version: NumberedVersion) -> bytes:
    """Return a version of a value as the wire form of `runindex.v1.KeyValue`."""
    return key_name(version) + _value(version)


def key_name(version: NumberedVersion) -> bytes:
    """Return a version of a value likewise, without what it holds."""
    content = version.content
    return pb.KeyValue(
        key=version.name,
        version=version.number,
        write_time=timestamp(content.write_us),
        deleted=content.is_deleted,
    ).SerializeToString()


def state_cell(version: NumberedVersion) -> bytes:
    """Return a version of a state cell as the wire form of `runindex.v1.StateCell`."""
    return cell_name(version) + _value(version)


def cell_name(version: NumberedVersion) -> bytes:
    """Return a version of a state cell likewise, without what it holds."""
    return pb.StateCell(
        cell=version.name, version=version.number, write_time=timestamp(version.content.write_us)
    ).SerializeToString()


def document(version: NumberedVersion) -> bytes:
    """Return a version of a document as the wire form of `runindex.v1.Document`."""
    return document_name(version) + _value(version)


def document_name(version: NumberedVersion) -> bytes:
    """Return a version of a document likewise, without what it holds."""
    content = version.content
    return pb.Document(
        document=version.name,
        version=version.number,
        write_time=timestamp(content.write_us),
        deleted=content.is_deleted,
    ).SerializeToString()


def event(numbered: NumberedEvent) -> bytes:
    """Return an event as the wire form of `runindex.v1.Event`."""
    content = numbered.content
    head = pb.Event(
        sequence=numbered.sequence, stream=content.stream, append_time=timestamp(content.append_us)
    )
    return head.SerializeToString() + length_delimited(_EVENT_VALUE_FIELD, content.value)


def _value(version: NumberedVersion) -> bytes:
    """Return the field of what a version holds; nothing for a deletion."""
    if version.content.is_deleted:
        return b""
    return length_delimited(_VALUE_FIELD, version.content.value)


LISTED_VALUES: Final[Mapping[bool, EncodeVersion]] = {False: key_value, True: key_name}
"""How the keys of a list are sent, by `names_only`."""

LISTED_STATES: Final[Mapping[bool, EncodeVersion]] = {False: state_cell, True: cell_name}
"""As for keys."""

LISTED_DOCUMENTS: Final[Mapping[bool, EncodeVersion]] = {False: document, True: document_name}
"""As for keys."""
