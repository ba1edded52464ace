"""The server that is attacked: a real process, without TLS, that asks who calls; and a good client of it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc

from runindex.v1 import maintenance_pb2, maintenance_pb2_grpc, run_data_pb2_grpc, templates_pb2_grpc
from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex_server.access.caller import Role
from runindex_server.access.token_file import add_token
from runindex_server.access.tokens import new_token
from tests.crash.ledger import OWN_CONNECTION
from tests.support import calls
from tests.trust.wire.seeds import furnish

WAIT_S: Final = 60.0
MAP_BYTES: Final = 256 * 1024 * 1024
SHOWN_CHARS: Final = 2_000


class Host:
    """A server that runs, and a good client on a connection of its own.

    Attributes:
        token: With which an admin is let in.
        port: Where it listens.
    """

    def __init__(self, folder: Path, fault: str = "none") -> None:
        """Start it over a new store.

        Args:
            folder: Empty.
            fault: Of `launcher.SERVER_FAULTS`, or `none`.
        """
        token, self.token = new_token("good", Role.ADMIN, now=datetime.now(UTC), expire_time=None)
        add_token(folder / "tokens.json", token)
        command = [sys.executable, "-m", "tests.trust.wire.launcher", fault, "serve"]
        options = {
            "--address": "127.0.0.1:0",
            "--data-dir": str(folder / "data"),
            "--map-bytes": str(MAP_BYTES),
            "--tokens-file": str(folder / "tokens.json"),
            "--audit-log": str(folder / "audit.jsonl"),
            "--retention-interval-s": "0",
            "--drain-s": "1",
            "--log-level": "warning",
        }
        self._log = folder / "log"
        self._audit_log = folder / "audit.jsonl"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *(part for option in options.items() for part in option)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        found = re.search(r"listens on (127\.0\.0\.1):(\d+)", said)
        if found is None:
            self.close()
            msg = f"the server did not start: {said} {self.logged()}"
            raise AssertionError(msg)
        self.port = int(found.group(2))
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=OWN_CONNECTION)
        self._runs = _WithToken(pb_grpc.RunIndexStub(self._channel), self.token)

    def furnish(self) -> None:
        """Put something of everything into its store."""
        data, templates = (
            _WithToken(stub(self._channel), self.token)
            for stub in (run_data_pb2_grpc.RunDataStub, templates_pb2_grpc.RunTemplatesStub)
        )
        furnish(self._runs, data, templates)

    def logged(self) -> str:
        """Return what it logged."""
        return self._log.read_text(errors="replace")

    def audited(self) -> str:
        """Return what it wrote down of calls."""
        return self._audit_log.read_text(errors="replace")

    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self.code() is None

    def code(self) -> int | None:
        """Return how it ended; None while it runs."""
        return self._process.poll()

    def ask(self, number: int) -> str:
        """Create a run and read it as a good client does; return what is wrong, empty for nothing."""
        metadata = {"number": number, "words": ["good", None, True]}
        try:
            created = calls.create(self._runs, tags=["good", f"good {number}"], metadata=metadata)
            read = calls.get(self._runs, created.run_id)
            found = calls.by_tag(self._runs, f"good {number}")
        except grpc.RpcError as error:
            return f"a good client is refused: {error}"[:SHOWN_CHARS]
        is_right = created == read and found == [read.run_id]
        is_right = is_right and read.metadata == calls.struct(metadata) and read.state == pb.RUN_STATE_ACTIVE
        return "" if is_right else f"a good client is told {read}, {found}"

    def drifts(self) -> list[str]:
        """Return what verification finds."""
        stub = maintenance_pb2_grpc.MaintenanceStub(self._channel)
        pieces = stub.Verify(
            maintenance_pb2.VerifyRequest(), metadata=_metadata(self.token), timeout=10 * WAIT_S
        )
        told = list(pieces)
        if not told or told[-1].WhichOneof("piece") != "summary":
            return [f"verification does not end: {told[-1:]}"]
        return [str(piece) for piece in told if piece.WhichOneof("piece") == "drift"]

    def memory_kib(self) -> int:
        """Return what it holds of memory; pages of its store, which the kernel takes back, not included."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("RssAnon:")[2].split()[0])

    def descriptors(self) -> int:
        """Return how many files and connections it holds."""
        return sum(1 for _ in Path(f"/proc/{self._process.pid}/fd").iterdir())

    def stop(self) -> int:
        """Ask it to stop, and return how it ended."""
        self._channel.close()
        self._process.terminate()
        return self._process.wait(WAIT_S)

    def close(self) -> None:
        """See to it that it is gone."""
        if hasattr(self, "_channel"):
            self._channel.close()
        self._process.kill()
        self._process.wait(WAIT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


class _WithToken:
    """A stub whose calls carry a token."""

    def __init__(self, stub: Any, token: str) -> None:
        self._stub = stub
        self._token = token

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._stub, method)
        return lambda request: call(request, metadata=_metadata(self._token), timeout=WAIT_S)


def _metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@contextmanager
def hosted(folder: Path, fault: str = "none") -> Iterator[Host]:
    """Return a server over a furnished store, which is gone afterwards, whatever happens."""
    host = Host(folder, fault)
    try:
        host.furnish()
        yield host
    finally:
        host.close()
