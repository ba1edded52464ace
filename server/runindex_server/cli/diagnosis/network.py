"""The address, and the server that answers there."""

from collections.abc import Iterator
from typing import Final

import grpc

from runindex.v1 import maintenance_pb2 as pb
from runindex_server import __version__
from runindex_server.cli.channel import ChannelRefused
from runindex_server.cli.diagnosis.finding import Finding, Level, gravest, ok, problem, warning
from runindex_server.cli.diagnosis.patient import UNREACHABLE, Patient
from runindex_server.cli.words import count_text
from runindex_server.kv.lmdb_environment import READERS_MAX
from runindex_server.rpc.address import AddressInUse, InvalidAddress, join_address, split_address
from runindex_server.supervisor.port import OwnedPort

LAG_COMMITS_WARNED: Final = 10_000
"""A snapshot that is so far behind keeps the pages of as many commits from being used again."""

BACKLOG_WARNED: Final = 10_000
"""What waits is counted up to this."""


def check_address(patient: Patient) -> Iterator[Finding]:
    """Tell who answers at the address, or whether it is free."""
    address, is_held = patient.settings.address, patient.holder is not None
    try:
        health = patient.health
    except InvalidAddress:  # Told of the settings.
        return
    except ChannelRefused as error:
        yield warning(f"{address} is not asked: {error}")
        return
    if health == UNREACHABLE:
        yield _of_silence(address, str(patient.data_dir), is_held=is_held)
    elif not is_held:
        yield problem(
            f"a server answers at {address}, and it is not that of {patient.data_dir}; stop it, or use "
            "another --address"
        )
    elif health == "SERVING":
        yield ok(f"a server answers at {address}: {health}")
    else:
        yield problem(f"a server answers at {address}: {health}; its log tells why (`not ready`)")


def _of_silence(address: str, data_dir: str, *, is_held: bool) -> Finding:
    """Return what it means that nobody answers at an address."""
    if is_held:
        return warning(
            f"{data_dir} is held, and no server answers at {address}: it listens elsewhere (--address), "
            "speaks TLS (set RUNINDEX_TLS_CA), or hangs"
        )
    return _of_port(address)


def _of_port(address: str) -> Finding:
    """Return whether a server could listen at an address."""
    try:
        OwnedPort.take(address).close()
    except AddressInUse as error:
        return problem(f"{error} Find it by ss -ltnp, or use another address")
    return ok(f"{address} is free")


def check_metrics_address(patient: Patient) -> Iterator[Finding]:
    """Tell whether figures can be told where they are asked for; while nobody serves."""
    address = patient.settings.metrics_address
    if address is None or patient.holder is not None:
        return
    try:
        host, port = split_address(address)
    except InvalidAddress:  # Told of the settings.
        return
    ports = range(port, port + patient.settings.workers) if port else (0,)
    found = [_of_port(join_address(host, each)) for each in ports if each <= 0xFFFF]
    yield gravest((each for each in found if each.level is not Level.OK), otherwise=f"{address} is free")


def check_server(patient: Patient) -> Iterator[Finding]:
    """Tell how the server of the folder does, by what it says itself."""
    match patient.status:
        case None:
            return
        case pb.GetStatusResponse() as told:
            yield gravest(_faults_of_server(told), otherwise=_summary(told))
        case call if call.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
            yield warning("its status takes the token of a reader; set RUNINDEX_TOKEN")
        case call:
            yield problem(f"its status is not told: {call.code().name}, {call.details()}")


def _summary(told: pb.GetStatusResponse) -> str:
    erasing, unmerged = told.backlog.erasing_runs, told.backlog.unmerged_changes
    return (
        f"RunIndex {told.store.server_version}; {told.readers.count:,} of {READERS_MAX:,} readers; "
        f"{count_text(erasing, 'run')} to erase, {count_text(unmerged, 'change')} to merge"
    )


def _faults_of_server(told: pb.GetStatusResponse) -> Iterator[Finding]:
    readers, backlog = told.readers, told.backlog
    if readers.count * 2 >= READERS_MAX:
        yield warning(
            f"{readers.count:,} of {READERS_MAX:,} readers are taken; when none is left, reads are "
            "refused by OVERLOADED: call less at one time"
        )
    if readers.oldest_lag_commits >= LAG_COMMITS_WARNED:
        yield warning(
            f"a snapshot is {readers.oldest_lag_commits:,} commits behind, and the file grows as long as it "
            "is open; start the server again"
        )
    for count, what in (
        (backlog.erasing_runs, "runs to erase"),
        (backlog.unmerged_changes, "changes to merge"),
    ):
        if count >= BACKLOG_WARNED:
            yield warning(
                f"{count:,} {what} or more: the background jobs do not keep up; look at the disk's load"
            )
    if told.store.server_version != __version__:
        yield warning(
            f"RunIndex {told.store.server_version} runs, and {__version__} is installed; start the server "
            "again"
        )
