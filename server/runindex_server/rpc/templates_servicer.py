"""The 6 methods of RunTemplates at the edge: check, call, convert. What they mean is told in the contract.

No method has a branch of its own, as in `servicer`.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from runindex.v1 import templates_pb2 as pb
from runindex_server import limits
from runindex_server.kv.api import ReadTxn, Store
from runindex_server.rpc import data_validate, templates_validate, validate
from runindex_server.rpc import templates_convert as convert
from runindex_server.rpc.digest import query_digest
from runindex_server.rpc.requests import conditions, request_key
from runindex_server.runs.page_token import PageTokens
from runindex_server.schema.run import RunId
from runindex_server.templates import creating, templates
from runindex_server.templates.templates import Page, PageRequest

T = TypeVar("T")


class RunTemplatesServicer:
    """`service RunTemplates`, over a store."""

    def __init__(self, store: Store, *, tokens: PageTokens, new_run_id: Callable[[], RunId]) -> None:
        """Take what the methods need.

        Args:
            store: Where templates and runs are.
            tokens: Of that store.
            new_run_id: Makes ids for runs that come without one.
        """
        self._store = store
        self._tokens = tokens
        self._new_run_id = new_run_id

    async def PutTemplate(self, request: pb.PutTemplateRequest) -> pb.PutTemplateResponse:
        draft, depends = templates_validate.template_draft(request), conditions(request)
        answer = await self._store.write(lambda txn: templates.put_template(txn, draft, depends))
        return convert.put_response(answer)

    async def GetTemplate(self, request: pb.GetTemplateRequest) -> bytes:
        name = templates_validate.name(request.name)
        template, revision = await self._read(lambda txn: templates.get_template(txn, name))
        return convert.get_response(template, revision)

    async def ListTemplates(self, request: pb.ListTemplatesRequest) -> bytes:
        prefix, asked = data_validate.name(request.prefix, field="prefix"), self._page_request(request)
        # A page may be large: it holds up the event loop longer than the way to a thread takes.
        page, revision = await self._read(
            lambda txn: templates.list_templates(txn, prefix, asked, convert.template), offload=True
        )
        token = self._next_page_token(request, page)
        response = pb.ListTemplatesResponse(next_page_token=token, revision=revision)
        return convert.page_response(page, response)

    async def DeleteTemplate(self, request: pb.DeleteTemplateRequest) -> pb.DeleteTemplateResponse:
        name, depends = templates_validate.name(request.name), conditions(request)
        answer = await self._store.write(lambda txn: templates.delete_template(txn, name, depends))
        return pb.DeleteTemplateResponse(revision=answer.revision)

    async def CreateRunFromTemplate(
        self, request: pb.CreateRunFromTemplateRequest
    ) -> pb.CreateRunFromTemplateResponse:
        create = partial(
            creating.create_run_from_template,
            name=templates_validate.name(request.name),
            draft=templates_validate.run_draft(request, self._new_run_id),
            request=request_key(request),
        )
        return convert.create_response(pb.CreateRunFromTemplateResponse, await self._store.write(create))

    async def CloneRun(self, request: pb.CloneRunRequest) -> pb.CloneRunResponse:
        clone = partial(
            creating.clone_run,
            source=validate.run_id(request.run_id),
            draft=templates_validate.copy_draft(request, self._new_run_id),
            request=request_key(request),
        )
        return convert.create_response(pb.CloneRunResponse, await self._store.write(clone))

    async def _read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> tuple[T, int]:
        """Return what `fn` returns, and the revision of the snapshot that it saw."""
        return await self._store.read(lambda txn: (fn(txn), txn.revision), offload=offload)

    def _page_request(self, request: pb.ListTemplatesRequest) -> PageRequest:
        """Return which page a request asks for.

        Raises:
            InvalidPageSize: As `validate.page_size`.
            InvalidPageToken: As `PageTokens.decode`.
        """
        size = validate.page_size(request.page_size, default=limits.PAGE_SIZE_DEFAULT)
        if not request.page_token:
            return PageRequest(size)
        return PageRequest(size, self._tokens.decode(query_digest(request), request.page_token).decode())

    def _next_page_token(self, request: pb.ListTemplatesRequest, page: Page) -> str:
        """Return the token of the page after one; empty at the end."""
        return "" if page.last is None else self._tokens.encode(query_digest(request), page.last.encode())
