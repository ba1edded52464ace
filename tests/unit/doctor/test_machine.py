"""The machine as `doctor` sees it."""

import platform
import resource

import google.protobuf
import grpc
import lmdb
import pytest
from google.protobuf.internal import api_implementation

from runindex_server import __version__
from tests.unit.doctor.conftest import Examine

VERSIONS = (
    f"RunIndex {__version__}, Python {platform.python_version()}, gRPC {grpc.__version__}, "
    f"protobuf {google.protobuf.__version__}"
)
LMDB = f"LMDB {'.'.join(map(str, lmdb.version()))}"
WAY_OUT = "raise that (ulimit -Hn, LimitNOFILE in systemd, --ulimit nofile in Docker)"


def limit(monkeypatch: pytest.MonkeyPatch, which: int, bound: int) -> None:
    """Let the process have a limit, and no other one."""
    monkeypatch.setattr(
        resource,
        "getrlimit",
        lambda asked: (bound, bound) if asked == which else (resource.RLIM_INFINITY,) * 2,
    )


def test_versions_are_told(examined: Examine) -> None:
    assert examined()["software"] == ("ok", f"{VERSIONS} (upb), {LMDB}")


def test_protobuf_without_its_fast_part_is_told(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_implementation, "Type", lambda: "python")
    assert examined()["software"] == (
        "warning",
        (
            f"{VERSIONS} (python), {LMDB}: protobuf runs in python, many times slower than upb; unset "
            "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install its wheel for this machine"
        ),
    )


@pytest.mark.parametrize(
    ("files", "level", "told"),
    [
        (100, "problem", f"a process may open 100 files, and each connection is one; {WAY_OUT}"),
        (255, "problem", f"a process may open 255 files, and each connection is one; {WAY_OUT}"),
        *(
            (
                files,
                "warning",
                (
                    f"a process may open {files:,} files, so that fewer than 10,000 connections are taken; "
                    f"{WAY_OUT}"
                ),
            )
            for files in (256, 10_099)
        ),
        (10_100, "ok", "10,100 open files"),
        (resource.RLIM_INFINITY, "ok", "any number of open files"),
    ],
)
def test_open_files(
    examined: Examine, monkeypatch: pytest.MonkeyPatch, files: int, level: str, told: str
) -> None:
    limit(monkeypatch, resource.RLIMIT_NOFILE, files)
    assert examined()["limits"] == (level, told)


def test_address_space(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, resource.RLIMIT_AS, 2**30)
    assert examined(map_bytes=2**30)["limits"][0] == "ok"
    assert examined(map_bytes=2**30 + 1)["limits"] == (
        "problem",
        (
            "a process may map 1.0 GiB, and the store maps 1.0 GiB; raise that (ulimit -v unlimited), or "
            "lower --map-bytes"
        ),
    )


def test_length_of_files(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, resource.RLIMIT_FSIZE, 2**30)
    assert examined(map_bytes=2**31)["limits"] == (
        "warning",
        (
            "a file may grow to 1.0 GiB, where writes are refused by STORE_FULL; raise that (ulimit -f "
            "unlimited)"
        ),
    )
