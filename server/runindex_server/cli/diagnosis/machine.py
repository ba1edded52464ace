"""The machine: what is installed, and what it allows a process."""

import platform
import resource
from collections.abc import Iterator
from typing import Final

import google.protobuf
import grpc
from google.protobuf.internal import api_implementation

from runindex_server import __version__
from runindex_server.cli.diagnosis.finding import Finding, gravest, ok, problem, warning
from runindex_server.cli.diagnosis.patient import Patient
from runindex_server.cli.words import bytes_text
from runindex_server.kv.lmdb_snapshots import engine_version
from runindex_server.rpc.server import CHANNEL_OPTIONS

FILES_MIN: Final = 256
"""Fewer open files than this leave hardly any for connections."""

OWN_FILES: Final = 100
"""What a server has open beside connections, generously."""

_CONNECTIONS_MAX: Final = dict(CHANNEL_OPTIONS)["grpc.max_allowed_incoming_connections"]


def check_software(_: Patient) -> Iterator[Finding]:
    """Tell the versions of what a server runs on."""
    kind = api_implementation.Type()
    told = (
        f"RunIndex {__version__}, Python {platform.python_version()}, gRPC {grpc.__version__}, "
        f"protobuf {google.protobuf.__version__} ({kind}), LMDB {engine_version()}"
    )
    if kind == "upb":
        yield ok(told)
    else:
        yield warning(
            f"{told}: protobuf runs in {kind}, many times slower than upb; unset "
            "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install its wheel for this machine"
        )


def check_limits(patient: Patient) -> Iterator[Finding]:
    """Tell whether a process may open files, map memory and write as much as a server does."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    yield gravest(
        _faults_of_limits(files, patient.settings.map_bytes), otherwise=f"{_count(files)} open files"
    )


def _faults_of_limits(files: int, map_bytes: int) -> Iterator[Finding]:
    if 0 <= files < FILES_MIN:
        yield problem(
            f"a process may open {files:,} files, and each connection is one; raise that (ulimit -Hn, "
            "LimitNOFILE in systemd, --ulimit nofile in Docker)"
        )
    elif 0 <= files < _CONNECTIONS_MAX + OWN_FILES:
        yield warning(
            f"a process may open {files:,} files, so that fewer than {_CONNECTIONS_MAX:,} connections are "
            "taken; raise that (ulimit -Hn, LimitNOFILE in systemd, --ulimit nofile in Docker)"
        )
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if 0 <= space < map_bytes:
        yield problem(
            f"a process may map {bytes_text(space)}, and the store maps {bytes_text(map_bytes)}; raise that "
            "(ulimit -v unlimited), or lower --map-bytes"
        )
    length = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if 0 <= length < map_bytes:
        yield warning(
            f"a file may grow to {bytes_text(length)}, where writes are refused by STORE_FULL; raise that "
            "(ulimit -f unlimited)"
        )


def _count(number: int) -> str:
    return "any number of" if number < 0 else f"{number:,}"
