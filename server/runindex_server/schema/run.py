"""A run as the server knows it, and the words that belong to it."""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, NewType

RunId = NewType("RunId", bytes)
"""16 bytes: the UUID of a run. The default run's is the nil UUID, which no caller can name."""

DEFAULT_RUN_ID: Final = RunId(bytes(16))
DEFAULT_RUN_NAME: Final = "default"

_UUID: Final = r"(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})"
_CANONICAL: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_FORMS: Final = re.compile(rf"(?:{_UUID}|\{{{_UUID}\}}|urn:uuid:{_UUID})", re.ASCII | re.IGNORECASE)
_NOT_HEX: Final = re.compile(r"urn:uuid:|[{}-]", re.ASCII | re.IGNORECASE)


def parse_run_id(text: str) -> RunId | None:
    """Return the run id that a text names, or None when it names none.

    Accepted are 8-4-4-4-12 and 32 hex digits in either case, optionally in braces or after `urn:uuid:`, and
    `default`. The nil UUID is not.
    """
    if text == DEFAULT_RUN_NAME:
        return DEFAULT_RUN_ID
    if _CANONICAL.fullmatch(text) is not None:
        # Nearly always: it takes half the time.
        run_id = RunId(bytes.fromhex(text.replace("-", "")))
        return None if run_id == DEFAULT_RUN_ID else run_id
    if _FORMS.fullmatch(text) is None:
        return None
    run_id = RunId(bytes.fromhex(_NOT_HEX.sub("", text)))
    return None if run_id == DEFAULT_RUN_ID else run_id


def run_id_text(run_id: RunId) -> str:
    """Return the canonical text of a run id: lower case with hyphens, or `default`."""
    if run_id == DEFAULT_RUN_ID:
        return DEFAULT_RUN_NAME
    digits = run_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class RunState(IntEnum):
    """Where a run is in its lifecycle. Stored by number: the numbers of `runindex.v1.RunState`."""

    ACTIVE = 1
    PAUSED = 2
    COMPLETED = 3
    FAILED = 4
    CANCELLED = 5
    ARCHIVED = 6


FINISHED: Final = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED})
"""The states that are an outcome."""

ENDED: Final = FINISHED | {RunState.ARCHIVED}
"""The states in which a run has an end time."""


class RunView(IntEnum):
    """How much of a run to return: the numbers of `runindex.v1.RunView`."""

    ID_ONLY = 1
    BASIC = 2
    FULL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """What the storage layer keeps of a run. At most one bound is set; with none, everything is kept.

    Attributes:
        keep_latest_n: Versions of each key, cell and document, and events of each stream; at least 1.
        keep_duration_us: How long what is superseded is kept; at least 1.
        delete_after_us: How long after its end the run is deleted; at least 1.
    """

    keep_latest_n: int | None = None
    keep_duration_us: int | None = None
    delete_after_us: int | None = None


KEEP_ALL: Final = RetentionPolicy()

TIME_US_MAX: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999, and so of `google.protobuf.Timestamp`."""


class Run(NamedTuple):
    """A run's record. Times are microseconds since 1970-01-01 UTC.

    A tuple, because each change makes three of them: in a quarter of the time that a frozen dataclass takes.

    Attributes:
        ordinal: Its number in the order of creation; the order of every listing.
        generation: What its data's keys carry beside its id, so that a later run of the same id sees none of
            it.
        activity_us: The last change, or write of its data, rounded down to the minute.
        end_us: When it finished, or was archived unfinished; None before.
        outcome: The state in which it finished; None for one that has not.
        metadata: The encoded `google.protobuf.Struct`, without reserved keys; empty for none.
        retention: Its own policy, kept under the reserved key `_strata_retention`; None when none was ever
            set.
        cloned_from: The run from which it was copied; None for any other.
        creator: Who created it; empty where callers are not told apart.
        is_imported: Whether it came with a bundle, with its times: its create time is then in no order with
            those of others. Out of callers' sight.
    """

    run_id: RunId
    ordinal: int
    generation: int
    state: RunState
    version: int
    revision: int
    create_us: int
    update_us: int
    activity_us: int
    end_us: int | None = None
    error: str | None = None
    tags: tuple[str, ...] = ()
    parent: RunId | None = None
    outcome: RunState | None = None
    metadata: bytes = b""
    retention: RetentionPolicy | None = None
    cloned_from: RunId | None = None
    creator: str = ""
    is_imported: bool = False

    @property
    def expire_us(self) -> int | None:
        """When retention deletes it, by its own policy; None for never, the years after 9999 included."""
        if self.end_us is None or self.retention is None or self.retention.delete_after_us is None:
            return None
        expire_us = self.end_us + self.retention.delete_after_us
        return expire_us if expire_us <= TIME_US_MAX else None

    @property
    def is_archived(self) -> bool:
        """Whether it is hidden from ordinary queries, and frozen."""
        return self.state is RunState.ARCHIVED

    @property
    def is_default(self) -> bool:
        """Whether it is the default run, which is immortal."""
        return self.run_id == DEFAULT_RUN_ID
