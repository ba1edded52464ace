"""Where the server listens, and whether other machines can reach it there."""

import ipaddress


class InvalidAddress(ValueError):
    """Not `host:port`."""


class AddressInUse(Exception):
    """The address cannot be listened on."""

    def __init__(self, address: str) -> None:
        """Take the address."""
        super().__init__(f"cannot listen on {address}: is another server running there?")


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of an address, an IPv6 host without its brackets.

    Raises:
        InvalidAddress: It is not `host:port`, or the port is none.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        msg = f"{address!r} is not host:port, such as 127.0.0.1:50051 or [::1]:50051"
        raise InvalidAddress(msg)
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    """Return the address of a host and a port, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches an address. A name counts as remote, but for `localhost`.

    Raises:
        InvalidAddress: As `split_address`.
    """
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
