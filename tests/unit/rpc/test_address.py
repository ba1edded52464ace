"""Addresses: which are loopback, and which are none."""

import pytest

from runindex_server.rpc.address import InvalidAddress, is_loopback, split_address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:50051", True),
        ("127.9.9.9:1", True),
        ("[::1]:50051", True),
        ("localhost:0", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        ("192.168.1.2:50051", False),
        ("runindex.example:50051", False),
        ("localhost.example:50051", False),
    ],
)
def test_tells_what_only_this_machine_reaches(address: str, expected: bool) -> None:  # noqa: FBT001
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    "address", ["", "50051", ":50051", "127.0.0.1", "127.0.0.1:", "h:65536", "h:-1", "h:x"]
)
def test_refuses_what_is_no_address(address: str) -> None:
    with pytest.raises(InvalidAddress):
        split_address(address)
