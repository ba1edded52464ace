"""The port of a server of several processes: owned by the one that starts them, for as long as it lives."""

import errno
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from runindex_server.rpc.address import AddressInUse, join_address, split_address

_TRIES_MAX: Final = 10
"""Free ports that are tried until one is free at every address of the host."""

_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""An address of a name that this machine does not have, such as IPv6's of `localhost`."""


class OwnedPort:
    """Sockets that are bound and do not listen: no other server takes the port, not even between two workers.

    Attributes:
        address: Where the workers listen, with the port that was taken.
    """

    def __init__(self, host: str, port: int, sockets: Sequence[socket.socket]) -> None:
        """Own sockets that are bound to a port of a host."""
        self.address = join_address(host, port)
        self._sockets = sockets

    @classmethod
    def take(cls, address: str) -> "OwnedPort":
        """Take the port of an address; port 0 takes a free one.

        Raises:
            InvalidAddress: The address is none.
            AddressInUse: It cannot be listened on.
        """
        host, port = split_address(address)
        for _ in range(1 if port else _TRIES_MAX):
            with suppress(OSError):
                sockets = _bind_all(host, port)
                return cls(host, sockets[0].getsockname()[1], sockets)
        raise AddressInUse(address)

    def close(self) -> None:
        """Give the port up."""
        for owned in self._sockets:
            owned.close()


def _bind_all(host: str, port: int) -> list[socket.socket]:
    """Bind a socket to each address of a host, all to one port.

    Raises:
        OSError: One of them is in use, or there is none.
    """
    # gRPC listens at both, whatever the machine's list of names says.
    hosts = ("127.0.0.1", "::1") if host == "localhost" else (host,)
    found = [entry for name in hosts for entry in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]
    sockets: list[socket.socket] = []
    try:
        for family, place in dict.fromkeys((entry[0], entry[4]) for entry in found):
            taken = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(_bind(family, (place[0], taken, *place[2:])))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    if not sockets:
        raise OSError(errno.EADDRNOTAVAIL, host)
    return sockets


def _bind(family: int, place: tuple[object, ...]) -> socket.socket:
    """Bind a socket to a port that nobody has, and let the workers share it from then on.

    Raises:
        OSError: It cannot be bound; EADDRINUSE when somebody has it, also when he would share it.
    """
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier server that the kernel still remembers do not count.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
        # Nor can anybody else take it on such terms, while no worker listens.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        bound.close()
        raise
    return bound
