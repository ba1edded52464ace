# Made by `scripts/gen_sync_client.py` of `_async/_active_run.py`, where changes are made.
"""A run that begins and ends with a block of the program."""

from collections.abc import Mapping
from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import Final, Self

from runindex._convert import tags_of
from runindex._current import CURRENT, Recorded, parent_at
from runindex._draft import Draft, Inherit
from runindex._errors import InvalidTransition, RunIndexError, RunNotFound
from runindex._metadata import struct_of
from runindex._outcome import Outcome, error_text, outcome_of
from runindex._sync._calls import Calls, SparedCalls, note_of
from runindex._sync._data import RunData
from runindex._types import Json, RunState, id_of
from runindex.v1 import run_index_pb2 as pb

END_TIMEOUT_S: Final = 10.0
"""How long it may take to record the end of a block that has raised: the program wants to go on."""


class ActiveRun:
    """A run that begins and ends with a block; made by `run` of the client, and for one block only.

    Its methods return nothing; those of the client, which take it for a run, return what a call has led to.
    A run that is not required makes no error of what cannot be recorded: its methods do nothing then, and its
    data is empty.

    Attributes:
        run_id: Its id; empty before the block, and when it could not be recorded.
        address: The server that has it.
        outer: The block around its own.
    """

    def __init__(self, calls: Calls, draft: Draft) -> None:
        """Prepare; nothing is called before the block.

        Args:
            calls: Those of the client.
            draft: What the run begins with.
        """
        self.run_id = ""
        self.address = calls.address
        self.outer: Recorded | None = None
        self._calls = calls
        self._spared = None if draft.required else SparedCalls(calls)
        self._draft = draft
        self._token: Token[Recorded | None] | None = None
        self._is_finished = False
        self._asked: Outcome | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether the server has it."""
        return bool(self.run_id)

    @property
    def data(self) -> RunData:
        """What it holds."""
        return RunData(self._spared or self._calls, self.run_id)

    def __enter__(self) -> Self:
        if self._token is not None:
            msg = "a run is for one block: make another with `client.run(...)`"
            raise RuntimeError(msg)
        self.outer = CURRENT.get()
        self.run_id = self._create()
        if self._spared is not None and not self.run_id:
            self._spared.stop()
        self._token = CURRENT.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._token is not None
        with suppress(ValueError):  # A generator may be closed in another context, which has nothing to undo.
            CURRENT.reset(self._token)
        if not self.run_id or self._is_finished:
            return
        try:
            self._end(self._asked or outcome_of(fault), None if fault is None else END_TIMEOUT_S)
        except (RunIndexError, RuntimeError) as refusal:  # RuntimeError: the client is closed.
            if self._spared is not None:
                self._spared.spare(refusal)
            elif fault is None:
                raise
            else:
                fault.add_note(note_of(refusal))

    def update_metadata(self, metadata: Mapping[str, Json], *, merge: bool = True) -> None:
        """Merge into its metadata, or replace it. Fails as `update_metadata` of the client does."""
        calls = self._spared or self._calls
        calls.unary(
            lambda: pb.UpdateRunMetadataRequest(
                run_id=self.run_id, metadata=struct_of(metadata), merge=merge
            ),
            pb.UpdateRunMetadataResponse,
        )

    def add_tags(self, *tags: str) -> None:
        """Add tags to it. Fails as `add_tags` of the client does."""
        calls = self._spared or self._calls
        calls.unary(lambda: pb.AddRunTagsRequest(run_id=self.run_id, tags=tags), pb.AddRunTagsResponse)

    def remove_tags(self, *tags: str) -> None:
        """Remove tags from it. Fails as `remove_tags` of the client does."""
        calls = self._spared or self._calls
        calls.unary(lambda: pb.RemoveRunTagsRequest(run_id=self.run_id, tags=tags), pb.RemoveRunTagsResponse)

    def close(self) -> None:
        """Complete it before its block ends. Fails as `close_run` of the client does."""
        calls = self._spared or self._calls
        answer = calls.unary(lambda: pb.CloseRunRequest(run_id=self.run_id), pb.CloseRunResponse)
        self._ask(Outcome("close"), answer.version)

    def fail(self, error: str | BaseException) -> None:
        """Fail it before its block ends. Fails as `fail` of the client does."""
        calls = self._spared or self._calls
        said = error if isinstance(error, str) else error_text(error)
        answer = calls.unary(lambda: pb.FailRunRequest(run_id=self.run_id, error=said), pb.FailRunResponse)
        self._ask(Outcome("fail", said), answer.version)

    def cancel(self) -> None:
        """Cancel it before its block ends. Fails as `cancel` of the client does."""
        calls = self._spared or self._calls
        answer = calls.unary(lambda: pb.CancelRunRequest(run_id=self.run_id), pb.CancelRunResponse)
        self._ask(Outcome("cancel"), answer.version)

    def pause(self) -> None:
        """Pause it. Left so by its block, it stays paused. Fails as `pause` of the client does."""
        calls = self._spared or self._calls
        calls.unary(lambda: pb.PauseRunRequest(run_id=self.run_id), pb.PauseRunResponse)

    def resume(self) -> None:
        """Resume it. Fails as `resume` of the client does."""
        calls = self._spared or self._calls
        calls.unary(lambda: pb.ResumeRunRequest(run_id=self.run_id), pb.ResumeRunResponse)

    def _ask(self, outcome: Outcome, version: int) -> None:
        """Keep how it was to end; when the call was done without (version 0), its block tries again."""
        self._asked = outcome
        self._is_finished = version > 0

    def _create(self) -> str:
        """Create it under its parent; return its id, empty when it could not be and need not."""
        calls = self._spared or self._calls
        draft = self._draft
        parent = parent_at(self.address) if isinstance(draft.parent, Inherit) else draft.parent
        if parent is None:
            root = calls.unary(
                lambda: pb.CreateRunRequest(
                    run_id=draft.run_id, metadata=struct_of(draft.metadata), tags=tags_of(draft.tags)
                ),
                pb.CreateRunResponse,
            )
            return root.run.run_id
        child = calls.unary(
            lambda: pb.CreateChildRunRequest(
                parent_run_id=id_of(parent),
                run_id=draft.run_id,
                metadata=struct_of(draft.metadata),
                tags=tags_of(draft.tags),
            ),
            pb.CreateChildRunResponse,
        )
        return child.run.run_id

    def _end(self, outcome: Outcome, timeout_s: float | None) -> None:
        """End it, unless it is finished, archived or deleted already, or a clean block has left it paused."""
        try:
            self._make_end(outcome, timeout_s)
        except RunNotFound:
            return
        except InvalidTransition as refusal:
            if refusal.from_state is RunState.PAUSED and outcome.end == "fail":
                self._calls.unary(
                    lambda: pb.ResumeRunRequest(run_id=self.run_id), pb.ResumeRunResponse, timeout_s
                )
                self._make_end(outcome, timeout_s)

    def _make_end(self, outcome: Outcome, timeout_s: float | None) -> None:
        match outcome.end:
            case "close":
                self._calls.unary(
                    lambda: pb.CloseRunRequest(run_id=self.run_id), pb.CloseRunResponse, timeout_s
                )
            case "cancel":
                self._calls.unary(
                    lambda: pb.CancelRunRequest(run_id=self.run_id), pb.CancelRunResponse, timeout_s
                )
            case "fail":
                self._calls.unary(
                    lambda: pb.FailRunRequest(run_id=self.run_id, error=outcome.error),
                    pb.FailRunResponse,
                    timeout_s,
                )
