"""What retention remembers: the clock, how far the default policy has reached, the last compaction."""

from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import Message

from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.schema import keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.due import trims_data
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class ClockTick:
    """The wall clock as it was last noted down.

    Attributes:
        wall_us: In microseconds since 1970.
        distrust_us: How much time has yet to pass before it is trusted; 0 when it is.
    """

    wall_us: int
    distrust_us: int = 0


@dataclass(frozen=True, slots=True)
class DefaultPolicySweep:
    """How far a store-wide default policy has reached the runs.

    Attributes:
        policy: The policy.
        through: The id of the run through which it has got, in the order of ids; empty at the beginning.
        is_done: Whether it has reached them all.
    """

    policy: RetentionPolicy
    through: bytes = b""
    is_done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What a compaction came to.

    Attributes:
        start_us: When it began, in microseconds since 1970.
        duration_us: How long it took.
        runs_deleted: Runs that it deleted.
        runs_trimmed: Runs of which it removed something.
        versions: Superseded versions that it removed without their run.
        events: Events that it removed without their run.
        bytes: The bytes of the values of all that.
    """

    start_us: int
    duration_us: int
    runs_deleted: int = 0
    runs_trimmed: int = 0
    versions: int = 0
    events: int = 0
    bytes: int = 0


NO_DEFAULT_POLICY: Final = DefaultPolicySweep(KEEP_ALL, is_done=True)
"""How a store stands that never had a default policy."""


def read_clock_tick(txn: ReadTxn | WriteTxn) -> ClockTick | None:
    """Return the wall clock as it was last noted down; None in a new store. Read-only.

    Raises:
        StoreCorrupt: The row is damaged.
    """
    message = _read(txn, keys.CLOCK_TICK.prefix, pb.ClockTick)
    return None if message is None else ClockTick(message.wall_time_us, message.distrust_us)


def write_clock_tick(txn: WriteTxn, tick: ClockTick) -> None:
    """Note down the wall clock."""
    message = pb.ClockTick(wall_time_us=tick.wall_us, distrust_us=tick.distrust_us)
    _write(txn, keys.CLOCK_TICK.prefix, message)


def read_default_policy_sweep(txn: ReadTxn | WriteTxn) -> DefaultPolicySweep:
    """Return how far a default policy has reached the runs. Read-only.

    Raises:
        StoreCorrupt: The row is damaged.
    """
    message = _read(txn, keys.DEFAULT_POLICY_SWEEP.prefix, pb.DefaultPolicySweep)
    if message is None:
        return NO_DEFAULT_POLICY
    return DefaultPolicySweep(
        records.decode_policy(message.policy), message.through_run_id, is_done=message.done
    )


def sweep_of(txn: ReadTxn | WriteTxn, policy: RetentionPolicy) -> DefaultPolicySweep:
    """Return how far a policy has reached the runs as the default; not at all if another one is it.

    Raises:
        StoreCorrupt: The row is damaged.
    """
    sweep = read_default_policy_sweep(txn)
    # What trims no data has nothing to reach.
    return sweep if sweep.policy == policy else DefaultPolicySweep(policy, is_done=not trims_data(policy))


def write_default_policy_sweep(txn: WriteTxn, sweep: DefaultPolicySweep) -> None:
    """Note down how far a default policy has reached the runs."""
    message = pb.DefaultPolicySweep(
        policy=records.encode_policy(sweep.policy), through_run_id=sweep.through, done=sweep.is_done
    )
    _write(txn, keys.DEFAULT_POLICY_SWEEP.prefix, message)


def begin_default_policy(txn: WriteTxn, policy: RetentionPolicy) -> None:
    """Let a store-wide default policy reach the runs from now on, unless it is the one that does already.

    To be called before any data is written under it: what is written is scheduled by the policy of that time,
    and what was written under another one is not, until the runs have been gone through.
    """
    sweep = sweep_of(txn, policy)
    if sweep != read_default_policy_sweep(txn):
        write_default_policy_sweep(txn, sweep)


def read_compaction(txn: ReadTxn | WriteTxn) -> Compaction | None:
    """Return what the last compaction came to; None before the first. Read-only.

    Raises:
        StoreCorrupt: The row is damaged.
    """
    message = _read(txn, keys.COMPACTION.prefix, pb.Compaction)
    if message is None:
        return None
    return Compaction(
        start_us=message.start_time_us,
        duration_us=message.duration_us,
        runs_deleted=message.runs_deleted,
        runs_trimmed=message.runs_trimmed,
        versions=message.versions,
        events=message.events,
        bytes=message.bytes,
    )


def write_compaction(txn: WriteTxn, compaction: Compaction) -> None:
    """Note down what a compaction came to."""
    message = pb.Compaction(
        start_time_us=compaction.start_us,
        duration_us=compaction.duration_us,
        runs_deleted=compaction.runs_deleted,
        runs_trimmed=compaction.runs_trimmed,
        versions=compaction.versions,
        events=compaction.events,
        bytes=compaction.bytes,
    )
    _write(txn, keys.COMPACTION.prefix, message)


def _read(txn: ReadTxn | WriteTxn, key: bytes, kind: type[M]) -> M | None:
    """Return the message in a row; None when there is none."""
    value = txn.get(key)
    return None if value is None else records.read_message(kind, key, value, what="state of retention")


def _write(txn: WriteTxn, key: bytes, message: Message) -> None:
    txn.put(key, records.seal(key, message.SerializeToString()))
