"""Answers of the calls for templates and copies: to response messages, or to their wire form.

Metadata comes from the store in the wire form of its message and is joined as it is.
"""

from typing import Final, TypeVar

from runindex.v1 import templates_pb2 as pb
from runindex_server.rpc import convert
from runindex_server.rpc.convert import joined
from runindex_server.schema.answers import Answer
from runindex_server.schema.records import length_delimited, timestamp
from runindex_server.schema.run import run_id_text
from runindex_server.schema.templates import Template
from runindex_server.templates.templates import Page

_TEMPLATE_FIELD: Final = 1
"""The number of `template` and `templates` in both responses that have them; a test holds it."""

_METADATA_FIELD: Final = 7
"""The number of `metadata` in a template; a test holds it."""

CreateResponse = TypeVar("CreateResponse", pb.CreateRunFromTemplateResponse, pb.CloneRunResponse)


def template(template: Template) -> bytes:
    """Return a template as the wire form of `runindex.v1.RunTemplate`."""
    head = pb.RunTemplate(
        name=template.name,
        tags=template.tags,
        retention=None if template.retention is None else convert.retention_policy(template.retention),
        version=template.version,
        create_time=timestamp(template.create_us),
        update_time=timestamp(template.update_us),
    ).SerializeToString()
    if not template.metadata:
        return head
    return head + length_delimited(_METADATA_FIELD, template.metadata)


def get_response(found: Template, revision: int) -> bytes:
    """Return the wire form of the answer to GetTemplate."""
    return joined(_TEMPLATE_FIELD, [template(found)], pb.GetTemplateResponse(revision=revision))


def page_response(page: Page, response: pb.ListTemplatesResponse) -> bytes:
    """Return the wire form of a page, the rest of the response behind the templates."""
    return joined(_TEMPLATE_FIELD, page.templates, response)


def put_response(answer: Answer) -> pb.PutTemplateResponse:
    """Return the answer to a put."""
    return pb.PutTemplateResponse(
        version=answer.version, update_time=timestamp(answer.update_us), revision=answer.revision
    )


def create_response(response_class: type[CreateResponse], answer: Answer) -> CreateResponse:
    """Return the answer to what created a run."""
    return response_class(
        run_id=run_id_text(answer.run_id), create_time=timestamp(answer.update_us), revision=answer.revision
    )
