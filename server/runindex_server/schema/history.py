"""The transitions of runs, as they are kept. The creation of a run is told by its record."""

from collections.abc import Iterator
from dataclasses import dataclass

from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.schema import insight_keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.run import Run, RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of a run's state.

    Attributes:
        from_state: The state before it; None where it is not known, and for the creation.
        to_state: The state after it.
        time_us: The run's update time then.
        version: The run's version after it.
        actor: Who made it; empty where it is not known.
    """

    from_state: RunState | None
    to_state: RunState
    time_us: int
    version: int
    actor: str = ""


def write_transition(txn: WriteTxn, run: Run, *, from_state: RunState | None, actor: str = "") -> None:
    """Keep that a run has come to the state in which it is, with the version that it has."""
    key = insight_keys.transition(run.run_id, run.generation, run.version)
    transition = Transition(
        from_state=from_state, to_state=run.state, time_us=run.update_us, version=run.version, actor=actor
    )
    txn.put(key, encode_transition(key, transition))


def encode_transition(key: bytes, transition: Transition) -> bytes:
    """Return the value of a transition's row."""
    message = pb.Transition(
        from_state=records.state_number(transition.from_state),
        to_state=records.state_number(transition.to_state),
        time_us=transition.time_us,
        actor=transition.actor,
    )
    return records.seal(key, message.SerializeToString())


def decode_transition(key: bytes, value: bytes) -> Transition:
    """Return the transition in a row.

    Raises:
        StoreCorrupt: The row is not what was written under this key.
    """
    message = records.read_message(pb.Transition, key, value, what="transition")
    return Transition(
        from_state=RunState(message.from_state) if message.from_state else None,
        to_state=RunState(message.to_state),
        time_us=message.time_us,
        version=insight_keys.split_transition(key)[2],
        actor=message.actor,
    )


def read_transitions(txn: ReadTxn, run: Run, *, after: int = 0) -> Iterator[Transition]:
    """Yield the transitions of a run after a version, oldest first; not its creation.

    Raises:
        StoreCorrupt: A row is not what was written.
    """
    for key, value in txn.scan(*insight_keys.transitions_range(run.run_id, run.generation, after=after)):
        yield decode_transition(key, value)
