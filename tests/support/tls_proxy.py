"""TLS in front of a server: what ends it, as a proxy does for a server that speaks none itself."""

import asyncio
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import trustme

from tests.support.server import LoopThread

PIECE_BYTES: Final = 64 * 1024

HOST: Final = "localhost"
"""Whose certificate the proxy shows."""


class TlsProxy:
    """Ends TLS on a free port of the loopback interface, and passes the bytes on. Started when made.

    Attributes:
        authority: Who signed its certificate.
    """

    def __init__(self, loop: LoopThread, target: str) -> None:
        """Listen.

        Args:
            loop: Where it runs.
            target: The address of the server that it passes the bytes to.
        """
        self.authority = trustme.CA()
        self._loop = loop
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._connections: set[asyncio.Task[None]] = set()
        self._server = loop.run(self._listen())

    @property
    def target(self) -> str:
        """Where it can be called, by the name that is in its certificate."""
        return f"{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def write_ca(self, file: Path) -> Path:
        """Write the certificate to trust into a file, and return the file."""
        self.authority.cert_pem.write_to_path(file)
        return file

    def stop(self) -> None:
        """Stop listening, and cut all connections."""
        self._loop.run(self._stop())

    async def _listen(self) -> asyncio.Server:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        # What gRPC insists on: a server that agrees on nothing is left at once.
        context.set_alpn_protocols(["h2"])
        self.authority.issue_cert(HOST).configure_cert(context)
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)

    async def _stop(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes from both sides of a connection, until one of them ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
            try:
                await until_first(_copy(reader, inner_writer), _copy(inner_reader, writer))
            finally:
                inner_writer.transport.abort()
        finally:
            writer.transport.abort()
            self._connections.discard(task)


async def until_first(*copies: Coroutine[Any, Any, None]) -> None:
    """Run both directions; when one ends, end the other."""
    tasks = [asyncio.create_task(copy) for copy in copies]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
