"""What one run holds: state cells and JSON documents."""

from typing import TypeVar

from runindex._async._calls import AsyncCaller
from runindex._async._pages import AsyncItems, fetching
from runindex._convert import page_fields, page_of
from runindex._convert_data import cell_item, document_item, written_of
from runindex._data_types import Item, Value, Written
from runindex._errors import DocumentNotFound, PointerNotFound, StateNotFound
from runindex._metadata import data_value_of, json_value_of
from runindex._types import MISSING, Json, Missing
from runindex.v1 import run_data_pb2 as pb

D = TypeVar("D")


class AsyncCells:
    """The state cells and JSON documents of one run."""

    def __init__(self, calls: AsyncCaller, run_id: str) -> None:
        """Make calls about one run."""
        self._calls = calls
        self.run_id = run_id

    async def set_state(
        self, cell: str, value: Value, *, expected_version: int | None = None, request_id: str | None = None
    ) -> Written:
        """Set a state cell.

        Raises:
            InvalidField: The name or the value cannot be one.
            RunNotFound: There is no such run.
            RunArchived: It is frozen.
            VersionMismatch: The version is not the expected one.
        """
        response = await self._calls.unary(
            lambda: pb.SetStateRequest(
                run_id=self.run_id,
                cell=cell,
                value=data_value_of(value),
                expected_version=expected_version,
                request_id=request_id,
            ),
            pb.SetStateResponse,
        )
        return written_of(response)

    async def compare_and_set(
        self, cell: str, expected: Value | Missing, value: Value, *, request_id: str | None = None
    ) -> Written:
        """Set a state cell only while it holds the expected value.

        Args:
            cell: Its name.
            expected: What it must hold; `MISSING` when it must not have been set yet.
            value: What to set.
            request_id: Replaces the one that is made for each call.

        Raises:
            InvalidField: The name or a value cannot be one.
            RunNotFound: There is no such run.
            RunArchived: It is frozen.
            ValueMismatch: It holds something else.
        """
        response = await self._calls.unary(
            lambda: pb.CompareAndSetStateRequest(
                run_id=self.run_id,
                cell=cell,
                expected=None if isinstance(expected, Missing) else data_value_of(expected, "expected"),
                value=data_value_of(value),
                request_id=request_id,
            ),
            pb.CompareAndSetStateResponse,
        )
        return written_of(response)

    async def get_state(self, cell: str, default: D | Missing = MISSING) -> Value | D:
        """Return what a state cell holds.

        Args:
            cell: Its name.
            default: What to return when it was never set, instead of an error.

        Raises:
            RunNotFound: There is no such run.
            StateNotFound: It was never set, and there is no default.
        """
        try:
            return (await self.get_state_item(cell)).value
        except StateNotFound:
            if isinstance(default, Missing):
                raise
            return default

    async def get_state_item(self, cell: str, *, version: int | None = None) -> Item:
        """Return a state cell with its version, or one of its earlier versions.

        Raises:
            RunNotFound: There is no such run.
            StateNotFound: It was never set, or no such version is kept.
        """
        response = await self._calls.unary(
            lambda: pb.GetStateRequest(run_id=self.run_id, cell=cell, version=version), pb.GetStateResponse
        )
        return cell_item(response.item)

    def states(
        self,
        prefix: str = "",
        *,
        with_values: bool = True,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> AsyncItems[Item]:
        """Return the state cells, by the bytes of their names, with their values or without."""
        fetch = fetching(
            self._calls,
            lambda page: pb.ListStatesRequest(
                run_id=self.run_id, prefix=prefix, names_only=not with_values, **page_fields(page)
            ),
            pb.ListStatesResponse,
            lambda answer: page_of(map(cell_item, answer.items), answer),
        )
        return AsyncItems(fetch, limit=limit, page_size=page_size)

    async def set_document(
        self,
        document: str,
        value: Json,
        *,
        pointer: str = "",
        expected_version: int | None = None,
        request_id: str | None = None,
    ) -> Written:
        """Write a JSON document, or the place in it that a JSON pointer names.

        Raises:
            InvalidField: The name, the pointer or the value cannot be one.
            RunNotFound: There is no such run.
            RunArchived: It is frozen.
            DocumentNotFound: There is no document that has the place.
            VersionMismatch: The version is not the expected one.
            PointerNotFound: The place's parent is not there.
            LimitExceeded: The whole document would be too large.
        """
        response = await self._calls.unary(
            lambda: pb.SetDocumentRequest(
                run_id=self.run_id,
                document=document,
                pointer=pointer,
                value=json_value_of(value),
                expected_version=expected_version,
                request_id=request_id,
            ),
            pb.SetDocumentResponse,
        )
        return written_of(response)

    async def merge_document(
        self,
        document: str,
        patch: Json,
        *,
        expected_version: int | None = None,
        request_id: str | None = None,
    ) -> Written:
        """Merge a patch into a JSON document by RFC 7396, where None removes its member.

        Raises:
            InvalidField: The name or the patch cannot be one.
            RunNotFound: There is no such run.
            RunArchived: It is frozen.
            VersionMismatch: The version is not the expected one.
            LimitExceeded: The whole document would be too large.
        """
        response = await self._calls.unary(
            lambda: pb.MergeDocumentRequest(
                run_id=self.run_id,
                document=document,
                patch=json_value_of(patch, "patch"),
                expected_version=expected_version,
                request_id=request_id,
            ),
            pb.MergeDocumentResponse,
        )
        return written_of(response)

    async def get_document(
        self, document: str, default: D | Missing = MISSING, *, pointer: str = ""
    ) -> Json | D:
        """Return a JSON document, or the place in it that a JSON pointer names.

        Args:
            document: Its name.
            default: What to return when it, or the place, is not there, instead of an error.
            pointer: The place; empty for the whole document.

        Raises:
            RunNotFound: There is no such run.
            DocumentNotFound: There is no such document, and no default.
            PointerNotFound: It has no such place, and there is no default.
        """
        try:
            return (await self.get_document_item(document, pointer=pointer)).value
        except (DocumentNotFound, PointerNotFound):
            if isinstance(default, Missing):
                raise
            return default

    async def get_document_item(
        self, document: str, *, pointer: str = "", version: int | None = None
    ) -> Item:
        """Return a JSON document, or a place in it, with its version, or in one of its earlier versions.

        Raises:
            RunNotFound: There is no such run.
            DocumentNotFound: There is no such document, or no such version is kept.
            PointerNotFound: It has no such place.
        """
        response = await self._calls.unary(
            lambda: pb.GetDocumentRequest(
                run_id=self.run_id, document=document, pointer=pointer, version=version
            ),
            pb.GetDocumentResponse,
        )
        return document_item(response.item)

    async def delete_document(
        self,
        document: str,
        *,
        pointer: str = "",
        expected_version: int | None = None,
        request_id: str | None = None,
    ) -> Written:
        """Delete a JSON document, or a member or element of it; either is a version.

        Raises:
            RunNotFound: There is no such run.
            RunArchived: It is frozen.
            DocumentNotFound: There is no such document.
            VersionMismatch: The version is not the expected one.
            PointerNotFound: It has no such place.
        """
        response = await self._calls.unary(
            lambda: pb.DeleteDocumentRequest(
                run_id=self.run_id,
                document=document,
                pointer=pointer,
                expected_version=expected_version,
                request_id=request_id,
            ),
            pb.DeleteDocumentResponse,
        )
        return written_of(response)

    def documents(
        self,
        prefix: str = "",
        *,
        with_values: bool = True,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> AsyncItems[Item]:
        """Return the JSON documents, by the bytes of their names, with their values or without."""
        fetch = fetching(
            self._calls,
            lambda page: pb.ListDocumentsRequest(
                run_id=self.run_id, prefix=prefix, names_only=not with_values, **page_fields(page)
            ),
            pb.ListDocumentsResponse,
            lambda answer: page_of(map(document_item, answer.items), answer),
        )
        return AsyncItems(fetch, limit=limit, page_size=page_size)
