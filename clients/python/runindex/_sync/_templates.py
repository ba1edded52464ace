# Made by `scripts/gen_sync_client.py` of `_async/_templates.py`, where changes are made.
"""Templates of runs, and copies of runs."""

from collections.abc import Iterable, Mapping
from typing import TypeVar, overload

from runindex._convert import change_of, page_fields, page_of, policy_of, tags_of, time_of
from runindex._convert_data import template_of
from runindex._errors import TemplateNotFound
from runindex._insight_types import Created, Template
from runindex._metadata import struct_of
from runindex._sync._calls import Caller
from runindex._sync._pages import Items, fetching
from runindex._types import MISSING, Change, Json, Missing, Retention, RunRef, id_of
from runindex.v1 import templates_pb2 as pb

D = TypeVar("D")


class Templates:
    """Templates of runs, and copies of runs. No run depends on what it was made from."""

    def __init__(self, calls: Caller) -> None:
        """Make calls through a connection."""
        self._calls = calls

    def put(
        self,
        name: str,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Json] | None = None,
        retention: Retention | None = None,
        expected_version: int | None = None,
        request_id: str | None = None,
    ) -> Change:
        """Write a template: create it, or replace it whole.

        Args:
            name: Its name: 1 to 128 bytes without control characters.
            tags: The tags of its runs.
            metadata: The metadata of its runs.
            retention: The retention policy of its runs; None for none of their own.
            expected_version: The version that it must have; 0 when there must be none.
            request_id: Replaces the one that is made for each call.

        Raises:
            InvalidArgument: The name is empty (FIELD_REQUIRED), or a bound of the retention wrong.
            InvalidField: The name cannot be one.
            InvalidTag: A tag cannot be one.
            InvalidMetadata: The metadata cannot be recorded.
            ReservedMetadataKey: A key begins with the reserved prefix.
            TemplateVersionMismatch: Its version is not the expected one.
        """
        response = self._calls.unary(
            lambda: pb.PutTemplateRequest(
                name=name,
                tags=tags_of(tags),
                metadata=struct_of(metadata),
                retention=None if retention is None else policy_of(retention),
                expected_version=expected_version,
                request_id=request_id,
            ),
            pb.PutTemplateResponse,
        )
        return change_of(response)

    @overload
    def get(self, name: str) -> Template: ...
    @overload
    def get(self, name: str, default: D) -> Template | D: ...
    def get(self, name: str, default: D | Missing = MISSING) -> Template | D:
        """Return a template.

        Args:
            name: Its name.
            default: What to return when there is none, instead of an error.

        Raises:
            TemplateNotFound: There is none, and no default.
        """
        try:
            response = self._calls.unary(lambda: pb.GetTemplateRequest(name=name), pb.GetTemplateResponse)
        except TemplateNotFound:
            if isinstance(default, Missing):
                raise
            return default
        return template_of(response.template)

    def all(
        self, prefix: str = "", *, limit: int | None = None, page_size: int | None = None
    ) -> Items[Template]:
        """Return the templates whose names have a prefix, by the bytes of their names."""
        fetch = fetching(
            self._calls,
            lambda page: pb.ListTemplatesRequest(prefix=prefix, **page_fields(page)),
            pb.ListTemplatesResponse,
            lambda answer: page_of(map(template_of, answer.templates), answer),
        )
        return Items(fetch, limit=limit, page_size=page_size)

    def delete(self, name: str, *, expected_version: int | None = None, request_id: str | None = None) -> int:
        """Delete a template; runs that were created from it stay as they are. Return the revision.

        Raises:
            TemplateNotFound: There is none.
            TemplateVersionMismatch: Its version is not the expected one.
        """
        response = self._calls.unary(
            lambda: pb.DeleteTemplateRequest(
                name=name, expected_version=expected_version, request_id=request_id
            ),
            pb.DeleteTemplateResponse,
        )
        return response.revision

    def create_run(
        self,
        name: str,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Json] | None = None,
        parent: RunRef | None = None,
        run_id: str | None = None,
        retention: Retention | None = None,
        request_id: str | None = None,
    ) -> Created:
        """Create a run from a template.

        Args:
            name: The template's name.
            tags: Added to the template's.
            metadata: Merged into the template's by RFC 7396: None removes its key.
            parent: The run under which to create it; None for a root.
            run_id: The id to use, a UUID; the server makes one when None.
            retention: Instead of the template's.
            request_id: Replaces the one that is made for each call.

        Raises:
            InvalidRunId: The id, or the parent's, is no UUID.
            InvalidTag: A tag cannot be one.
            InvalidMetadata: The metadata cannot be recorded.
            ReservedMetadataKey: A key begins with the reserved prefix.
            TemplateNotFound: There is no such template.
            RunAlreadyExists: A run has this id.
            ParentRunNotFound: No run has the parent's id.
            LimitExceeded: There would be too many tags, or too much metadata.
        """
        response = self._calls.unary(
            lambda: pb.CreateRunFromTemplateRequest(
                name=name,
                tags=tags_of(tags),
                metadata=struct_of(metadata),
                parent_run_id=None if parent is None else id_of(parent),
                run_id=run_id,
                retention=None if retention is None else policy_of(retention),
                request_id=request_id,
            ),
            pb.CreateRunFromTemplateResponse,
        )
        return Created(response.run_id, time_of(response.create_time), response.revision)

    def clone(
        self,
        run: RunRef,
        *,
        metadata: Mapping[str, Json] | None = None,
        new_run_id: str | None = None,
        request_id: str | None = None,
    ) -> Created:
        """Copy a run in any state to a new one: its tags, metadata and retention, and nothing else.

        Args:
            run: The run to copy.
            metadata: Merged into its own by RFC 7396: None removes its key.
            new_run_id: The id of the copy, a UUID; the server makes one when None.
            request_id: Replaces the one that is made for each call.

        Raises:
            InvalidRunId: An id is no UUID.
            InvalidMetadata: The metadata cannot be recorded.
            ReservedMetadataKey: A key begins with the reserved prefix.
            RunNotFound: There is no such run.
            RunAlreadyExists: A run has the new id.
            LimitExceeded: There would be too much metadata.
        """
        response = self._calls.unary(
            lambda: pb.CloneRunRequest(
                run_id=id_of(run), metadata=struct_of(metadata), new_run_id=new_run_id, request_id=request_id
            ),
            pb.CloneRunResponse,
        )
        return Created(response.run_id, time_of(response.create_time), response.revision)
