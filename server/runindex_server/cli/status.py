"""`status`: what a running server's store is like."""

from runindex.v1 import maintenance_pb2 as pb
from runindex_server.cli.answers import echo_facts, echo_json
from runindex_server.cli.asking import DEFAULT_ADDRESS, Address, AsJson
from runindex_server.cli.remote import maintenance
from runindex_server.cli.words import bytes_text, count_text, policy_text, span_text, states_text, time_text

TIMEOUT_S = 30.0


def status(
    address: Address = DEFAULT_ADDRESS,
    *,
    as_json: AsJson = False,
) -> None:
    """Tell what a running server's store is like: sizes, runs, what waits, and how retention stands."""
    with maintenance(address) as stub:
        response = stub.GetStatus(pb.GetStatusRequest(), timeout=TIMEOUT_S)
    if as_json:
        echo_json(response)
        return
    rows = [
        ("Server", f"RunIndex {response.store.server_version} at {address}"),
        *_store_rows(response),
        *_retention_rows(response.retention),
    ]
    echo_facts(rows)


def _store_rows(response: pb.GetStatusResponse) -> list[tuple[str, str]]:
    """Return what is told of the store, a line each."""
    store, sizes, backlog = response.store, response.sizes, response.backlog
    return [
        ("Store", f"{store.store_id}, created {time_text(store.create_time)}"),
        ("", f"epoch {store.epoch}, storage version {store.storage_version}, revision {response.revision:,}"),
        ("Sizes", f"{bytes_text(sizes.used_bytes)} used, {bytes_text(sizes.free_bytes)} free"),
        ("", f"{bytes_text(sizes.disk_bytes)} on disk, can grow to {bytes_text(sizes.map_bytes)}"),
        ("Readers", _readers(response.readers)),
        ("Runs", states_text(response.runs)),
        ("To do", f"{count_text(backlog.erasing_runs, 'deleted run')} to erase"),
        ("", f"{count_text(backlog.unmerged_changes, 'change')} of the search index to merge"),
        ("", f"{count_text(backlog.due_runs, 'run')} for the next compaction to look at"),
    ]


def _readers(readers: pb.StoreReaders) -> str:
    """Return who reads the store."""
    if not readers.count:
        return "none"
    behind = count_text(readers.oldest_lag_commits, "commit")
    return f"{readers.count:,}, the oldest {behind} behind"


def _retention_rows(retention: pb.RetentionStatus) -> list[tuple[str, str]]:
    """Return what is told of retention, a line each."""
    rows = [("Retention", f"default policy {policy_text(retention.default_policy)}")]
    if retention.HasField("last"):
        rows.append(
            ("", f"last compaction {time_text(retention.last.start_time)}: {removed(retention.last)}")
        )
    else:
        rows.append(("", "no compaction yet"))
    if retention.HasField("next_time"):
        rows.append(("", f"next compaction {time_text(retention.next_time)}"))
    else:
        rows.append(("", "no compaction is scheduled"))
    if retention.HasField("clock_jump"):
        jump = retention.clock_jump
        rows += [
            ("", f"THE WALL CLOCK JUMPED {span_text(jump.ahead)} forward: nothing is removed"),
            ("", f"until {time_text(jump.resume_time)}, unless compact --trust-clock says that it is right"),
        ]
    return rows


def removed(summary: pb.CompactionSummary) -> str:
    """Return what a compaction removed."""
    runs = count_text(summary.runs_deleted, "run")
    trimmed = count_text(summary.runs_trimmed, "run")
    versions, events = count_text(summary.versions, "version"), count_text(summary.events, "event")
    return (
        f"{runs} deleted; {versions} and {events} removed from {trimmed}; {bytes_text(summary.bytes)} in all"
    )
