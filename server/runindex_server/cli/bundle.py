"""`export` and `import`: runs of a store that no server holds, or of a backup, carried to another store."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from runindex_server.bundles.archive import BundleRefused, Counts
from runindex_server.bundles.export import Exported, ExportRefused, ExportRequest, export_runs
from runindex_server.bundles.importing import (
    ImportRefused,
    check_target,
    import_bundle,
    read_bundle,
)
from runindex_server.cli.backup import BackupRunning, partial_file
from runindex_server.cli.exits import exit_with
from runindex_server.cli.faults import fault_text
from runindex_server.cli.options import flag, load_settings
from runindex_server.cli.progress import progress
from runindex_server.cli.words import bytes_text, count_text
from runindex_server.clock import SystemClock
from runindex_server.errors import CommitOutcomeUnknown, RunIndexError
from runindex_server.kv.guard import StoreRefused
from runindex_server.kv.lmdb_offline import file_at_rest, own_store, store_at_rest
from runindex_server.schema.header import StorageVersionUnknown, StoreNotMigrated
from runindex_server.schema.run import RunId, parse_run_id
from runindex_server.settings import Settings

STANDARD_INPUT: Final = "-"


def export_bundle(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Ids of runs, or - for ids on standard input, one a line."),
    ],
    file: Annotated[Path, typer.Argument(help="The bundle to write. It must not exist.", dir_okay=False)],
    *,
    data_dir: Annotated[Path | None, flag("data_dir")] = None,
    backup: Annotated[
        Path | None,
        typer.Option(
            "--file", help="A backup to read instead, so that no server has to stop.", dir_okay=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option(help="Export also runs that have not ended, as they are.")] = False,
) -> None:
    """Write runs, with their history and data, into a bundle that another store can import."""
    settings = load_settings({"data_dir": data_dir})
    run_ids = list(_run_ids(runs))
    if file.exists():
        exit_with(f"{file} exists, and is not overwritten; name another file, or remove it.")
    request = ExportRequest(run_ids=run_ids, is_forced=force, create_us=SystemClock().now_us())
    try:
        with partial_file(file) as partial, _faults_told(backup or settings.data_dir):
            source = store_at_rest(settings.data_dir) if backup is None else file_at_rest(backup)
            with source as store, progress(bytes_text) as tell:
                exported: Exported = store.read(
                    lambda txn: export_runs(
                        txn, request, partial, progress=lambda done: tell("writing", done, None)
                    )
                )
    except BackupRunning:
        exit_with(f"{file} is being written by another command.")
    except OSError as error:
        exit_with(fault_text(file, error))
    typer.echo(f"{file}: {counts_text(exported.counts)}, {bytes_text(exported.size_bytes)}.")


def import_runs(
    file: Annotated[Path, typer.Argument(help="The bundle.", dir_okay=False)],
    *,
    data_dir: Annotated[Path | None, flag("data_dir")] = None,
    map_bytes: Annotated[int | None, flag("map_bytes")] = None,
    dry_run: Annotated[bool, typer.Option(help="Verify the bundle, and tell what would come.")] = False,
) -> None:
    """Take the runs of a bundle into a store that no server holds: all of them, or none."""
    settings = load_settings({"data_dir": data_dir, "map_bytes": map_bytes})
    with _faults_told(settings.data_dir):
        counts = _import(file, settings, dry_run=dry_run)
    told = counts_text(counts)
    if dry_run:
        typer.echo(
            f"{file} is sound: {told} would come into {settings.data_dir} (dry run: nothing was written)."
        )
    else:
        typer.echo(f"{settings.data_dir} holds {told} more, of {file}.")


def counts_text(counts: Counts) -> str:
    """Return how much a bundle holds."""
    return ", ".join(
        (
            count_text(counts.runs, "run"),
            count_text(counts.transitions, "transition"),
            count_text(counts.versions, "version"),
            count_text(counts.events, "event"),
        )
    )


def _run_ids(texts: Sequence[str]) -> Iterator[RunId]:
    """Yield the runs that are named, or end the command."""
    for text in texts:
        for name in sys.stdin.read().split() if text == STANDARD_INPUT else (text,):
            run_id = parse_run_id(name)
            if run_id is None:
                exit_with(f"{name!r} is no run id.")
            yield run_id


def _import(file: Path, settings: Settings, *, dry_run: bool) -> Counts:
    """Import a bundle, or only verify it, and return how much it holds; or end the command."""
    clock = SystemClock()
    try:
        with file.open("rb") as opened:
            bundle = read_bundle(opened, now_us=clock.now_us())
            with (
                own_store(settings.data_dir, clock=clock, map_bytes=settings.map_bytes) as store,
                progress(bytes_text) as tell,
            ):
                asyncio.run(check_target(store, bundle))
                if not dry_run:
                    asyncio.run(
                        import_bundle(store, bundle, progress=lambda done: tell("staging", done, None))
                    )
            return bundle.counts
    except BundleRefused as error:
        exit_with(f"{file} is not imported: it {error}.")
    except OSError as error:
        exit_with(fault_text(file, error))


@contextmanager
def _faults_told(source: Path) -> Iterator[None]:
    """End the command with a sentence for what is wrong with a store, or with what is asked of it."""
    try:
        yield
    except (ExportRefused, ImportRefused) as error:
        exit_with(str(error))
    except StoreNotMigrated:
        exit_with(
            f"{source} is of an older storage version; a server that starts on it, or `restore` of a backup, "
            "brings it up to date."
        )
    except CommitOutcomeUnknown:
        exit_with(f"The disk failed while {source} was written; look at it, and whether the runs are there.")
    except (StoreRefused, StorageVersionUnknown, RunIndexError) as error:
        exit_with(fault_text(source, error))
