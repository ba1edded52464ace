"""What is told of a run and of a template, a line each."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime

import runindex
from runindex.cli.words import ago_text, duration_text, policy_text, tags_text, time_text


def run_facts(run: "runindex.Run", now: datetime) -> Iterator[tuple[str, str]]:
    """Yield what is recorded of a run; what is not there is left out."""
    yield "Run", run.run_id
    yield "State", run.state.lower()
    if run.outcome is not None and run.outcome != run.state:
        yield "Outcome", run.outcome.lower()
    yield from _texts_facts("Error", (run.error or "").splitlines())
    if run.tags:
        yield "Tags", tags_text(run.tags)
    yield "Created", _time(run.create_time, now) + (f" by {run.creator}" if run.creator else "")
    yield "Changed", _time(run.update_time, now)
    if run.end_time is not None:
        yield "Ended", _time(run.end_time, now)
    if run.duration is not None:
        yield "Took", duration_text(run.duration)
    if run.expire_time is not None:
        yield "Expires", _time(run.expire_time, now)
    if run.parent_run_id is not None:
        yield "Parent", run.parent_run_id
    if run.cloned_from is not None:
        yield "Copy of", run.cloned_from
    yield "Version", f"{run.version:,}, at revision {run.revision:,}"
    yield from _metadata_facts(run.metadata)


def template_facts(template: "runindex.Template", now: datetime) -> Iterator[tuple[str, str]]:
    """Yield what a template has; what is not there is left out."""
    yield "Template", template.name
    if template.tags:
        yield "Tags", tags_text(template.tags)
    if template.retention is not None:
        yield "Retention", policy_text(template.retention)
    yield "Created", _time(template.create_time, now)
    yield "Changed", _time(template.update_time, now)
    yield "Version", f"{template.version:,}"
    yield from _metadata_facts(template.metadata)


def _time(time: datetime, now: datetime) -> str:
    return f"{ago_text(time, now)} ({time_text(time)})"


def _metadata_facts(metadata: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    if metadata:
        # They come in no order; whoever compares two runs wants one.
        told = json.dumps(metadata, ensure_ascii=False, indent=2, sort_keys=True)
        yield from _texts_facts("Metadata", told.splitlines())


def _texts_facts(name: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield lines of a text, the first of which has its name."""
    for index, line in enumerate(lines):
        yield "" if index else name, line
