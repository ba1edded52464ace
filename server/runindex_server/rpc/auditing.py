"""What the audit log is told of calls: of each that changed something, and of each that was refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from runindex_server.access.audit import AuditedCall, AuditLog
from runindex_server.errors import RunIndexError
from runindex_server.rpc.admission import CALLER, Context
from runindex_server.rpc.status import STATUS_CODES

_RUN_FIELDS: Final = ("run_id", "parent_run_id", "source_run_id")
"""Fields of requests that name runs."""


@dataclass(frozen=True, slots=True)
class Auditor:
    """Tells the audit log of calls; does nothing without one."""

    log: AuditLog | None = None

    def of_method(self, descriptor: MethodDescriptor) -> "MethodAuditor":
        """Return what tells of the calls of a method."""
        return MethodAuditor(self.log, descriptor)


class MethodAuditor:
    """Tells the audit log of the calls of one method."""

    def __init__(self, log: AuditLog | None, descriptor: MethodDescriptor) -> None:
        """Take the log, or None, and the method."""
        self._log = log
        self._method = f"{descriptor.containing_service.full_name}/{descriptor.name}"
        self._response_class = GetMessageClass(descriptor.output_type)
        self._changes = descriptor.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS

    def done(self, context: Context, request: Message, response: bytes | Message | None) -> None:
        """Tell of a call that was answered, if it changes something."""
        if self._log is None or not self._changes:
            return
        if isinstance(response, bytes):
            response = self._response_class.FromString(response)
        self._write(self._log, context, (*_run_ids(request), *_run_made(response)), request, "OK", "")

    def refused(self, context: Context, request: Message | None, error: RunIndexError) -> None:
        """Tell of a call that was refused; without a request when it was not looked at."""
        if self._log is None:
            return
        run_ids = () if request is None else tuple(_run_ids(request))
        self._write(self._log, context, run_ids, request, STATUS_CODES[error.reason].name, error.reason)

    def _write(
        self,
        log: AuditLog,
        context: Context,
        run_ids: tuple[str, ...],
        request: Message | None,
        code: str,
        reason: str,
    ) -> None:
        log.write(
            AuditedCall(
                caller=CALLER.get().name,
                peer=str(context.peer()),
                method=self._method,
                run_ids=tuple(dict.fromkeys(run_ids)),
                request_id=getattr(request, "request_id", ""),
                code=code,
                reason=reason,
            )
        )


def _run_ids(request: Message) -> Iterator[str]:
    """Yield the ids of the runs that a request names, as the caller wrote them."""
    for name in _RUN_FIELDS:
        if run_id := getattr(request, name, ""):
            yield run_id


def _run_made(response: Message | None) -> Iterator[str]:
    """Yield the id of the run that a response shows."""
    run = getattr(response, "run", None)
    if run is not None:
        yield run.run_id
