"""RunTemplates' calls that create runs, in the contract's order, each a function of one transaction.

Template and source are read once, in the write itself. Arguments have been checked; each function lists its
refusals in the order in which they are decided. StoreCorrupt, when a row is damaged, RequestIdReused and
Overloaded are understood.
"""

from dataclasses import replace

from runindex_server.kv.api import WriteTxn
from runindex_server.runs.bounds import merge_metadata, unite_tags
from runindex_server.runs.creation import Draft, admit_draft, write_draft
from runindex_server.runs.mutation import RequestKey, load, recall
from runindex_server.schema.answers import Answer
from runindex_server.schema.run import RunId
from runindex_server.templates.templates import get_template


def create_run_from_template(txn: WriteTxn, name: str, draft: Draft, request: RequestKey | None) -> Answer:
    """Create a run from a template.

    Args:
        txn: The write.
        name: The template's.
        draft: The run's id and parent, and what goes beyond the template: a patch of its metadata, tags
            after its own, a policy instead of its own.
        request: What makes it safe to retry; None when it is not.

    Raises:
        TemplateNotFound: There is no template of this name.
        RunAlreadyExists: A run has the id.
        ParentRunNotFound: No run has the parent's id.
        LimitExceeded: The run would carry too many tags, or the merged object would pass a bound of metadata.
    """
    answered = recall(txn, request)
    if answered is not None:
        return answered
    template = get_template(txn, name)
    admit_draft(txn, draft)
    whole = replace(
        draft,
        tags=unite_tags(draft.run_id, template.tags, draft.tags),
        metadata=merge_metadata(draft.run_id, template.metadata, draft.metadata),
        retention=template.retention if draft.retention is None else draft.retention,
    )
    return write_draft(txn, whole, request)


def clone_run(txn: WriteTxn, source: RunId, draft: Draft, request: RequestKey | None) -> Answer:
    """Copy a run.

    Args:
        txn: The write.
        source: The run.
        draft: The copy's id, and a patch of the source's metadata.
        request: What makes it safe to retry; None when it is not.

    Raises:
        RunNotFound: No run has the source's id.
        RunAlreadyExists: A run has the copy's id.
        LimitExceeded: The merged object would pass a bound of metadata.
    """
    answered = recall(txn, request)
    if answered is not None:
        return answered
    run = load(txn, source)
    admit_draft(txn, draft)
    whole = replace(
        draft,
        tags=run.tags,
        metadata=merge_metadata(draft.run_id, run.metadata, draft.metadata),
        retention=run.retention,
        cloned_from=run.run_id,
    )
    return write_draft(txn, whole, request)
