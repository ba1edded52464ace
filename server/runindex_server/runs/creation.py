"""How runs come about: what is asked for, whether it can be, and the record that it becomes."""

from dataclasses import dataclass

from runindex_server.errors import ParentRunNotFound, RunAlreadyExists
from runindex_server.kv.api import WriteTxn
from runindex_server.runs.mutation import RequestKey, minute_of, remember
from runindex_server.schema import keys
from runindex_server.schema.answers import Answer
from runindex_server.schema.derive import write_run
from runindex_server.schema.run import RetentionPolicy, Run, RunId, RunState, run_id_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A run that is asked for.

    Attributes:
        run_id: The id that it shall have.
        tags: Without duplicates.
        metadata: The encoding of an object; empty for none.
        parent: The run under which it is created; None for a root.
        retention: Its own policy; None for none.
        cloned_from: The run from which it is copied; None for any other.
        creator: Who asks; empty where callers are not told apart.
    """

    run_id: RunId
    tags: tuple[str, ...] = ()
    metadata: bytes = b""
    parent: RunId | None = None
    retention: RetentionPolicy | None = None
    cloned_from: RunId | None = None
    creator: str = ""


def admit_draft(txn: WriteTxn, draft: Draft) -> None:
    """Check that a run can be created. Read-only.

    Raises:
        RunAlreadyExists: A run has the id.
        ParentRunNotFound: No run has the parent's id.
    """
    if txn.get(keys.run(draft.run_id)) is not None:
        raise RunAlreadyExists(run_id_text(draft.run_id))
    if draft.parent is not None and txn.get(keys.run(draft.parent)) is None:
        raise ParentRunNotFound(run_id_text(draft.parent))


def write_draft(txn: WriteTxn, draft: Draft, request: RequestKey | None) -> Answer:
    """Create a run that was admitted, and answer.

    A policy of its own comes with its record. It holds nothing yet that retention would have to look at.
    """
    answer = Answer(
        run_id=draft.run_id,
        version=1,
        revision=txn.next_revision(),
        update_us=txn.issue_time_us(strictly_later=True),
    )
    write_run(txn, None, drafted(draft, answer, ordinal=txn.next_ordinal()), revision=answer.revision)
    remember(txn, request, answer)
    return answer


def drafted(draft: Draft, answer: Answer, *, ordinal: int = 0) -> Run:
    """Return the run that a draft becomes, or became: with the small numbers of its answer."""
    return Run(
        run_id=answer.run_id,
        ordinal=ordinal,
        generation=ordinal,
        state=RunState.ACTIVE,
        version=answer.version,
        revision=answer.revision,
        create_us=answer.update_us,
        update_us=answer.update_us,
        tags=draft.tags,
        parent=draft.parent,
        metadata=draft.metadata,
        retention=draft.retention,
        cloned_from=draft.cloned_from,
        creator=draft.creator,
        activity_us=minute_of(answer.update_us),
    )
