"""Every bound of the service, with its unit in its name and its reason beside it.

`docs/reference/limits.md` is rendered from this module; each bound is tested at one below, at, and
one above. The store's own bounds (`kv.api`) stand above these by the overhead stated there.
"""

from typing import Final

REQUEST_BYTES_MAX: Final = 1024 * 1024
"""One request message. Bounds what parsing one call can cost."""

CALL_S_DEFAULT: Final = 30
"""How long a call may take whose caller set no deadline, in seconds; but for those that stream."""

CALL_S_MAX: Final = 600
"""How long a call may take whatever its caller's deadline, in seconds; but for those that stream."""

REQUEST_ID_BYTES_MAX: Final = 64
"""A request id, UTF-8. Holds a UUID or a ULID with a prefix, and fits into a key."""

REQUEST_ID_RETENTION_S_MIN: Final = 24 * 3600
"""How long answers are remembered for request ids at least, and by default, in seconds: what the contract
promises."""

METADATA_BYTES_MAX: Final = 64 * 1024
"""A run's metadata, as the encoded Struct without reserved keys. It describes a run; data goes elsewhere."""

METADATA_DEPTH_MAX: Final = 20
"""Levels of metadata, the object itself being the first. Each level nests three messages of the 100 that
protobuf reads."""

METADATA_NODES_MAX: Final = 5_000
"""Values of metadata, containers included. Bounds walking it and the terms that it adds to search."""

TAG_BYTES_MAX: Final = 128
"""One tag, UTF-8. Fits into a key."""

TAGS_MAX: Final = 64
"""Tags of one run, and of one request. Each is a row of an index."""

ERROR_BYTES_MAX: Final = 16 * 1024
"""The error text of a failed run, UTF-8. A message with a traceback, not a log."""

QUERY_BYTES_MAX: Final = 1024
"""A search query, UTF-8."""

QUERY_DEPTH_MAX: Final = 32
"""Parentheses and negations inside each other in a search query. Bounds recursion."""

PAGE_SIZE_DEFAULT: Final = 100
"""Items of a page when the caller names no number."""

SEARCH_PAGE_SIZE_DEFAULT: Final = 10
"""Runs of a page of search when the caller names no number. The RunIndex plan's default."""

PAGE_SIZE_MAX: Final = 1_000
"""Items of a page; a larger number is taken as this."""

PAGE_BYTES_MAX: Final = 2 * 1024 * 1024
"""Items of a page, encoded; the page ends before the one that would pass it, but holds at least one. Half of
what a gRPC client takes by default."""

SKIP_MAX: Final = 100_000
"""Runs that a listing passes over. They are read one by one."""

TERM_BYTES_MAX: Final = 64
"""One term of the search index; a longer one is shortened to a prefix and a digest."""

TERMS_MAX: Final = 4_096
"""Terms of one run in the search index; a run with more is searched by its record."""

PREFIX_TERMS_MAX: Final = 64
"""Terms to which a prefix of a query is expanded; one with more is checked on candidate records."""

SEARCH_BUDGET_RECORDS: Final = 10_000
"""Default of the setting: candidate records that one search examines before it stops and says so."""

PENDING_ROWS_MAX: Final = 16_384
"""Changes of the search index that wait to be merged; beyond it writes are refused until merging has caught
up. Bounds what a search lays over the merged index."""

NAME_BYTES_MAX: Final = 128
"""The name of a key, a stream, a state cell, a document or a template, UTF-8, and the prefix of one. It fits
into a key."""

DATA_VALUE_BYTES_MAX: Final = 256 * 1024
"""A data value, encoded: JSON as `google.protobuf.Value`, or bytes. Larger things belong into files."""

DATA_DEPTH_MAX: Final = 20
"""Levels of JSON in a data value, the outermost being the first. As for metadata."""

POINTER_BYTES_MAX: Final = 1024
"""A JSON pointer, UTF-8."""

EVENTS_MAX: Final = 1_000
"""Events of one call. Bounds what one write holds up."""

STATS_INTERVALS_MAX: Final = 400
"""Intervals of one call for figures: a year of days, two weeks of hours. Each is read from the index."""

TREE_DEPTH_DEFAULT: Final = 10
"""Levels of descendants when the caller names no number."""

TREE_DEPTH_MAX: Final = 100
"""Levels of descendants, and of ancestors; a larger number is taken as this."""

TREE_RUNS_DEFAULT: Final = 100
"""Descendants of a tree when the caller names no number."""

TREE_RUNS_MAX: Final = 1_000
"""Descendants of a tree; a larger number is taken as this."""

RETENTION_COUNT_MAX: Final = 2**53
"""The N of `keep_latest_n`. What every client language can hold exactly."""

RETENTION_DURATION_US_MAX: Final = 315_576_000_000 * 1_000_000
"""A retention duration: what `google.protobuf.Duration` holds, 10,000 years."""

RETENTION_INTERVAL_S: Final = 600
"""Default of the setting: seconds from one compaction, which enforces retention, to the next."""

DRIFTS_TOLD_MAX: Final = 1_000
"""Drifts that one verification tells; it counts them all."""

BACKLOG_COUNTED_MAX: Final = 10_000
"""How far status counts what waits in the background."""

BACKUP_CHUNK_BYTES: Final = 1024 * 1024
"""A piece of a backup."""
