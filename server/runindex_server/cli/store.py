"""`restore` and `shrink`: what is done to a data directory that no server holds."""

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from runindex_server.cli.exits import exit_with
from runindex_server.cli.faults import fault_text
from runindex_server.cli.options import flag, load_settings
from runindex_server.cli.progress import progress
from runindex_server.cli.verify import Report, report_on, rows_text, summary_text
from runindex_server.cli.words import bytes_text
from runindex_server.clock import SystemClock
from runindex_server.errors import RunIndexError
from runindex_server.kv.api import WriteTxn
from runindex_server.kv.guard import StoreRefused
from runindex_server.kv.lmdb_restore import Restoration, restoring
from runindex_server.kv.lmdb_shrink import shrink as shrink_store
from runindex_server.schema.header import StorageVersionUnknown, read_header, replace_header
from runindex_server.schema.migrations import migrate

FAULTS: Final = (StoreRefused, StorageVersionUnknown, RunIndexError, OSError)
"""What ends these commands with a sentence."""


class BackupDrifted(Exception):
    """A backup holds what does not follow from its records."""


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.", dir_okay=False)],
    data_dir: Annotated[Path, typer.Option(help="A new or empty folder for the store.", file_okay=False)],
    map_bytes: Annotated[int | None, flag("map_bytes")] = None,
) -> None:
    """Make a store of a backup, in a new folder, once it is verified."""
    settings = load_settings({"map_bytes": map_bytes})
    try:
        with restoring(data_dir, clock=SystemClock(), map_bytes=settings.map_bytes) as restoration:
            verified = _restore(restoration, file)
            restoration.finish(renew)
    except BackupDrifted as drifted:
        exit_with(f"{file} is not restored: {drifted}")
    except FAULTS as error:
        exit_with(fault_text(file, error))
    typer.echo(f"{data_dir} holds the store now. {verified}")


def shrink(
    data_dir: Annotated[Path | None, flag("data_dir")] = None,
    map_bytes: Annotated[int | None, flag("map_bytes")] = None,
) -> None:
    """Write the file of a store anew, without its free pages; for a store that no server holds."""
    settings = load_settings({"data_dir": data_dir, "map_bytes": map_bytes})
    try:
        before, after = shrink_store(settings.data_dir, map_bytes=settings.map_bytes)
    except FAULTS as error:
        exit_with(fault_text(settings.data_dir, error))
    typer.echo(f"{settings.data_dir}: {bytes_text(before.disk)} before, {bytes_text(after.disk)} now.")


def renew(txn: WriteTxn) -> None:
    """Begin a new history of a store, so that nothing that the old one gave out is taken for its own."""
    replace_header(txn, replace(read_header(txn), epoch=secrets.token_bytes(8)))


def _restore(restoration: Restoration, file: Path) -> str:
    """Copy a backup in, bring it up to date, verify it, and return what that came to.

    Raises:
        BackupDrifted: It is not sound.
        StoreRefused, StorageVersionUnknown, RunIndexError, OSError: It cannot be restored.
    """
    with progress(bytes_text) as tell:
        total_bytes = file.stat().st_size
        restoration.copy_in(file, progress=lambda done: tell("copying", done, total_bytes))
    asyncio.run(_migrate(restoration))
    with progress(rows_text) as tell:
        report = Report(tell)
        asyncio.run(_verify(restoration, report))
    assert report.summary is not None, "a verification ends with a summary"
    if report.summary.drifts:
        raise BackupDrifted(summary_text(report.summary))
    return summary_text(report.summary)


async def _migrate(restoration: Restoration) -> None:
    """Bring what was copied to the storage version of this server."""
    store = restoration.open()
    try:
        await migrate(store, progress=lambda line: typer.echo(line, err=True))
    finally:
        await store.close()


async def _verify(restoration: Restoration, report: Report) -> None:
    """Verify what was copied."""
    store = restoration.open_to_verify()
    try:
        await report_on(store, report)
    finally:
        await store.close()
