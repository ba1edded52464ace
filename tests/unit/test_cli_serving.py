"""A process that serves nobody any more ends, so that whoever watches it starts another."""

import asyncio
import json
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest

from runindex_server.cli.serving import Part, Stopping, serve_until_asked
from runindex_server.exit_codes import EXIT_FATAL
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.logs import configure_logs
from runindex_server.rpc.server import Server
from runindex_server.runs.bootstrap import initialise
from runindex_server.settings import Settings
from tests.support.clock import ManualClock


@pytest.mark.parametrize(("is_asked", "code"), [(False, EXIT_FATAL), (True, 0)])
def test_a_server_that_grpc_ends_by_itself_stops(tmp_path: Path, *, is_asked: bool, code: int) -> None:
    log = StringIO()

    async def serve() -> int:
        stopping, ends = Stopping(), []

        def on_ready(server: Server) -> None:
            ends.append(asyncio.create_task(end(server)))

        async def end(server: Server) -> None:
            # By then everything waits for the end.
            await asyncio.sleep(0)
            if is_asked:
                stopping.ask()
            else:
                await server._server.stop(None)

        return await serve_until_asked(
            lambda _: MemoryStore(clock=ManualClock(), initialise=initialise),
            Settings(data_dir=tmp_path, drain_s=0),
            Part(address="127.0.0.1:0"),
            stopping,
            on_ready,
        )

    with redirect_stderr(log):
        configure_logs("info", "json")
        assert asyncio.run(asyncio.wait_for(serve(), 60)) == code
    configure_logs("warning", "json")

    told = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert ("gRPC has stopped serving; the server stops" in told) == (not is_asked)
