"""What `backup` takes for whole, and what becomes of the file when it is not."""

import hashlib
from io import BytesIO
from pathlib import Path

import pytest

from runindex.v1 import maintenance_pb2 as pb
from runindex_server.cli.backup import BackupNotWhole, BackupRunning, partial_file, receive

CHUNKS = (b"first", b"second", b"third")


def header(total_bytes: int = len(b"".join(CHUNKS))) -> pb.BackupResponse:
    return pb.BackupResponse(header=pb.BackupHeader(total_bytes=total_bytes), revision=7)


def chunk(data: bytes) -> pb.BackupResponse:
    return pb.BackupResponse(chunk=data, revision=7)


def trailer(data: bytes = b"".join(CHUNKS)) -> pb.BackupResponse:
    digest = hashlib.sha256(data).digest()
    return pb.BackupResponse(trailer=pb.BackupTrailer(sha256=digest), revision=7)


def ignore(_: str, __: int, ___: int | None) -> None:
    pass


def test_a_whole_backup_is_written() -> None:
    file = BytesIO()
    told: list[tuple[int, int | None]] = []
    received = receive(
        iter([header(), *map(chunk, CHUNKS), trailer()]),
        file,
        lambda _, done, total: told.append((done, total)),
    )

    assert file.getvalue() == b"".join(CHUNKS)
    assert (received.revision, received.header.total_bytes) == (7, 16)
    assert told == [(5, 16), (11, 16), (16, 16)]


@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        ([], "begins without a header"),
        ([chunk(b"first"), trailer(b"first")], "begins without a header"),
        ([header(), *map(chunk, CHUNKS)], "ends without a trailer"),
        ([header()], "ends without a trailer"),
        ([header(), *map(chunk, CHUNKS[:2]), trailer(b"firstsecond")], "has 11 bytes instead of 16"),
        ([header(5), *map(chunk, CHUNKS), trailer()], "has 16 bytes instead of 5"),
        ([header(), *map(chunk, CHUNKS), trailer(b"other")], "was changed on its way"),
        ([header(), *map(chunk, reversed(CHUNKS)), trailer()], "was changed on its way"),
    ],
)
def test_what_is_not_whole_is_told(pieces: list[pb.BackupResponse], problem: str) -> None:
    with pytest.raises(BackupNotWhole, match=problem):
        receive(iter(pieces), BytesIO(), ignore)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "one"


def test_the_file_has_its_name_when_it_is_whole(file: Path) -> None:
    with partial_file(file) as partial:
        partial.write(b"whole")
        assert names(file.parent) == ["one.partial"]
        assert (file.parent / "one.partial").stat().st_mode & 0o777 == 0o600

    assert names(file.parent) == ["one"]
    assert file.read_bytes() == b"whole"


def test_nothing_is_left_of_a_file_that_is_not_whole(file: Path) -> None:
    def fail() -> None:
        with partial_file(file) as partial:
            partial.write(b"half")
            raise BackupNotWhole("is half")

    with pytest.raises(BackupNotWhole):
        fail()
    assert names(file.parent) == []


def test_what_is_left_of_a_killed_process_is_written_over(file: Path) -> None:
    left = file.with_name("one.partial")
    left.write_bytes(b"left of a longer one")
    with partial_file(file) as partial:
        partial.write(b"whole")

    assert names(file.parent) == ["one"]
    assert file.read_bytes() == b"whole"


def test_two_backups_do_not_write_one_file(file: Path) -> None:
    def begin_again() -> None:
        with partial_file(file):
            pytest.fail("it was not refused")

    with partial_file(file) as partial:
        partial.write(b"first")
        with pytest.raises(BackupRunning):
            begin_again()

    assert file.read_bytes() == b"first"


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    def begin() -> None:
        with partial_file(file):
            pytest.fail("it was not refused")

    precious = tmp_path / "precious"
    precious.write_text("mine")
    file.with_name("one.partial").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link"):
        begin()
    assert precious.read_text() == "mine"
