"""RunIndex for Python: a client for runs of agents and workflows, with asyncio and without.

    from runindex import Client

    with Client("127.0.0.1:50051") as client:
        with client.run(tags=["nightly"], metadata={"model": "large"}) as run:
            with client.run(tags=["step"]) as step:  # A child of the run around it.
                step.data.put("answer", 42)

        for child in client.children(run):
            print(child.run_id, child.state, client.data(child).get("answer"))

A block that raises fails its run, with the text of the exception. `AsyncClient` is the same with
`async with`, `async for` and `await`. What is refused raises a `RunIndexError`; its classes have fields.

`runindex.v1` has the messages and stubs of the contract. Nothing of gRPC is loaded before a name of this
package is used.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runindex._async._active_run import AsyncActiveRun
    from runindex._async._client import AsyncClient
    from runindex._async._data import AsyncRunData
    from runindex._async._insights import AsyncInsights
    from runindex._async._maintenance import AsyncMaintenance
    from runindex._async._pages import AsyncItems, AsyncRuns
    from runindex._async._templates import AsyncTemplates
    from runindex._async._work import AsyncWork
    from runindex._current import current_run
    from runindex._data_types import Appended, Event, EventCount, Item, Written
    from runindex._draft import INHERIT
    from runindex._errors import (
        Aborted,
        AlreadyExists,
        CommitOutcomeUnknown,
        DataLoss,
        DeadlineExceeded,
        DefaultRunProtected,
        DocumentNotFound,
        FailedPrecondition,
        Internal,
        InvalidArgument,
        InvalidField,
        InvalidMetadata,
        InvalidPageToken,
        InvalidQuery,
        InvalidRunId,
        InvalidTag,
        InvalidTransition,
        LimitExceeded,
        NotExecuted,
        NotFound,
        ParentRunNotFound,
        PermissionDenied,
        PointerNotFound,
        RequestIdReused,
        RequestTooLarge,
        ReservedMetadataKey,
        ResourceExhausted,
        RunAlreadyExists,
        RunArchived,
        RunIndexError,
        RunNotFound,
        StateNotFound,
        TemplateNotFound,
        TemplateVersionMismatch,
        Unauthenticated,
        Unavailable,
        ValueMismatch,
        ValueNotFound,
        VersionMismatch,
    )
    from runindex._insight_types import (
        Created,
        Durations,
        ErrorGroup,
        FinishedStats,
        Interval,
        IntervalStats,
        RunStats,
        RunTree,
        TagCount,
        TagOrder,
        Template,
        Transition,
        TreeNode,
    )
    from runindex._maintenance_types import (
        Backlog,
        Backup,
        BackupProgress,
        ClockJump,
        CompactedRun,
        CompactionSummary,
        Drift,
        RetentionStatus,
        StoreIdentity,
        StoreReaders,
        StoreSizes,
        StoreStatus,
        VerifyProgress,
        VerifySummary,
    )
    from runindex._retry import RetryPolicy
    from runindex._sync._active_run import ActiveRun
    from runindex._sync._client import Client
    from runindex._sync._data import RunData
    from runindex._sync._insights import Insights
    from runindex._sync._maintenance import Maintenance
    from runindex._sync._pages import Items, Runs
    from runindex._sync._templates import Templates
    from runindex._sync._work import Work
    from runindex._types import (
        MISSING,
        Change,
        Counts,
        DeleteAfter,
        DeleteReceipt,
        KeepAll,
        KeepFor,
        KeepLatest,
        Page,
        Retention,
        Run,
        RunState,
    )

__all__ = [
    "INHERIT",
    "MISSING",
    "Aborted",
    "ActiveRun",
    "AlreadyExists",
    "Appended",
    "AsyncActiveRun",
    "AsyncClient",
    "AsyncInsights",
    "AsyncItems",
    "AsyncMaintenance",
    "AsyncRunData",
    "AsyncRuns",
    "AsyncTemplates",
    "AsyncWork",
    "Backlog",
    "Backup",
    "BackupProgress",
    "Change",
    "Client",
    "ClockJump",
    "CommitOutcomeUnknown",
    "CompactedRun",
    "CompactionSummary",
    "Counts",
    "Created",
    "DataLoss",
    "DeadlineExceeded",
    "DefaultRunProtected",
    "DeleteAfter",
    "DeleteReceipt",
    "DocumentNotFound",
    "Drift",
    "Durations",
    "ErrorGroup",
    "Event",
    "EventCount",
    "FailedPrecondition",
    "FinishedStats",
    "Insights",
    "Internal",
    "Interval",
    "IntervalStats",
    "InvalidArgument",
    "InvalidField",
    "InvalidMetadata",
    "InvalidPageToken",
    "InvalidQuery",
    "InvalidRunId",
    "InvalidTag",
    "InvalidTransition",
    "Item",
    "Items",
    "KeepAll",
    "KeepFor",
    "KeepLatest",
    "LimitExceeded",
    "Maintenance",
    "NotExecuted",
    "NotFound",
    "Page",
    "ParentRunNotFound",
    "PermissionDenied",
    "PointerNotFound",
    "RequestIdReused",
    "RequestTooLarge",
    "ReservedMetadataKey",
    "ResourceExhausted",
    "Retention",
    "RetentionStatus",
    "RetryPolicy",
    "Run",
    "RunAlreadyExists",
    "RunArchived",
    "RunData",
    "RunIndexError",
    "RunNotFound",
    "RunState",
    "RunStats",
    "RunTree",
    "Runs",
    "StateNotFound",
    "StoreIdentity",
    "StoreReaders",
    "StoreSizes",
    "StoreStatus",
    "TagCount",
    "TagOrder",
    "Template",
    "TemplateNotFound",
    "TemplateVersionMismatch",
    "Templates",
    "Transition",
    "TreeNode",
    "Unauthenticated",
    "Unavailable",
    "ValueMismatch",
    "ValueNotFound",
    "VerifyProgress",
    "VerifySummary",
    "VersionMismatch",
    "Work",
    "Written",
    "current_run",
]

_HOMES: Final = {
    "runindex._async._active_run": ("AsyncActiveRun",),
    "runindex._async._client": ("AsyncClient",),
    "runindex._async._data": ("AsyncRunData",),
    "runindex._async._insights": ("AsyncInsights",),
    "runindex._async._maintenance": ("AsyncMaintenance",),
    "runindex._async._pages": (
        "AsyncItems",
        "AsyncRuns",
    ),
    "runindex._async._templates": ("AsyncTemplates",),
    "runindex._async._work": ("AsyncWork",),
    "runindex._current": ("current_run",),
    "runindex._data_types": (
        "Appended",
        "Event",
        "EventCount",
        "Item",
        "Written",
    ),
    "runindex._draft": ("INHERIT",),
    "runindex._errors": (
        "Aborted",
        "AlreadyExists",
        "CommitOutcomeUnknown",
        "DataLoss",
        "DeadlineExceeded",
        "DefaultRunProtected",
        "DocumentNotFound",
        "FailedPrecondition",
        "Internal",
        "InvalidArgument",
        "InvalidField",
        "InvalidMetadata",
        "InvalidPageToken",
        "InvalidQuery",
        "InvalidRunId",
        "InvalidTag",
        "InvalidTransition",
        "LimitExceeded",
        "NotExecuted",
        "NotFound",
        "ParentRunNotFound",
        "PermissionDenied",
        "PointerNotFound",
        "RequestIdReused",
        "RequestTooLarge",
        "ReservedMetadataKey",
        "ResourceExhausted",
        "RunAlreadyExists",
        "RunArchived",
        "RunIndexError",
        "RunNotFound",
        "StateNotFound",
        "TemplateNotFound",
        "TemplateVersionMismatch",
        "Unauthenticated",
        "Unavailable",
        "ValueMismatch",
        "ValueNotFound",
        "VersionMismatch",
    ),
    "runindex._insight_types": (
        "Created",
        "Durations",
        "ErrorGroup",
        "FinishedStats",
        "Interval",
        "IntervalStats",
        "RunStats",
        "RunTree",
        "TagCount",
        "TagOrder",
        "Template",
        "Transition",
        "TreeNode",
    ),
    "runindex._maintenance_types": (
        "Backlog",
        "Backup",
        "BackupProgress",
        "ClockJump",
        "CompactedRun",
        "CompactionSummary",
        "Drift",
        "RetentionStatus",
        "StoreIdentity",
        "StoreReaders",
        "StoreSizes",
        "StoreStatus",
        "VerifyProgress",
        "VerifySummary",
    ),
    "runindex._retry": ("RetryPolicy",),
    "runindex._sync._active_run": ("ActiveRun",),
    "runindex._sync._client": ("Client",),
    "runindex._sync._data": ("RunData",),
    "runindex._sync._insights": ("Insights",),
    "runindex._sync._maintenance": ("Maintenance",),
    "runindex._sync._pages": (
        "Items",
        "Runs",
    ),
    "runindex._sync._templates": ("Templates",),
    "runindex._sync._work": ("Work",),
    "runindex._types": (
        "MISSING",
        "Change",
        "Counts",
        "DeleteAfter",
        "DeleteReceipt",
        "KeepAll",
        "KeepFor",
        "KeepLatest",
        "Page",
        "Retention",
        "Run",
        "RunState",
    ),
}
"""The modules in which the names are, each loaded when one of its names is used: a program that is recorded
without gRPC, or a command that only prints its help, need not wait for it."""

_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # Where types are checked, the names are imported above, and there are no others.

    def __getattr__(name: str) -> object:
        """Load a name from its module."""
        if name not in _HOME_OF:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = globals()[name] = getattr(importlib.import_module(_HOME_OF[name]), name)
        return value


def __dir__() -> list[str]:
    """Return the names of the module, those that are not loaded yet among them."""
    return sorted({*globals(), *__all__})
