"""Arguments of the calls for templates and copies, checked; beside `validate`, and in its manner."""

from collections.abc import Callable

from runindex.v1 import templates_pb2 as pb
from runindex_server.errors import FieldRequired
from runindex_server.rpc import data_validate, validate
from runindex_server.rpc.admission import CALLER
from runindex_server.runs.creation import Draft
from runindex_server.schema.run import RetentionPolicy, RunId
from runindex_server.templates.templates import TemplateDraft


def name(text: str) -> str:
    """Return the name of a template.

    Raises:
        FieldRequired: It is empty.
        InvalidField: It is too long, or holds a control character.
    """
    if not text:
        raise FieldRequired("name")
    return data_validate.name(text, field="name")


def template_draft(request: pb.PutTemplateRequest) -> TemplateDraft:
    """Return the template that a request writes.

    Raises:
        FieldRequired, InvalidField: As `name`.
        InvalidTag, InvalidMetadata, ReservedMetadataKey, InvalidRetentionPolicy: As in `validate`.
    """
    return TemplateDraft(
        name=name(request.name),
        tags=validate.tags(request.tags),
        metadata=validate.metadata_object(request.metadata),
        retention=_retention(request),
    )


def run_draft(request: pb.CreateRunFromTemplateRequest, new_run_id: Callable[[], RunId]) -> Draft:
    """Return what a request asks of a run beside what its template gives.

    Raises:
        InvalidRunId, InvalidTag, InvalidMetadata, ReservedMetadataKey, InvalidRetentionPolicy: As in
            `validate`.
    """
    return Draft(
        run_id=validate.run_id(request.run_id) if request.HasField("run_id") else new_run_id(),
        parent=(
            validate.run_id(request.parent_run_id, field="parent_run_id")
            if request.HasField("parent_run_id")
            else None
        ),
        tags=validate.tags(request.tags),
        metadata=validate.metadata_object(request.metadata),
        retention=_retention(request),
        creator=CALLER.get().name,
    )


def copy_draft(request: pb.CloneRunRequest, new_run_id: Callable[[], RunId]) -> Draft:
    """Return what a request asks of a copy beside what its source gives.

    Raises:
        InvalidRunId, InvalidMetadata, ReservedMetadataKey: As in `validate`.
    """
    return Draft(
        run_id=(
            validate.run_id(request.new_run_id, field="new_run_id")
            if request.HasField("new_run_id")
            else new_run_id()
        ),
        metadata=validate.metadata_object(request.metadata),
        creator=CALLER.get().name,
    )


def _retention(request: pb.PutTemplateRequest | pb.CreateRunFromTemplateRequest) -> RetentionPolicy | None:
    """Return the policy that a request names; None when it names none.

    Raises:
        InvalidRetentionPolicy: As `validate.retention_policy`.
    """
    if not request.HasField("retention"):
        return None
    return validate.retention_policy(request.retention, field="retention")
