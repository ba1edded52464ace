"""Metadata and policies as they are written on a command line."""

import json
from collections.abc import Sequence
from typing import Any

import runindex
from runindex.cli.session import refuse_usage
from runindex.cli.words import policy_of


def metadata_of(text: str | None, fields: Sequence[str] | None) -> dict[str, Any] | None:
    """Return the metadata that options make, single fields last; None for none. Or end the command."""
    metadata = {} if text is None else _parsed(text)
    if not isinstance(metadata, dict):
        refuse_usage(f"--metadata: {text!r:.100} is no JSON object; --set KEY=VALUE sets a single field.")
    for field in fields or ():
        key, separator, value = field.partition("=")
        if not separator:
            refuse_usage(f"--set: {field!r:.100} is not KEY=VALUE.")
        metadata[key] = _parsed(value, value)
    return metadata or None


def _parsed(text: str, otherwise: str | None = None) -> Any:  # noqa: ANN401  # What JSON has.
    """Return what a JSON text says, or something else when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return otherwise


def retention_of(text: str) -> "runindex.Retention":
    """Return the retention policy that a text says, or end the command."""
    retention = policy_of(text)
    if retention is None:
        refuse_usage(
            f"{text!r:.100} is no policy: keep_all, keep_latest_n=10, keep_duration=30d or delete_after=90d."
        )
    return retention
