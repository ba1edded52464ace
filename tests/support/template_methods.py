"""The 6 methods of RunTemplates as a table, for each a call that does something, and short calls of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from runindex.v1 import run_index_pb2 as index_pb
from runindex.v1 import templates_pb2 as pb
from runindex.v1 import templates_pb2_grpc as pb_grpc
from tests.support import calls
from tests.support.calls import Stub

Templates = pb_grpc.RunTemplatesStub

SERVICE: Final = "runindex.v1.RunTemplates"

READS: Final = ("GetTemplate", "ListTemplates")
CREATES: Final = ("CreateRunFromTemplate", "CloneRun")
MUTATIONS: Final = ("PutTemplate", "DeleteTemplate", *CREATES)
METHODS: Final = (*READS, *MUTATIONS)

SOURCE: Final = "11111111-2222-4333-8444-555555555510"
"""The run that `target` creates to be copied."""

KEEP_ALL: Final = index_pb.RetentionPolicy(keep_all=index_pb.KeepAll())
KEEP_2: Final = index_pb.RetentionPolicy(keep_latest_n=2)
KEEP_MINUTE: Final = index_pb.RetentionPolicy(keep_duration={"seconds": 60})
DELETE_AFTER_MINUTE: Final = index_pb.RetentionPolicy(delete_after={"seconds": 60})
POLICIES: Final = (KEEP_ALL, KEEP_2, KEEP_MINUTE, DELETE_AFTER_MINUTE)

MERGES: Final[tuple[tuple[Any, Any, Any], ...]] = (
    ({"a": "b"}, None, {"a": "b"}),
    (None, None, None),
    (None, {"a": 1, "b": {"c": None, "d": 2}}, {"a": 1, "b": {"d": 2}}),
    (None, {"a": None}, None),
    ({"a": "b"}, {}, {"a": "b"}),
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, None),
    ({"a": "b", "b": "c"}, {"a": None, "z": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": ["c", None]}, {"a": ["c", None]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": {"b": 1, "c": {"d": 2, "e": 3}}}, {"a": {"c": {"d": None}}}, {"a": {"b": 1, "c": {"e": 3}}}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({"a": "foo"}, {"a": {"b": {"c": None, "d": 1}}}, {"a": {"b": {"d": 1}}}),
)
"""Metadata, a patch of it, and what both come to by RFC 7396; None for none."""

_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "PutTemplate": {"name": "t", "tags": ["another"]},
    "GetTemplate": {"name": "t"},
    "DeleteTemplate": {"name": "t"},
    "CreateRunFromTemplate": {"name": "t", "tags": ["another"]},
    "CloneRun": {"run_id": SOURCE, "metadata": calls.struct({"text": "another"})},
}
"""What a request needs."""


def request_type(name: str) -> Callable[..., Any]:
    """Return a method's request message."""
    kind: Callable[..., Any] = getattr(pb, f"{name}Request")
    return kind


def build(name: str, /, **fields: Any) -> Any:
    """Return a request that is right after `target`, with further fields set or replaced.

    A field that is None is left out.
    """
    return request_type(name)(**{**_FIELDS.get(name, {}), **fields})


def target(stub: Stub, templates: Templates) -> None:
    """Write the template `t` and create the run SOURCE, both with tags, metadata and a policy."""
    put(templates, tags=["old"], metadata={"text": "word"}, retention=KEEP_2)
    calls.create(stub, run_id=SOURCE, tags=["old"], metadata={"text": "word"})
    calls.set_retention(stub, SOURCE, KEEP_2)


def call(templates: Templates, name: str, request: Message) -> Any:
    """Call a method by its name."""
    return getattr(templates, name)(request)


def raw(channel: grpc.Channel, name: str) -> Callable[[bytes], Any]:
    """Return what sends bytes as the request of a method, and decodes the answer."""
    answer = getattr(pb, f"{name}Response")
    return channel.unary_unary(
        f"/{SERVICE}/{name}", request_serializer=bytes, response_deserializer=answer.FromString
    )


def put(
    templates: Templates,
    name: str = "t",
    *,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    retention: index_pb.RetentionPolicy | None = None,
    **fields: Any,
) -> pb.PutTemplateResponse:
    """Write a template."""
    given = None if metadata is None else calls.struct(metadata)
    request = pb.PutTemplateRequest(name=name, tags=tags, metadata=given, retention=retention, **fields)
    return templates.PutTemplate(request)


def get(templates: Templates, name: str = "t") -> pb.RunTemplate:
    """Return a template."""
    return templates.GetTemplate(pb.GetTemplateRequest(name=name)).template


def delete(templates: Templates, name: str = "t", **fields: Any) -> pb.DeleteTemplateResponse:
    """Delete a template."""
    return templates.DeleteTemplate(pb.DeleteTemplateRequest(name=name, **fields))


def list_all(templates: Templates, prefix: str = "") -> list[pb.RunTemplate]:
    """Return the templates whose names begin so, which must go on one page."""
    answer = templates.ListTemplates(pb.ListTemplatesRequest(prefix=prefix, page_size=1_000))
    assert answer.next_page_token == ""
    return list(answer.templates)


def create_from(
    templates: Templates,
    name: str = "t",
    *,
    metadata: Mapping[str, Any] | None = None,
    **fields: Any,
) -> pb.CreateRunFromTemplateResponse:
    """Create a run from a template."""
    given = None if metadata is None else calls.struct(metadata)
    return templates.CreateRunFromTemplate(
        pb.CreateRunFromTemplateRequest(name=name, metadata=given, **fields)
    )


def clone(
    templates: Templates, run_id: str, *, metadata: Mapping[str, Any] | None = None, **fields: Any
) -> pb.CloneRunResponse:
    """Copy a run."""
    given = None if metadata is None else calls.struct(metadata)
    return templates.CloneRun(pb.CloneRunRequest(run_id=run_id, metadata=given, **fields))


def everything(stub: Stub, templates: Templates) -> list[Any]:
    """Return all that a caller can see of templates and runs, and the store's revision."""
    runs = stub.ListRuns(index_pb.ListRunsRequest(include_archived=True))
    policies = [calls.get_retention(stub, run.run_id) for run in runs.runs]
    return [runs.revision, list(runs.runs), policies, list_all(templates)]
