"""The audit log: a line of JSON for each call that changed something, or was refused.

It tells who, what and when, never what was sent: no payloads, and no secrets.
"""

import json
import logging.handlers
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from runindex_server.clock import Clock
from runindex_server.logs import get_logger

SHOWN_CHARS_MAX: Final = 128
"""How much is shown of an id that a caller made up."""

_log: Final = get_logger(__name__)


class AuditRefused(Exception):
    """The audit log cannot be written: the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedCall:
    """A call, as the audit log tells it.

    Attributes:
        caller: The name of who called; empty when nobody was asked, or they were refused before it was known.
        peer: The address that called, as gRPC writes it.
        method: Its full name.
        run_ids: The runs that it names, or has made.
        request_id: Its own; empty when it had none.
        code: How it ended: the name of a status code.
        reason: Why it was refused; empty when it was not.
    """

    caller: str
    peer: str
    method: str
    run_ids: tuple[str, ...]
    request_id: str
    code: str
    reason: str


class _File(logging.handlers.WatchedFileHandler):
    """The file. A line that cannot be written is told in the log, and fails no call: it has been answered."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # The library's name.
        """Tell that a line was lost."""
        _log.exception("audit line not written", line=record.getMessage())


class AuditLog:
    """Appends to a file, which may be moved away at any time: the next line begins a new one."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open the file, for its owner alone.

        Raises:
            AuditRefused: It cannot be opened.
        """
        self._clock = clock
        try:
            self._handler = _File(path, encoding="utf-8")
            path.chmod(0o600)
        except OSError as error:
            msg = f"the audit log {path} cannot be written: {error.strerror}"
            raise AuditRefused(msg) from error

    def write(self, call: AuditedCall) -> None:
        """Append a line. A line is one write, so that those of several processes do not mix."""
        time = datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)
        line = {
            "time": time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "caller": call.caller,
            "peer": call.peer,
            "method": call.method,
            "run_ids": [run_id[:SHOWN_CHARS_MAX] for run_id in call.run_ids],
            "request_id": call.request_id[:SHOWN_CHARS_MAX],
            "code": call.code,
            "reason": call.reason,
        }
        record = logging.makeLogRecord({"msg": json.dumps(line)})
        self._handler.handle(record)

    def close(self) -> None:
        """Close the file."""
        self._handler.close()
