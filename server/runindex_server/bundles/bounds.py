"""What one bundle may hold. All its runs appear in one write, which has to stay one that a machine takes."""

from typing import Final

RUNS_MAX: Final = 10_000
"""Runs of one bundle. Each waits in the pending list of the search index, which takes 16,384."""

RECORDS_BYTES_MAX: Final = 32 * 1024 * 1024
"""Their records together, encoded. They are in memory during an import, and written at once with all that
follows from them, which is several times as much."""

NUMBER_MAX: Final = 2**63 - 1
"""The largest version, sequence or time. What a counter holds."""

ACTOR_BYTES_MAX: Final = 1024
"""The name of who made a run or a transition, UTF-8."""
