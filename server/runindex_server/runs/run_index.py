"""The 24 methods of RunIndex, in the order of the contract, each a function of one transaction.

What a method means is told in `protos/runindex/v1/run_index.proto`; here stands how it comes about. Arguments
have been checked: a function meets only what the store decides. Each lists its refusals in the order in which
they are decided; StoreCorrupt, when a row is damaged, and for mutations RequestIdReused and Overloaded, are
understood.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runindex_server.errors import RunNotFound
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.runs import lifecycle
from runindex_server.runs.bounds import merge_metadata, unite_tags
from runindex_server.runs.creation import Draft, admit_draft, drafted, write_draft
from runindex_server.runs.lifecycle import OPERATIONS
from runindex_server.runs.mutation import (
    Conditions,
    Guard,
    RequestKey,
    admit,
    change,
    load,
    recall,
    remember,
)
from runindex_server.runs.paging import Page, PageRequest, page_of
from runindex_server.runs.removal import remove_run
from runindex_server.runs.search_page import page_of_hits
from runindex_server.schema import keys, records
from runindex_server.schema.answers import Answer
from runindex_server.schema.run import (
    KEEP_ALL,
    RetentionPolicy,
    Run,
    RunId,
    RunState,
    RunView,
    run_id_text,
)
from runindex_server.search.index import SearchIndex, SearchRequest

ALL_STATES = tuple(RunState)
UNARCHIVED_STATES = tuple(state for state in RunState if state is not RunState.ARCHIVED)

DELETE = Guard(operation="delete", protects_default=True)
UPDATE_METADATA = Guard(operation="update metadata", frozen_when_archived=True)
ADD_TAGS = Guard(operation="add tags", frozen_when_archived=True)
REMOVE_TAGS = Guard(operation="remove tags", frozen_when_archived=True)
SET_RETENTION = Guard(operation="set retention")
SET_DELETE_AFTER = Guard(operation="set delete_after", protects_default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A run that was created: the wire form of `runindex.v1.Run`, and the revision that this made."""

    run: bytes
    revision: int


# Records.


def create_run(txn: WriteTxn, draft: Draft, request: RequestKey | None = None) -> Created:
    """Create a run, under a parent or as a root.

    Raises:
        RunAlreadyExists: A run has the id.
        ParentRunNotFound: No run has the parent's id.
    """
    answered = recall(txn, request)
    if answered is not None:
        run = records.run_message(drafted(draft, answered))
        return Created(run=run, revision=answered.revision)
    admit_draft(txn, draft)
    answer = write_draft(txn, draft, request)
    return Created(run=get_run(txn, draft.run_id, RunView.FULL), revision=answer.revision)


def get_run(txn: ReadTxn | WriteTxn, run_id: RunId, view: RunView) -> bytes:
    """Return a run as the wire form of `runindex.v1.Run`. Read-only.

    Raises:
        RunNotFound: No run has this id.
    """
    key = keys.run(run_id)
    value = txn.get(key)
    if value is None:
        raise RunNotFound(run_id_text(run_id))
    return records.view_message(key, value, view)


def list_runs(
    txn: ReadTxn, states: frozenset[RunState], page: PageRequest, *, include_archived: bool
) -> Page:
    """Return a page of the runs in some states, or of all. Read-only."""
    if states:
        return page_of(txn, [keys.by_state_range(state) for state in states], page)
    return page_of(txn, [keys.all_runs_range(archived=flag) for flag in _flags(include_archived)], page)


def run_exists(txn: ReadTxn, run_id: RunId) -> bool:
    """Return whether a run exists, in any state. Read-only."""
    return txn.get(keys.run(run_id)) is not None


def update_run_metadata(
    txn: WriteTxn, run_id: RunId, new_metadata: bytes, conditions: Conditions, *, merge: bool
) -> Answer:
    """Replace a run's metadata, or merge into it.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        VersionMismatch: Its version is not the expected one.
        LimitExceeded: The merged object would pass a bound of metadata.
    """

    def edit(run: Run) -> Run:
        merged = merge_metadata(run_id, run.metadata, new_metadata) if merge else new_metadata
        return run._replace(metadata=merged)

    return change(txn, run_id, conditions, UPDATE_METADATA, edit)


# Lifecycle. Each raises, in this order:
#   RunNotFound: No run has this id.
#   DefaultRunProtected: It is the default run.
#   VersionMismatch: Its version is not the expected one.
#   InvalidStateTransition: Its state does not lead there.


def close_run(txn: WriteTxn, run_id: RunId, conditions: Conditions) -> Answer:
    """Complete a run."""
    return _lead(txn, run_id, RunState.COMPLETED, conditions)


def pause_run(txn: WriteTxn, run_id: RunId, conditions: Conditions) -> Answer:
    """Pause a run."""
    return _lead(txn, run_id, RunState.PAUSED, conditions)


def resume_run(txn: WriteTxn, run_id: RunId, conditions: Conditions) -> Answer:
    """Resume a run."""
    return _lead(txn, run_id, RunState.ACTIVE, conditions)


def fail_run(txn: WriteTxn, run_id: RunId, error: str, conditions: Conditions) -> Answer:
    """Fail a run and keep why."""
    return _lead(txn, run_id, RunState.FAILED, conditions, error=error)


def cancel_run(txn: WriteTxn, run_id: RunId, conditions: Conditions) -> Answer:
    """Cancel a run."""
    return _lead(txn, run_id, RunState.CANCELLED, conditions)


def archive_run(txn: WriteTxn, run_id: RunId, conditions: Conditions) -> Answer:
    """Archive a run."""
    return _lead(txn, run_id, RunState.ARCHIVED, conditions)


def delete_run(txn: WriteTxn, run_id: RunId, conditions: Conditions) -> Answer:
    """Delete a run with all that it holds.

    Raises:
        RunNotFound: No run has this id.
        DefaultRunProtected: It is the default run.
        VersionMismatch: Its version is not the expected one.
    """
    answered = recall(txn, conditions.request)
    if answered is not None:
        return answered
    run = admit(txn, run_id, conditions, DELETE)
    revision = txn.next_revision()
    receipt = remove_run(txn, run, revision=revision)
    answer = Answer(run_id=run_id, version=0, revision=revision, update_us=0, receipt=receipt)
    remember(txn, conditions.request, answer)
    return answer


# Queries.


def query_runs_by_state(txn: ReadTxn, state: RunState, page: PageRequest) -> Page:
    """Return a page of the runs in a state. Read-only."""
    return page_of(txn, [keys.by_state_range(state)], page)


def query_runs_by_tag(txn: ReadTxn, tag: str, page: PageRequest, *, include_archived: bool) -> Page:
    """Return a page of the runs that carry a tag. Read-only."""
    return page_of(txn, [keys.by_tag_range(tag, archived=flag) for flag in _flags(include_archived)], page)


def count_runs(
    txn: ReadTxn, states: frozenset[RunState], *, include_archived: bool
) -> Mapping[RunState, int]:
    """Return how many runs are in each of some states, or of all, in the states' order. Read-only."""
    asked = sorted(states) or (ALL_STATES if include_archived else UNARCHIVED_STATES)
    return {state: txn.get_counter(keys.state_count(state)) for state in asked}


def search_runs(txn: ReadTxn, index: SearchIndex, search: SearchRequest, page: PageRequest) -> Page:
    """Return a page of the runs that match a query. Read-only.

    The page may end because the search's budget was spent; the next one then begins where it stopped.

    Raises:
        TooMuchWork: It takes more work than it may do.
    """
    found = index.search(txn, search)
    filled = page_of_hits(found, page)
    if filled.next_before is None and found.truncated_at is not None:
        filled.next_before = found.truncated_at
        filled.truncated = True
    return filled


# Tags.


def add_run_tags(txn: WriteTxn, run_id: RunId, tags: Sequence[str], conditions: Conditions) -> Answer:
    """Add tags to a run, after those that it has.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        VersionMismatch: Its version is not the expected one.
        LimitExceeded: It would carry too many.
    """
    return change(
        txn, run_id, conditions, ADD_TAGS, lambda run: run._replace(tags=unite_tags(run_id, run.tags, tags))
    )


def remove_run_tags(txn: WriteTxn, run_id: RunId, tags: Sequence[str], conditions: Conditions) -> Answer:
    """Remove tags from a run.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        VersionMismatch: Its version is not the expected one.
    """
    removed = frozenset(tags)

    def edit(run: Run) -> Run:
        return run._replace(tags=tuple(tag for tag in run.tags if tag not in removed))

    return change(txn, run_id, conditions, REMOVE_TAGS, edit)


def get_run_tags(txn: ReadTxn, run_id: RunId) -> tuple[str, ...]:
    """Return a run's tags, in the order in which they were added. Read-only.

    Raises:
        RunNotFound: No run has this id.
    """
    return load(txn, run_id).tags


# Hierarchy.


def create_child_run(txn: WriteTxn, draft: Draft, request: RequestKey | None = None) -> Created:
    """Create a run under a parent.

    Raises:
        RunAlreadyExists: A run has the id.
        ParentRunNotFound: No run has the parent's id.
    """
    return create_run(txn, draft, request)


def get_child_runs(txn: ReadTxn, parent: RunId, page: PageRequest, *, include_archived: bool) -> Page:
    """Return a page of the direct children of an id, known or not. Read-only."""
    listings = [keys.by_parent_range(parent, archived=flag) for flag in _flags(include_archived)]
    return page_of(txn, listings, page)


def get_parent_run(txn: ReadTxn, run_id: RunId) -> RunId | None:
    """Return the id of a run's parent, which may be gone; None for a root. Read-only.

    Raises:
        RunNotFound: No run has this id.
    """
    return load(txn, run_id).parent


# Retention.


def set_run_retention(
    txn: WriteTxn, run_id: RunId, policy: RetentionPolicy, conditions: Conditions
) -> Answer:
    """Set what is kept of a run. Removes nothing.

    Raises:
        RunNotFound: No run has this id.
        DefaultRunProtected: The default run would be deleted by the policy.
        VersionMismatch: Its version is not the expected one.
    """
    guard = SET_RETENTION if policy.delete_after_us is None else SET_DELETE_AFTER
    return change(txn, run_id, conditions, guard, lambda run: run._replace(retention=policy))


def get_run_retention(txn: ReadTxn, run_id: RunId) -> RetentionPolicy:
    """Return a run's own policy; the one that keeps everything when none was set. Read-only.

    Raises:
        RunNotFound: No run has this id.
    """
    return load(txn, run_id).retention or KEEP_ALL


def _lead(
    txn: WriteTxn, run_id: RunId, to_state: RunState, conditions: Conditions, *, error: str | None = None
) -> Answer:
    """Lead a run to a state, as the lifecycle calls do."""
    guard = Guard(operation=OPERATIONS[to_state], protects_default=True)
    return change(
        txn, run_id, conditions, guard, lambda run: lifecycle.transition(run, to_state, error=error)
    )


def _flags(include_archived: bool) -> tuple[bool, ...]:  # noqa: FBT001  # A flag turned into flags.
    """Return the archived flags of the listings to read."""
    return (False, True) if include_archived else (False,)
