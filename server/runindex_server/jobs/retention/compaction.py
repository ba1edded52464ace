"""What a compaction tells: what went of each run, and what it all came to."""

from dataclasses import asdict, dataclass

from runindex_server.schema.retention_state import Compaction
from runindex_server.schema.run import RetentionPolicy, RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactedRun:
    """What goes of a run, and why. A run with much to remove comes several times, one after the other.

    Attributes:
        run_id: The run.
        policy: What says so.
        is_default_policy: Whether that is the store-wide default, and not the run's own.
        run_deleted: Whether the run itself goes, with all that it holds.
        versions: Superseded versions that go without the run.
        events: Events that go without the run.
        bytes: The bytes of the values that go: of versions and events, or of all that the run held.
        end_us: When the run ended, if it goes itself; None else.
        revision: The store's, after this.
    """

    run_id: RunId
    policy: RetentionPolicy
    is_default_policy: bool
    run_deleted: bool = False
    versions: int = 0
    events: int = 0
    bytes: int = 0
    end_us: int | None = None
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionSummary(Compaction):
    """What a compaction came to, as it is told.

    Attributes:
        dry_run: Whether nothing was removed, and the numbers tell what would be.
        revision: The store's, at the end.
    """

    dry_run: bool
    revision: int


class Tally:
    """Adds up what a compaction tells."""

    def __init__(self, *, start_us: int) -> None:
        """Begin at a time."""
        self._start_us = start_us
        self._runs_deleted = 0
        self._runs_trimmed = 0
        self._versions = 0
        self._events = 0
        self._bytes = 0
        self._trimmed_last: RunId | None = None

    def add(self, piece: CompactedRun) -> None:
        """Add what went of a run; the pieces of one run follow each other."""
        if piece.run_deleted:
            self._runs_deleted += 1
        elif piece.run_id != self._trimmed_last:
            self._runs_trimmed += 1
            self._trimmed_last = piece.run_id
        self._versions += piece.versions
        self._events += piece.events
        self._bytes += piece.bytes

    def compaction(self, *, duration_us: int) -> Compaction:
        """Return what it comes to, as the store keeps it."""
        return Compaction(
            start_us=self._start_us,
            duration_us=duration_us,
            runs_deleted=self._runs_deleted,
            runs_trimmed=self._runs_trimmed,
            versions=self._versions,
            events=self._events,
            bytes=self._bytes,
        )


def summary_of(compaction: Compaction, *, dry_run: bool, revision: int) -> CompactionSummary:
    """Return what a compaction came to, as it is told."""
    return CompactionSummary(**asdict(compaction), dry_run=dry_run, revision=revision)
