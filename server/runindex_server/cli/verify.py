"""`verify`: whether everything in a store follows from the records, asked of a server or of a file."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer

from runindex.v1 import maintenance_pb2 as pb
from runindex_server.cli.asking import DEFAULT_ADDRESS, Address
from runindex_server.cli.exits import EXIT_DRIFTED, EXIT_NOT_VERIFIED, exit_with
from runindex_server.cli.faults import fault_text
from runindex_server.cli.progress import Tell, progress
from runindex_server.cli.remote import maintenance
from runindex_server.cli.words import count_text, took_text
from runindex_server.errors import RunIndexError
from runindex_server.kv.engine import MaintainedStore
from runindex_server.kv.guard import StoreRefused
from runindex_server.kv.lmdb_file import LmdbFile
from runindex_server.kv.lmdb_offline import holding_owner
from runindex_server.maintenance.verify.verification import verify as verify_store
from runindex_server.rpc.maintenance_convert import verify_response
from runindex_server.schema.header import StorageVersionUnknown, StoreNotMigrated


class Report:
    """What a verification tells, as it comes.

    Attributes:
        summary: What it came to; None while it has not ended.
    """

    def __init__(self, tell: Tell) -> None:
        """Take what shows how far it is."""
        self._tell = tell
        self.summary: pb.VerifySummary | None = None

    def add(self, piece: pb.VerifyResponse) -> None:
        """Show a piece: a drift on a line of standard output."""
        match piece.WhichOneof("piece"):
            case "progress":
                self._tell(f"checking {piece.progress.phase}", piece.progress.rows, None)
            case "drift":
                drift = piece.drift
                typer.echo(f"{drift.subspace}: {drift.problem} [{drift.key}]")
            case "summary":
                self.summary = piece.summary
            case None:  # Of a newer server.
                pass


def verify(
    address: Address = DEFAULT_ADDRESS,
    *,
    file: Annotated[
        Path | None, typer.Option(help="A backup to verify instead, without a server.", dir_okay=False)
    ] = None,
) -> None:
    """Check that a store is sound; exits 0 when it is, 1 when something drifted, 2 when it cannot tell."""
    with progress(rows_text) as tell:
        report = Report(tell)
        if file is None:
            with maintenance(address, exit_code=EXIT_NOT_VERIFIED) as stub:
                for piece in stub.Verify(pb.VerifyRequest()):
                    report.add(piece)
        else:
            _verify_file(file, report)
    if report.summary is None:
        exit_with("The verification did not come to its end; run it again.", EXIT_NOT_VERIFIED)
    typer.echo(summary_text(report.summary))
    raise typer.Exit(EXIT_DRIFTED if report.summary.drifts else 0)


async def report_on(store: MaintainedStore, report: Report) -> None:
    """Verify a store that this process has open.

    Raises:
        RunIndexError: It cannot be read.
    """
    async with aclosing(verify_store(store)) as pieces:
        async for piece in pieces:
            report.add(verify_response(piece))


def rows_text(number: int) -> str:
    """Return a number of rows."""
    return count_text(number, "row")


def summary_text(summary: pb.VerifySummary) -> str:
    """Return what a verification came to."""
    runs, rows = count_text(summary.runs, "run"), rows_text(summary.rows)
    found = f"{count_text(summary.drifts, 'drift')} in" if summary.drifts else "Sound:"
    return f"{found} {runs}, {rows}. It took {took_text(summary.duration)}."


def _verify_file(file: Path, report: Report) -> None:
    """Verify a data file, or end the command."""

    async def verify_file() -> None:
        store = LmdbFile(file)
        try:
            await report_on(store, report)
        finally:
            await store.close()

    try:
        # The data file of a store is not read while a server writes it.
        with holding_owner(file):
            asyncio.run(verify_file())
    except StoreNotMigrated:
        exit_with(
            f"{file} is of an older storage version; `restore` brings it up to date.", EXIT_NOT_VERIFIED
        )
    except (StoreRefused, StorageVersionUnknown, RunIndexError, OSError) as error:
        exit_with(fault_text(file, error), EXIT_NOT_VERIFIED)
