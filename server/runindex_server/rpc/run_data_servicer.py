"""The 17 methods of RunData at the edge: check, call, convert. What they mean is told in the contract.

No method has a branch of its own, as in `servicer`.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from runindex.v1 import run_data_pb2 as pb
from runindex_server.data import documents, events, states, values
from runindex_server.data.listing import Page
from runindex_server.kv.api import ReadTxn, Store
from runindex_server.rpc import data_convert as convert
from runindex_server.rpc import data_validate, validate
from runindex_server.rpc.data_requests import CollectionRequest, next_page_token, page_request
from runindex_server.rpc.requests import conditions, request_key
from runindex_server.runs.page_token import PageTokens
from runindex_server.schema.run import RetentionPolicy

T = TypeVar("T")


class RunDataServicer:
    """`service RunData`, over a store."""

    def __init__(self, store: Store, *, tokens: PageTokens, default_policy: RetentionPolicy) -> None:
        """Take what the methods need.

        Args:
            store: Where runs and their data are.
            tokens: Of that store.
            default_policy: What acts on runs without a retention policy of their own.
        """
        self._store = store
        self._tokens = tokens
        self._default_policy = default_policy

    # Values under keys.

    async def PutValue(self, request: pb.PutValueRequest) -> pb.PutValueResponse:
        put = partial(
            values.put_value,
            run_id=data_validate.run_id(request, "key", "value"),
            key=data_validate.name(request.key, field="key"),
            value=data_validate.data_value(request.value, field="value"),
            conditions=conditions(request),
            default_policy=self._default_policy,
        )
        return convert.write_response(pb.PutValueResponse, await self._store.write(put))

    async def GetValue(self, request: pb.GetValueRequest) -> bytes:
        get = partial(
            values.get_value,
            run_id=data_validate.run_id(request, "key"),
            key=data_validate.name(request.key, field="key"),
            version=data_validate.version(request),
        )
        item, revision = await self._read(get)
        return convert.item_response(pb.GetValueResponse(revision=revision), convert.key_value(item))

    async def DeleteValue(self, request: pb.DeleteValueRequest) -> pb.DeleteValueResponse:
        delete = partial(
            values.delete_value,
            run_id=data_validate.run_id(request, "key"),
            key=data_validate.name(request.key, field="key"),
            conditions=conditions(request),
            default_policy=self._default_policy,
        )
        return convert.write_response(pb.DeleteValueResponse, await self._store.write(delete))

    async def ListValues(self, request: pb.ListValuesRequest) -> bytes:
        list_page = partial(
            values.list_values,
            run_id=validate.run_id(request.run_id),
            prefix=data_validate.name(request.prefix, field="prefix"),
            encode=convert.LISTED_VALUES[request.names_only],
        )
        page, revision, token = await self._page(request, list_page)
        return convert.page_response(pb.ListValuesResponse(next_page_token=token, revision=revision), page)

    async def GetValueHistory(self, request: pb.GetValueHistoryRequest) -> bytes:
        list_page = partial(
            values.get_value_history,
            run_id=data_validate.run_id(request, "key"),
            key=data_validate.name(request.key, field="key"),
            encode=convert.key_value,
        )
        page, revision, token = await self._page(request, list_page)
        response = pb.GetValueHistoryResponse(next_page_token=token, revision=revision)
        return convert.page_response(response, page)

    # Events.

    async def AppendEvents(self, request: pb.AppendEventsRequest) -> pb.AppendEventsResponse:
        append = partial(
            events.append_events,
            run_id=data_validate.run_id(request, "events"),
            drafts=data_validate.event_drafts(request.events),
            request=request_key(request),
            default_policy=self._default_policy,
        )
        return convert.append_response(await self._store.write(append))

    async def ReadEvents(self, request: pb.ReadEventsRequest) -> bytes:
        list_page = partial(
            events.read_events,
            run_id=validate.run_id(request.run_id),
            query=data_validate.event_query(request),
            encode=convert.event,
        )
        page, revision, token = await self._page(request, list_page)
        return convert.page_response(pb.ReadEventsResponse(next_page_token=token, revision=revision), page)

    async def CountEvents(self, request: pb.CountEventsRequest) -> pb.CountEventsResponse:
        run_id, stream = validate.run_id(request.run_id), data_validate.stream(request)
        count, revision = await self._read(lambda txn: events.count_events(txn, run_id, stream))
        return convert.count_response(count, revision)

    # State cells.

    async def SetState(self, request: pb.SetStateRequest) -> pb.SetStateResponse:
        put = partial(
            states.set_state,
            run_id=data_validate.run_id(request, "cell", "value"),
            cell=data_validate.name(request.cell, field="cell"),
            value=data_validate.data_value(request.value, field="value"),
            conditions=conditions(request),
            default_policy=self._default_policy,
        )
        return convert.write_response(pb.SetStateResponse, await self._store.write(put))

    async def GetState(self, request: pb.GetStateRequest) -> bytes:
        get = partial(
            states.get_state,
            run_id=data_validate.run_id(request, "cell"),
            cell=data_validate.name(request.cell, field="cell"),
            version=data_validate.version(request),
        )
        item, revision = await self._read(get)
        return convert.item_response(pb.GetStateResponse(revision=revision), convert.state_cell(item))

    async def CompareAndSetState(
        self, request: pb.CompareAndSetStateRequest
    ) -> pb.CompareAndSetStateResponse:
        put = partial(
            states.compare_and_set_state,
            run_id=data_validate.run_id(request, "cell", "value"),
            cell=data_validate.name(request.cell, field="cell"),
            expected=data_validate.expected_value(request),
            value=data_validate.data_value(request.value, field="value"),
            request=request_key(request),
            default_policy=self._default_policy,
        )
        return convert.write_response(pb.CompareAndSetStateResponse, await self._store.write(put))

    async def ListStates(self, request: pb.ListStatesRequest) -> bytes:
        list_page = partial(
            states.list_states,
            run_id=validate.run_id(request.run_id),
            prefix=data_validate.name(request.prefix, field="prefix"),
            encode=convert.LISTED_STATES[request.names_only],
        )
        page, revision, token = await self._page(request, list_page)
        return convert.page_response(pb.ListStatesResponse(next_page_token=token, revision=revision), page)

    # JSON documents.

    async def SetDocument(self, request: pb.SetDocumentRequest) -> pb.SetDocumentResponse:
        put = partial(
            documents.set_document,
            run_id=data_validate.run_id(request, "document", "value"),
            document=data_validate.name(request.document, field="document"),
            pointer=data_validate.pointer(request.pointer),
            value=data_validate.json(request.value, field="value"),
            conditions=conditions(request),
            default_policy=self._default_policy,
        )
        return convert.write_response(pb.SetDocumentResponse, await self._store.write(put))

    async def GetDocument(self, request: pb.GetDocumentRequest) -> bytes:
        get = partial(
            documents.get_document,
            run_id=data_validate.run_id(request, "document"),
            document=data_validate.name(request.document, field="document"),
            pointer=data_validate.pointer(request.pointer),
            version=data_validate.version(request),
        )
        item, revision = await self._read(get)
        return convert.item_response(pb.GetDocumentResponse(revision=revision), convert.document(item))

    async def MergeDocument(self, request: pb.MergeDocumentRequest) -> pb.MergeDocumentResponse:
        merge = partial(
            documents.merge_document,
            run_id=data_validate.run_id(request, "document", "patch"),
            document=data_validate.name(request.document, field="document"),
            patch=data_validate.json(request.patch, field="patch"),
            conditions=conditions(request),
            default_policy=self._default_policy,
        )
        return convert.write_response(pb.MergeDocumentResponse, await self._store.write(merge))

    async def DeleteDocument(self, request: pb.DeleteDocumentRequest) -> pb.DeleteDocumentResponse:
        delete = partial(
            documents.delete_document,
            run_id=data_validate.run_id(request, "document"),
            document=data_validate.name(request.document, field="document"),
            pointer=data_validate.pointer(request.pointer),
            conditions=conditions(request),
            default_policy=self._default_policy,
        )
        return convert.write_response(pb.DeleteDocumentResponse, await self._store.write(delete))

    async def ListDocuments(self, request: pb.ListDocumentsRequest) -> bytes:
        list_page = partial(
            documents.list_documents,
            run_id=validate.run_id(request.run_id),
            prefix=data_validate.name(request.prefix, field="prefix"),
            encode=convert.LISTED_DOCUMENTS[request.names_only],
        )
        page, revision, token = await self._page(request, list_page)
        return convert.page_response(pb.ListDocumentsResponse(next_page_token=token, revision=revision), page)

    async def _read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> tuple[T, int]:
        """Return what `fn` returns, and the revision of the snapshot that it saw."""
        return await self._store.read(lambda txn: (fn(txn), txn.revision), offload=offload)

    async def _page(self, request: CollectionRequest, fn: Callable[..., Page]) -> tuple[Page, int, str]:
        """Return the page that a request asks for, its revision, and the token of the next one.

        Args:
            request: The request.
            fn: Returns a page, `page` of `txn`.
        """
        asked = page_request(request, self._tokens)
        # Values may be large, and so may be what lists of names pass over: a page holds up the event loop
        # longer than the way to a thread takes.
        page, revision = await self._read(lambda txn: fn(txn, page=asked), offload=True)
        return page, revision, next_page_token(request, self._tokens, page)
