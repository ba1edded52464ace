"""The 17 methods of RunData as a table, and for each a call that does something: as `methods`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from runindex.v1 import run_data_pb2 as pb
from tests.support import calls, data_calls
from tests.support.calls import Stub
from tests.support.data_calls import Data, draft, json_value, value

SERVICE: Final = "runindex.v1.RunData"

READS: Final = (
    "GetValue",
    "ListValues",
    "GetValueHistory",
    "ReadEvents",
    "CountEvents",
    "GetState",
    "ListStates",
    "GetDocument",
    "ListDocuments",
)
VERSIONED: Final = ("PutValue", "DeleteValue", "SetState", "SetDocument", "MergeDocument", "DeleteDocument")
"""Mutations with `expected_version`."""

UNVERSIONED: Final = ("AppendEvents", "CompareAndSetState")
MUTATIONS: Final = (*VERSIONED, *UNVERSIONED)
METHODS: Final = (*READS, *MUTATIONS)
COLLECTIONS: Final = ("ListValues", "GetValueHistory", "ReadEvents", "ListStates", "ListDocuments")
LISTS: Final = ("ListValues", "ListStates", "ListDocuments")
OF_EVENTS: Final = ("ReadEvents", "CountEvents")

_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "PutValue": {"key": "k", "value": value("another")},
    "GetValue": {"key": "k"},
    "DeleteValue": {"key": "k"},
    "GetValueHistory": {"key": "k"},
    "AppendEvents": {"events": [draft("s", "another")]},
    "SetState": {"cell": "c", "value": value("another")},
    "GetState": {"cell": "c"},
    "CompareAndSetState": {"cell": "c", "expected": value("first"), "value": value("another")},
    "SetDocument": {"document": "d", "value": json_value("another")},
    "GetDocument": {"document": "d"},
    "MergeDocument": {"document": "d", "patch": json_value({"text": "another"})},
    "DeleteDocument": {"document": "d"},
}
"""What a request needs beside the run."""


def request_type(name: str) -> Callable[..., Any]:
    """Return a method's request message."""
    kind: Callable[..., Any] = getattr(pb, f"{name}Request")
    return kind


def build(name: str, run_id: str, /, **fields: Any) -> Any:
    """Return a request that is right for a run made by `target`, with further fields set or replaced.

    A field that is None is left out.
    """
    given = {"run_id": run_id, **_FIELDS.get(name, {}), **fields}
    return request_type(name)(**given)


def target(stub: Stub, data: Data) -> str:
    """Create a run that holds one version of one thing of each kind; return its id."""
    run_id = calls.create(stub).run_id
    give(data, run_id)
    return run_id


def give(data: Data, run_id: str) -> None:
    """Give a run one version of one thing of each kind: `k`, `c` and `d`, and an event of `s`."""
    data_calls.put(data, run_id, "k", "first")
    data_calls.append(data, run_id, draft("s", "first"))
    data_calls.set_state(data, run_id, "c", "first")
    data_calls.set_document(data, run_id, "d", {"text": "first"})


def call(data: Data, name: str, request: Message) -> Any:
    """Call a method by its name."""
    return getattr(data, name)(request)


def raw(channel: grpc.Channel, name: str) -> Callable[[bytes], Any]:
    """Return what sends bytes as the request of a method, and decodes the answer."""
    answer = getattr(pb, f"{name}Response")
    return channel.unary_unary(
        f"/{SERVICE}/{name}", request_serializer=bytes, response_deserializer=answer.FromString
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What has versions: a key, a state cell or a document.

    Attributes:
        field: The field that names one, in requests, items and refusals.
        write: The method that writes one.
        read: The method that returns one.
        lists: The method that lists them.
        delete: The method that deletes one; empty for cells, which stay.
        missing: The reason for which what is not there is refused.
    """

    field: str
    write: str
    read: str
    lists: str
    delete: str
    missing: str

    def wrap(self, held: Any) -> Message:
        """Return JSON as its requests and items carry it."""
        return json_value(held) if self.field == "document" else value(held)

    def put(self, data: Data, run_id: str, name: str, held: Any, **fields: Any) -> Any:
        """Write one and return the answer."""
        named = {self.field: name, "value": self.wrap(held)}
        return data_calls.written(call(data, self.write, build(self.write, run_id, **named, **fields)))

    def get(self, data: Data, run_id: str, name: str, version: int | None = None) -> Any:
        """Return a version of one."""
        item = call(data, self.read, build(self.read, run_id, **{self.field: name}, version=version)).item
        assert self.name_of(item) == name
        return item

    def remove(self, data: Data, run_id: str, name: str, **fields: Any) -> Any:
        """Delete one and return the answer."""
        request = build(self.delete, run_id, **{self.field: name}, **fields)
        return data_calls.written(call(data, self.delete, request))

    def name_of(self, item: Any) -> str:
        """Return the name of one."""
        name: str = getattr(item, self.field)
        return name

    def names(self, data: Data, run_id: str, prefix: str = "", **fields: Any) -> list[str]:
        """Return the names of all, which must go on one page."""
        request = build(self.lists, run_id, prefix=prefix, page_size=data_calls.PAGE_MAX, **fields)
        answer = call(data, self.lists, request)
        assert answer.next_page_token == ""
        return [self.name_of(item) for item in answer.items]


KINDS: Final[Mapping[str, Kind]] = {
    "keys": Kind(
        field="key",
        write="PutValue",
        read="GetValue",
        lists="ListValues",
        delete="DeleteValue",
        missing="VALUE_NOT_FOUND",
    ),
    "cells": Kind(
        field="cell",
        write="SetState",
        read="GetState",
        lists="ListStates",
        delete="",
        missing="STATE_NOT_FOUND",
    ),
    "documents": Kind(
        field="document",
        write="SetDocument",
        read="GetDocument",
        lists="ListDocuments",
        delete="DeleteDocument",
        missing="DOCUMENT_NOT_FOUND",
    ),
}
"""By what people call them."""

DELETABLE: Final = {name: kind for name, kind in KINDS.items() if kind.delete}
