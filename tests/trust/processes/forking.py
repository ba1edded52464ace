"""A process that opens a store, forks, and uses it in both: prints what came of it, as JSON.

Runs as a program of its own: `python -m tests.trust.processes.forking FOLDER`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from runindex_server.clock import SystemClock
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.lmdb_store import LmdbStore, open_lmdb
from runindex_server.runs.bootstrap import initialise
from tests.crash.process import MAP_BYTES

KEY: Final = bytes(16) + b"\xffforked"


def main(folder: Path) -> None:
    """Open, fork, and tell."""
    store = open_lmdb(
        folder,
        clock=SystemClock(),
        map_bytes=MAP_BYTES,
        initialise=initialise,
        on_fatal=lambda: None,
    )
    before = asyncio.run(_write(store, b"before"))
    reading, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(told, json.dumps(_use(store)).encode())
        # As a child ends that knows nothing of the store: with all that Python does at the end.
        sys.exit(0)
    os.close(told)
    with os.fdopen(reading) as answer:
        in_child = json.loads(answer.read())
    os.waitpid(child, 0)
    after = asyncio.run(_write(store, b"after"))
    found = asyncio.run(store.read(lambda txn: txn.get(KEY)))
    sys.stdout.write(json.dumps({"child": in_child, "parent": [before, after, (found or b"").decode()]}))
    sys.stdout.write("\n")
    sys.stdout.flush()
    # The test looks whether the store is still held.
    sys.stdin.read()


async def _write(store: LmdbStore, value: bytes) -> str:
    def put(txn: WriteTxn) -> None:
        txn.put(KEY, value)

    await store.write(put)
    return "written"


def _use(store: LmdbStore) -> dict[str, str]:
    """Use a store in every way, and return what each came to."""

    async def copy() -> None:
        async with store.engine.copy():
            pass

    def get(txn: ReadTxn) -> bytes | None:
        return txn.get(KEY)

    awaited: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "read": lambda: store.read(get),
        "read elsewhere": lambda: store.read(get, offload=True),
        "write": lambda: _write(store, b"child"),
        "copy": copy,
        "close": store.close,
    }
    called: dict[str, Callable[[], object]] = {
        **{name: lambda use=use: asyncio.run(use()) for name, use in awaited.items()},
        "sizes": store.engine.sizes,
        "readers": store.engine.readers,
    }
    return {name: _outcome(use) for name, use in called.items()}


def _outcome(use: Callable[[], object]) -> str:
    try:
        return f"came to {use()!r}"
    except Exception as error:  # noqa: BLE001  # Whatever it is, it is told.
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
