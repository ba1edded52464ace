"""The callback handler."""

import atexit
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID
from weakref import WeakSet

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from typing_extensions import override

from runindex._current import parent_at
from runindex._options import TIMEOUT_S, options_of
from runindex._retry import RETRIES
from runindex._types import MISSING, Json, Missing
from runindex.langchain._content import Budget, json_of
from runindex.langchain._entries import Begin, End, Node, State
from runindex.langchain._facts import (
    Kind,
    error_after,
    is_resumption,
    kind_of,
    metadata_after,
    metadata_of,
    model_of,
    name_of,
    said_by,
    state_after,
    tags_of,
    usage_of,
)
from runindex.langchain._langgraph import Handler
from runindex.langchain._recorder import leave, recorder_at
from runindex.langchain._tree import Tree

if TYPE_CHECKING:
    from langgraph.callbacks import GraphInterruptEvent

CONTENT_BYTES_MAX: Final = 128 * 1024
"""The most that a handler records of one content: half of what a run takes for a value."""

FLUSH_S: Final = 5.0
ENTRY_BYTES: Final = 1_024
"""What an entry costs in memory, about, beside its content."""

log: Final = logging.getLogger("runindex")

Metadata = Mapping[str, Json] | Callable[[], Mapping[str, Json]]


class RunIndexCallbackHandler(Handler):
    """Records what LangChain and LangGraph execute as runs of RunIndex.

    One handler serves any number of invocations, with asyncio and without, at the same time; it belongs into
    the `callbacks` of a config. Each run of the library becomes a run with the library's id, under the one
    that called it; the first of an invocation under the block of `client.run` around it on the same server,
    if there is one. Its tags are `langchain`, its kind (`chain`, `node`, `tool`, `llm` or `retriever`) and
    those of the program; its metadata have `name`, `kind`, as far as they are known `model`, `provider`,
    `thread_id`, `node` and `step`, what the program gave, and at the end of a model `usage`.

    A run ends as the library's does: COMPLETED, FAILED with the text of the exception, or CANCELLED; so are
    runs that are left behind when the one around them ends, for the library does not tell of all that it
    cancels. A graph of LangGraph that is interrupted, or drained, is PAUSED, and goes on as the same run when
    its thread is resumed, in whichever process. What was interrupted in it is CANCELLED, with `interrupted`
    in its metadata, and begins anew then.

    The program never waits for the server, and never fails by it. What is to be recorded goes through a
    bounded queue to a thread that makes the calls; while the server does not answer it tries again, and runs
    that could not begin for 30 seconds are left out, with a warning of the logger `runindex`. At the end of
    the program up to 5 seconds are spent on what still waits, as long as the server answers.

    What runs are given and what they return is not recorded, unless `content_bytes_max` says how much of it:
    then it is their data, under the keys `input` and `output`, cut to that size. Errors are recorded with
    their text, and the program's metadata as it is.
    """

    run_inline = True  # It waits for nothing, and then sees the block around it and is told in order.

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        tls_ca: str | Path | None = None,
        tags: Iterable[str] = (),
        metadata: Metadata | None = None,
        content_bytes_max: int = 0,
    ) -> None:
        """Prepare; nothing is connected before the first run.

        Args:
            address: Where the server listens, as gRPC names it; else RUNINDEX_ADDRESS, or 127.0.0.1:50051.
            token: Sent with each call as a bearer token; else RUNINDEX_TOKEN, or none.
            tls_ca: A file of the certificates to trust, in PEM; else RUNINDEX_TLS_CA, or a connection
                without TLS.
            tags: Tags for all runs.
            metadata: Metadata for all runs, or what returns it where a run begins.
            content_bytes_max: How much to record of what a run was given, and of what it returned, in bytes:
                up to 131,072; 0 for nothing.

        Raises:
            OSError: The file of certificates cannot be read.
            ValueError: `content_bytes_max` is out of its range; or there is a token for another machine, and
                no TLS, as for a `Client`.
        """
        if not 0 <= content_bytes_max <= CONTENT_BYTES_MAX:
            msg = f"content_bytes_max is {content_bytes_max}; it must be from 0 to {CONTENT_BYTES_MAX}"
            raise ValueError(msg)
        super().__init__()
        options = options_of(address, token=token, tls_ca=tls_ca, timeout_s=TIMEOUT_S, retries=RETRIES)
        self._recorder = recorder_at(options)
        self._address = options.address
        self._tags = tuple(tags)
        self._metadata = metadata or {}
        self._content_bytes_max = content_bytes_max
        self._tree = Tree()
        _HANDLERS.add(self)

    def __copy__(self) -> Self:
        """Configs are copied; the runs under way are known in one place."""
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Configs are copied; the runs under way are known in one place."""
        return self

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until everything that has happened so far is recorded.

        Args:
            timeout_s: For how long at most.

        Returns:
            Whether it is, but for what the server has refused, or could not be told in time.
        """
        return self._recorder.flush(timeout_s)

    @override
    def on_chain_start(
        self, serialized: dict[str, Any], inputs: dict[str, Any], *, run_id: UUID, **kwargs: Any
    ) -> None:
        self._begin("chain", serialized, run_id, kwargs, inputs)

    @override
    def on_tool_start(
        self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, **kwargs: Any
    ) -> None:
        given = kwargs.get("inputs")
        self._begin("tool", serialized, run_id, kwargs, input_str if given is None else given)

    @override
    def on_retriever_start(
        self, serialized: dict[str, Any], query: str, *, run_id: UUID, **kwargs: Any
    ) -> None:
        self._begin("retriever", serialized, run_id, kwargs, query)

    @override
    def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any
    ) -> None:
        self._begin("llm", serialized, run_id, kwargs, prompts)

    @override
    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        self._begin("llm", serialized, run_id, kwargs, messages)

    @override
    def on_chain_end(self, outputs: dict[str, Any], *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, "COMPLETED", content=outputs)

    @override
    def on_tool_end(self, output: object, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, "COMPLETED", content=output)

    @override
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, "COMPLETED", content=documents)

    @override
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, "COMPLETED", metadata=usage_of(response), content=said_by(response))

    @override
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._fail(run_id, error)

    @override
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._fail(run_id, error)

    @override
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._fail(run_id, error)

    @override
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._fail(run_id, error)

    def on_interrupt(self, event: "GraphInterruptEvent") -> None:
        """Take what LangGraph tells before the end of a graph that waits for somebody."""
        if event.run_id is not None:
            self._tree.interrupt(event.run_id)

    def _begin(
        self, kind: Kind, about: Mapping[str, Any] | None, run_id: UUID, told: dict[str, Any], content: object
    ) -> None:
        parent_id: UUID | None = told.get("parent_run_id")
        node = self._tree.begin(run_id, parent_id)
        tags, metadata = told.get("tags") or (), told.get("metadata") or {}
        kind = kind_of(kind, tags)
        facts = {
            "name": name_of(told.get("name"), about, kind),
            "kind": kind,
            "model": model_of(told.get("invocation_params") or {}),
        }
        kept, kept_bytes = self._content_of(content)
        self._recorder.put(
            Begin(
                node,
                [*tags_of(kind, tags), *self._tags],
                metadata_of(self._own(), metadata, facts),
                parents=self._parents_of(node, parent_id),
                content=kept,
                cost_bytes=ENTRY_BYTES + kept_bytes,
                resumes=kind == "chain" and is_resumption(content, metadata),
                run_id=node.run_id,
            )
        )

    def _own(self) -> Mapping[str, Json]:
        """Return the metadata that the handler adds."""
        if not callable(self._metadata):
            return self._metadata
        try:
            return self._metadata()
        except Exception as fault:  # noqa: BLE001  # The program's own, and yet no reason to record nothing.
            log.warning("recorded without the handler's metadata: %s", error_after(fault))
            return {}

    def _parents_of(self, node: Node, parent_id: UUID | None) -> list[str]:
        """Return where the first run of a tree may belong: where the library says, or under the block."""
        if node.parent is not None:
            return []
        around = parent_at(self._address)
        return [str(parent) for parent in (parent_id, around) if parent is not None]

    def _end(
        self,
        run_id: UUID,
        state: State,
        error: str = "",
        metadata: dict[str, Json] | None = None,
        content: object = MISSING,
    ) -> None:
        ended = self._tree.end(run_id)
        if ended is None:
            return
        run, left = ended
        for node in left:
            self._recorder.put(End(node, "CANCELLED", cost_bytes=ENTRY_BYTES))
        kept, kept_bytes = self._content_of(content)
        self._recorder.put(
            End(
                run.node,
                "PAUSED" if run.is_interrupted and state == "COMPLETED" else state,
                error,
                metadata or {},
                kept,
                cost_bytes=ENTRY_BYTES + kept_bytes,
            )
        )

    def _fail(self, run_id: UUID, fault: BaseException) -> None:
        self._end(run_id, state_after(fault), error_after(fault), metadata_after(fault))

    def _content_of(self, content: object) -> tuple[Json | Missing, int]:
        """Return what is to be recorded of what a run was given or has returned, and its size in bytes."""
        if not self._content_bytes_max or isinstance(content, Missing):
            return MISSING, 0
        budget = Budget(self._content_bytes_max)
        return json_of(content, budget), budget.used_bytes

    def _cancel_all(self) -> None:
        """Cancel what is under way: the program ends."""
        for node in self._tree.end_all():
            self._recorder.put(End(node, "CANCELLED", cost_bytes=ENTRY_BYTES))


_HANDLERS: Final[WeakSet[RunIndexCallbackHandler]] = WeakSet()


@atexit.register
def _leave() -> None:
    """End the recording with the program."""
    for handler in list(_HANDLERS):
        handler._cancel_all()  # noqa: SLF001  # It is not for programs.
    leave()
