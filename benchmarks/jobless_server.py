"""A server that does none of the background work, so that one sees what that work costs others.

    python -m benchmarks.jobless_server DATA_DIR

It prints its port. Its list of changed terms fills up, so it is good for some 16,000 writes.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvloop

from runindex_server.clock import SystemClock
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.rpc.server import Options, start_server
from runindex_server.runs.bootstrap import initialise
from runindex_server.settings import Settings


async def serve(data_dir: Path) -> None:
    """Serve a store until the process is ended."""
    clock = SystemClock()
    map_bytes = Settings().map_bytes
    store = open_lmdb(
        data_dir, clock=clock, map_bytes=map_bytes, initialise=initialise, on_fatal=lambda: os._exit(1)
    )
    server = await start_server(store, address="127.0.0.1:0", clock=clock, options=Options(run_jobs=False))
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
