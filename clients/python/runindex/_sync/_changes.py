# Made by `scripts/gen_sync_client.py` of `_async/_changes.py`, where changes are made.
"""The calls of RunIndex that write."""

from collections.abc import Iterable, Mapping

from runindex._convert import change_of, policy_of, receipt_of, run_of, tags_of
from runindex._metadata import struct_of
from runindex._outcome import error_text
from runindex._sync._calls import Calls
from runindex._types import Change, DeleteReceipt, Json, Retention, Run, RunRef, id_of
from runindex.v1 import run_index_pb2 as pb


class Changes:
    """Creates, changes and deletes runs.

    What all methods take: `expected_version` makes a change conditional on the run's version
    (`VersionMismatch`), and `request_id` replaces the one that is made for each call, for callers who make a
    call again after they have been restarted.
    """

    def __init__(self, calls: Calls) -> None:
        """Make calls through a connection."""
        self._calls = calls

    def create(
        self,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Json] | None = None,
        parent: RunRef | None = None,
        run_id: str | None = None,
        request_id: str | None = None,
    ) -> Run:
        """Create a run: ACTIVE, a root or under a parent. It ends when it is told to; see `run` for blocks.

        Args:
            tags: At most 64, each 1 to 128 bytes without control characters.
            metadata: What JSON has, at most 64 KiB; ints up to 2**53.
            parent: The run under which to create it, in any state; None for a root.
            run_id: The id to use, a UUID; the server makes one when None.
            request_id: See `Changes`.

        Raises:
            InvalidRunId: The id, or the parent's, is no UUID.
            InvalidTag: A tag cannot be one.
            InvalidMetadata: The metadata cannot be recorded; before the call when it would be changed.
            ReservedMetadataKey: A key begins with the reserved prefix.
            RunAlreadyExists: A run has this id.
            ParentRunNotFound: No run has the parent's id.
        """
        if parent is None:
            root = self._calls.unary(
                lambda: pb.CreateRunRequest(
                    run_id=run_id, metadata=struct_of(metadata), tags=tags_of(tags), request_id=request_id
                ),
                pb.CreateRunResponse,
            )
            return run_of(root.run)
        child = self._calls.unary(
            lambda: pb.CreateChildRunRequest(
                parent_run_id=id_of(parent),
                run_id=run_id,
                metadata=struct_of(metadata),
                tags=tags_of(tags),
                request_id=request_id,
            ),
            pb.CreateChildRunResponse,
        )
        return run_of(child.run)

    def update_metadata(
        self,
        run: RunRef,
        metadata: Mapping[str, Json],
        *,
        merge: bool = True,
        expected_version: int | None = None,
        request_id: str | None = None,
    ) -> Change:
        """Merge into a run's metadata by RFC 7396, where None removes its key; or replace all of it.

        Raises:
            InvalidRunId: It is no UUID.
            InvalidMetadata: The metadata cannot be recorded.
            ReservedMetadataKey: A key begins with the reserved prefix.
            RunNotFound: There is no such run.
            RunArchived: It is frozen.
            VersionMismatch: Its version is not the expected one.
            LimitExceeded: The merged object is too large.
        """
        response = self._calls.unary(
            lambda: pb.UpdateRunMetadataRequest(
                run_id=id_of(run),
                metadata=struct_of(metadata),
                merge=merge,
                expected_version=expected_version,
                request_id=request_id,
            ),
            pb.UpdateRunMetadataResponse,
        )
        return change_of(response)

    def close_run(
        self, run: RunRef, *, expected_version: int | None = None, request_id: str | None = None
    ) -> Change:
        """Complete a run successfully: from ACTIVE to COMPLETED.

        Raises:
            InvalidRunId: It is no UUID.
            RunNotFound: There is no such run.
            DefaultRunProtected: It is the default run.
            VersionMismatch: Its version is not the expected one.
            InvalidTransition: It is in another state.
        """
        response = self._calls.unary(
            lambda: pb.CloseRunRequest(
                run_id=id_of(run), expected_version=expected_version, request_id=request_id
            ),
            pb.CloseRunResponse,
        )
        return change_of(response)

    def fail(
        self,
        run: RunRef,
        error: str | BaseException,
        *,
        expected_version: int | None = None,
        request_id: str | None = None,
    ) -> Change:
        """Fail a run and keep why: from ACTIVE to FAILED.

        Args:
            run: The run.
            error: Why: text of 1 byte to 16 KiB, or an exception, whose text is cut to that.
            expected_version: See `Changes`.
            request_id: See `Changes`.

        Raises:
            InvalidRunId: It is no UUID.
            InvalidArgument: The error is empty (FIELD_REQUIRED).
            InvalidField: The error is too long.
            RunNotFound: There is no such run.
            DefaultRunProtected: It is the default run.
            VersionMismatch: Its version is not the expected one.
            InvalidTransition: It is in another state.
        """
        response = self._calls.unary(
            lambda: pb.FailRunRequest(
                run_id=id_of(run),
                error=error if isinstance(error, str) else error_text(error),
                expected_version=expected_version,
                request_id=request_id,
            ),
            pb.FailRunResponse,
        )
        return change_of(response)

    def cancel(
        self, run: RunRef, *, expected_version: int | None = None, request_id: str | None = None
    ) -> Change:
        """Cancel a run: from ACTIVE or PAUSED to CANCELLED. Fails as `close_run` does."""
        response = self._calls.unary(
            lambda: pb.CancelRunRequest(
                run_id=id_of(run), expected_version=expected_version, request_id=request_id
            ),
            pb.CancelRunResponse,
        )
        return change_of(response)

    def pause(
        self, run: RunRef, *, expected_version: int | None = None, request_id: str | None = None
    ) -> Change:
        """Pause a run: from ACTIVE to PAUSED. Fails as `close_run` does."""
        response = self._calls.unary(
            lambda: pb.PauseRunRequest(
                run_id=id_of(run), expected_version=expected_version, request_id=request_id
            ),
            pb.PauseRunResponse,
        )
        return change_of(response)

    def resume(
        self, run: RunRef, *, expected_version: int | None = None, request_id: str | None = None
    ) -> Change:
        """Resume a run: from PAUSED to ACTIVE. Fails as `close_run` does."""
        response = self._calls.unary(
            lambda: pb.ResumeRunRequest(
                run_id=id_of(run), expected_version=expected_version, request_id=request_id
            ),
            pb.ResumeRunResponse,
        )
        return change_of(response)

    def archive(
        self, run: RunRef, *, expected_version: int | None = None, request_id: str | None = None
    ) -> Change:
        """Archive a run for good: from any other state to ARCHIVED. Fails as `close_run` does."""
        response = self._calls.unary(
            lambda: pb.ArchiveRunRequest(
                run_id=id_of(run), expected_version=expected_version, request_id=request_id
            ),
            pb.ArchiveRunResponse,
        )
        return change_of(response)

    def delete(
        self, run: RunRef, *, expected_version: int | None = None, request_id: str | None = None
    ) -> DeleteReceipt:
        """Delete a run in any state, with all that it holds, for good. Its children stay.

        Raises:
            InvalidRunId: It is no UUID.
            RunNotFound: There is no such run.
            DefaultRunProtected: It is the default run.
            VersionMismatch: Its version is not the expected one.
        """
        response = self._calls.unary(
            lambda: pb.DeleteRunRequest(
                run_id=id_of(run), expected_version=expected_version, request_id=request_id
            ),
            pb.DeleteRunResponse,
        )
        return receipt_of(response)

    def add_tags(
        self, run: RunRef, *tags: str, expected_version: int | None = None, request_id: str | None = None
    ) -> Change:
        """Add tags to a run, after those that it has; those that are there already are ignored.

        Raises:
            InvalidRunId: It is no UUID.
            InvalidArgument: There is no tag (FIELD_REQUIRED).
            InvalidTag: A tag cannot be one.
            RunNotFound: There is no such run.
            RunArchived: It is frozen.
            VersionMismatch: Its version is not the expected one.
            LimitExceeded: It would have more than 64.
        """
        response = self._calls.unary(
            lambda: pb.AddRunTagsRequest(
                run_id=id_of(run), tags=tags, expected_version=expected_version, request_id=request_id
            ),
            pb.AddRunTagsResponse,
        )
        return change_of(response)

    def remove_tags(
        self, run: RunRef, *tags: str, expected_version: int | None = None, request_id: str | None = None
    ) -> Change:
        """Remove tags from a run; those that are not there are ignored.

        Fails as `add_tags` does, but for LimitExceeded.
        """
        response = self._calls.unary(
            lambda: pb.RemoveRunTagsRequest(
                run_id=id_of(run), tags=tags, expected_version=expected_version, request_id=request_id
            ),
            pb.RemoveRunTagsResponse,
        )
        return change_of(response)

    def set_retention(
        self,
        run: RunRef,
        retention: Retention,
        *,
        expected_version: int | None = None,
        request_id: str | None = None,
    ) -> Change:
        """Set what is kept of a run, in any state. Nothing is removed by this call.

        Raises:
            InvalidRunId: It is no UUID.
            InvalidArgument: A bound is zero, negative or too large (INVALID_RETENTION_POLICY).
            RunNotFound: There is no such run.
            DefaultRunProtected: The default run cannot be deleted after some time.
            VersionMismatch: Its version is not the expected one.
        """
        response = self._calls.unary(
            lambda: pb.SetRunRetentionRequest(
                run_id=id_of(run),
                policy=policy_of(retention),
                expected_version=expected_version,
                request_id=request_id,
            ),
            pb.SetRunRetentionResponse,
        )
        return change_of(response)
