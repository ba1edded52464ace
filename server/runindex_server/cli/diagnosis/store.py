"""The store: whether a server would open it, whether it has room to grow, and whether the clock is right."""

from collections.abc import Iterator
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from runindex_server.cli.diagnosis.finding import Finding, ok, problem, warning
from runindex_server.cli.diagnosis.patient import Patient
from runindex_server.cli.faults import fault_text
from runindex_server.cli.words import bytes_text, duration_text, span_text, time_text
from runindex_server.errors import StoreCorrupt
from runindex_server.jobs.retention.clock_guard import JUMP_US
from runindex_server.kv.data_file import read_newest_meta
from runindex_server.kv.lmdb_environment import GROWTH_PERCENT_MAX
from runindex_server.schema.header import STORAGE_VERSION, StorageVersionUnknown

MAP_PERCENT_WARNED: Final = 75
"""Of the map, in use: from here on it is told, long before writes are refused."""

BEHIND_US_MAX: Final = 60_000_000
"""How far the clock may be behind what the store noted: machines differ by as much."""


def check_store(patient: Patient) -> Iterator[Finding]:
    """Tell whether a server would open the data file."""
    fault = patient.store_fault
    if fault is not None:
        yield problem(fault_text(patient.data_dir, fault))
    elif not patient.store_dir.exists():
        yield ok("there is none yet; the first start makes it")
    else:
        size = patient.data_file.stat().st_size
        yield ok(f"{patient.data_file} is whole: {bytes_text(size)}")


def check_version(patient: Patient) -> Iterator[Finding]:
    """Tell whether this server reads the store, and whether it has to be migrated first."""
    if patient.store_fault is not None or not patient.store_dir.exists():
        return
    if patient.told is not None:
        yield ok(f"storage version {patient.told.store.storage_version}")
        return
    try:
        noted = patient.noted
    except (StorageVersionUnknown, StoreCorrupt) as error:
        yield problem(fault_text(patient.data_dir, error))
        return
    if noted is None:
        yield ok("not looked at: the store is open")
        return
    version = noted.header.storage_version
    if version < STORAGE_VERSION:
        yield warning(
            f"storage version {version}: the next start migrates it to {STORAGE_VERSION}, and there is no "
            "way back; copy the folder first"
        )
    else:
        yield ok(f"storage version {version}")


def check_map(patient: Patient) -> Iterator[Finding]:
    """Tell whether the store has room to grow in its map."""
    if patient.store_fault is not None or not patient.store_dir.exists():
        return
    if patient.told is not None:
        used, limit = patient.told.sizes.used_bytes, patient.told.sizes.map_bytes
    else:
        with patient.data_file.open("rb") as file:
            meta = read_newest_meta(file)
        # With pages that are free: how many are, only the engine tells.
        used, limit = (meta.last_page + 1) * meta.page_bytes, patient.settings.map_bytes
    told = f"{bytes_text(used)} of {bytes_text(limit)} in use"
    if patient.told is not None and used * 100 >= limit * GROWTH_PERCENT_MAX:
        yield problem(f"{told}: only writes that also delete are taken; raise --map-bytes, or delete runs")
    elif used * 100 >= limit * MAP_PERCENT_WARNED:
        yield warning(
            f"{told}: from {GROWTH_PERCENT_MAX} % on, only writes that also delete are taken; raise "
            "--map-bytes"
        )
    else:
        yield ok(told)


def check_clock(patient: Patient) -> Iterator[Finding]:
    """Tell whether the wall clock goes on from what the store has noted last."""
    now_us = patient.clock.now_us()
    now = _time(now_us)
    if patient.told is not None:
        if not patient.told.retention.HasField("clock_jump"):
            yield ok(now)
            return
        jump = patient.told.retention.clock_jump
        yield warning(
            f"{now}: it jumped {span_text(jump.ahead)} forward, and retention removes nothing until "
            f"{time_text(jump.resume_time)}; set it right, or trust it: runindex-server compact --trust-clock"
        )
        return
    try:
        tick = None if patient.noted is None else patient.noted.tick
    except (StorageVersionUnknown, StoreCorrupt):  # Told of the version.
        tick = None
    if tick is None:
        yield ok(now)
        return
    ahead_us = now_us - tick.wall_us
    if ahead_us < -BEHIND_US_MAX:
        yield warning(
            f"{now}, which is {duration_text(-ahead_us)} before the store noted the time last; set it right"
        )
    elif tick.distrust_us or ahead_us > JUMP_US:
        pause_us = tick.distrust_us + max(0, ahead_us)
        yield ok(
            f"{now}; after a pause of {duration_text(max(0, ahead_us))} retention removes nothing for "
            f"{duration_text(pause_us)}, unless compact --trust-clock says that the clock is right"
        )
    else:
        yield ok(now)


def _time(time_us: int) -> str:
    seconds, micros = divmod(time_us, 1_000_000)
    return time_text(Timestamp(seconds=seconds, nanos=micros * 1_000))
