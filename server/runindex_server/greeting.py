"""What a server says once it listens: to a person how to call it, and to the log."""

import sys
from typing import Final

from runindex_server import __version__
from runindex_server.logs import get_logger
from runindex_server.settings import Settings

WELCOME: Final = """\
RunIndex {version} listens on {address}; its store is in {data_dir}. Ctrl-C stops it.

  {grpcurl} {address} list
  {grpcurl} -d '{{"tags": ["hello"]}}' {address} runindex.v1.RunIndex/CreateRun
  {grpcurl} {address} runindex.v1.RunIndex/ListRuns
"""


def greet(address: str, settings: Settings, *, is_remote: bool) -> None:
    """Say where a server listens.

    Args:
        address: Where, as callers write it.
        settings: Its own.
        is_remote: Whether other machines reach it there.
    """
    sys.stdout.write(
        WELCOME.format(
            version=__version__,
            address=address,
            data_dir=settings.data_dir.resolve(),
            grpcurl=_grpcurl(settings),
        )
    )
    sys.stdout.flush()
    log = get_logger(__name__)
    log.info("serving", address=address, version=__version__, workers=settings.workers)
    if is_remote and settings.insecure_allow_remote:
        log.warning("reachable by other machines, without authentication or in the clear")


def _grpcurl(settings: Settings) -> str:
    """Return how grpcurl is called, as far as the server knows it."""
    words = ["grpcurl", "-plaintext" if settings.tls_cert is None else "-cacert CA.pem"]
    if settings.tls_client_ca is not None:
        words.append("-cert CERT.pem -key KEY.pem")
    if settings.tokens_file is not None:
        words.append("-H 'authorization: Bearer TOKEN'")
    return " ".join(words)
