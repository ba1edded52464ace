"""Answers of calls for templates: what is joined byte by byte is what the messages would be."""

from typing import Any

import pytest

from runindex.v1 import run_index_pb2 as index_pb
from runindex.v1 import templates_pb2 as pb
from runindex_server.rpc import templates_convert as convert
from runindex_server.schema.records import timestamp
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy
from runindex_server.schema.templates import Template
from runindex_server.templates.templates import Page
from tests.support.calls import struct

CREATE_US = 1_772_366_430_123_456
METADATA = struct({"k": "x" * 300})


def template(**content: Any) -> Template:
    whole: dict[str, Any] = {"tags": (), "metadata": b"", "retention": None, **content}
    return Template(name="n", version=300, create_us=CREATE_US, update_us=CREATE_US + 1, **whole)


def expected(**content: Any) -> pb.RunTemplate:
    times = {"create_time": timestamp(CREATE_US), "update_time": timestamp(CREATE_US + 1)}
    return pb.RunTemplate(name="n", version=300, **times, **content)


CASES: list[tuple[Template, pb.RunTemplate]] = [
    (template(), expected()),
    (template(tags=("b", "a")), expected(tags=["b", "a"])),
    (template(metadata=METADATA.SerializeToString()), expected(metadata=METADATA)),
    (
        template(retention=KEEP_ALL),
        expected(retention=index_pb.RetentionPolicy(keep_all=index_pb.KeepAll())),
    ),
    (
        template(retention=RetentionPolicy(delete_after_us=1_500_000)),
        expected(retention=index_pb.RetentionPolicy(delete_after={"seconds": 1, "nanos": 500_000_000})),
    ),
]


@pytest.mark.parametrize(("stored", "sent"), CASES)
def test_a_template(stored: Template, sent: pb.RunTemplate) -> None:
    assert pb.RunTemplate.FromString(convert.template(stored)) == sent
    assert len(convert.template(stored)) == sent.ByteSize()


def test_responses() -> None:
    stored, sent = CASES[2]
    page = Page([convert.template(stored)] * 2, "n")
    response = pb.ListTemplatesResponse(next_page_token="x", revision=7)

    assert pb.GetTemplateResponse.FromString(convert.get_response(stored, 7)) == pb.GetTemplateResponse(
        template=sent, revision=7
    )
    assert pb.ListTemplatesResponse.FromString(
        convert.page_response(page, response)
    ) == pb.ListTemplatesResponse(templates=[sent, sent], next_page_token="x", revision=7)


@pytest.mark.parametrize(
    ("message", "field", "number"),
    [
        (pb.GetTemplateResponse, "template", convert._TEMPLATE_FIELD),
        (pb.ListTemplatesResponse, "templates", convert._TEMPLATE_FIELD),
        (pb.RunTemplate, "metadata", convert._METADATA_FIELD),
    ],
)
def test_numbers_are_those_of_the_contract(message: Any, field: str, number: int) -> None:
    assert message.DESCRIPTOR.fields_by_name[field].number == number
