"""What operators do: look at the store, enforce retention, verify, back up."""

from collections.abc import AsyncIterator
from pathlib import Path

from runindex._async._calls import AsyncCalls
from runindex._async._work import AsyncWork
from runindex._backup_file import BackupFile
from runindex._convert_maintenance import compacted_of, status_of, verified_of
from runindex._maintenance_types import (
    Backup,
    BackupProgress,
    CompactedRun,
    CompactionSummary,
    Drift,
    StoreStatus,
    VerifyProgress,
    VerifySummary,
)
from runindex.v1 import maintenance_pb2 as pb


class AsyncMaintenance:
    """What the storage layer does for operators.

    What takes its time is an `AsyncWork`: iterated over, it tells how far it is; its `result` is what it came
    to. It may take longer than `timeout_s` of the client, and is made again only where nothing was told yet.
    """

    def __init__(self, calls: AsyncCalls) -> None:
        """Make calls through a connection."""
        self._calls = calls

    async def status(self) -> StoreStatus:
        """Return what the store is like; cheap, whatever it holds."""
        return status_of(await self._calls.unary(pb.GetStatusRequest, pb.GetStatusResponse))

    def compact(
        self, *, dry_run: bool = False, trust_clock: bool = False
    ) -> AsyncWork[CompactedRun, CompactionSummary]:
        """Enforce retention now, telling of each run what goes and why.

        Cut off anywhere, it loses nothing; the next one goes on.

        Args:
            dry_run: Whether to tell only what would go.
            trust_clock: Whether to trust the server's clock although it has jumped.

        Raises:
            InvalidField: Once it is begun: the two do not go together.
            FailedPrecondition: Once it is begun: the clock has jumped (CLOCK_JUMPED).
        """

        async def pieces() -> AsyncIterator[CompactedRun | CompactionSummary | None]:
            request = pb.CompactRequest(dry_run=dry_run, trust_clock=trust_clock)
            async with self._calls.stream(request, pb.CompactResponse) as stream:
                async for piece in stream:
                    yield compacted_of(piece)

        return AsyncWork(pieces, CompactionSummary, "compact")

    def verify(self) -> AsyncWork[VerifyProgress | Drift, VerifySummary]:
        """Check that everything in the store follows from its records; it repairs nothing.

        At most 1,000 drifts are told; the result counts all.

        Raises:
            ResourceExhausted: Once it is begun: the server's disk has no room for a copy (STORE_FULL).
        """

        async def pieces() -> AsyncIterator[VerifyProgress | Drift | VerifySummary | None]:
            async with self._calls.stream(pb.VerifyRequest(), pb.VerifyResponse) as stream:
                async for piece in stream:
                    yield verified_of(piece)

        return AsyncWork(pieces, VerifySummary, "verify")

    def backup(self, file: str | Path) -> AsyncWork[BackupProgress, Backup]:
        """Write a consistent snapshot of the store into a file, while the server goes on.

        The file is there when all of it was received and its checksum is right, and not before. It holds the
        store's secrets: keep it as safe as the store. It is written where the client's calls are made, also
        where that is an event loop.

        Args:
            file: Where to; it must not exist.

        Raises:
            FileExistsError: Once it is begun: the file exists.
            OSError: Once it is begun: it cannot be written.
            ResourceExhausted: Once it is begun: the server's disk has no room for a copy (STORE_FULL).
            DataLoss: Once it is begun: what was received is not whole.
        """

        async def pieces() -> AsyncIterator[BackupProgress | Backup | None]:
            partial = BackupFile(Path(file))
            try:
                async with self._calls.stream(pb.BackupRequest(), pb.BackupResponse) as stream:
                    async for piece in stream:
                        yield partial.take(piece)
            finally:
                partial.close()

        return AsyncWork(pieces, Backup, "backup")
