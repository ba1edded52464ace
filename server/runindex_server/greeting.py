"""What a server says once it listens: to a person how to call it, and to the log."""

import sys
from typing import Final

from runindex_server import __version__
from runindex_server.logs import get_logger
from runindex_server.settings import Settings

WELCOME: Final = """\
RunIndex {version} listens on {address}; its store is in {data_dir}. Ctrl-C stops it.

  grpcurl -plaintext {address} list
  grpcurl -plaintext -d '{{"tags": ["hello"]}}' {address} runindex.v1.RunIndex/CreateRun
  grpcurl -plaintext {address} runindex.v1.RunIndex/ListRuns
"""


def greet(address: str, settings: Settings, *, is_remote: bool) -> None:
    """Say where a server listens.

    Args:
        address: Where, as callers write it.
        settings: Its own.
        is_remote: Whether other machines reach it there.
    """
    sys.stdout.write(
        WELCOME.format(version=__version__, address=address, data_dir=settings.data_dir.resolve())
    )
    sys.stdout.flush()
    log = get_logger(__name__)
    log.info("serving", address=address, version=__version__, workers=settings.workers)
    if is_remote:
        log.warning("reachable by other machines, without authentication")
