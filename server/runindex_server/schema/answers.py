"""The answers that are remembered for request ids, and how they are kept.

Only a digest of the request and the small numbers of the answer are kept, so that nothing of a run comes back
after it was deleted.
"""

from dataclasses import dataclass
from typing import Final

from runindex_server.schema import records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.run import RunId

NO_RUN: Final = RunId(b"")
"""In the answer to a mutation that is about no run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a run held when it was deleted.

    Attributes:
        kv_keys: Keys with a value.
        events: Events, over all streams.
        state_cells: State cells.
        documents: JSON documents.
        bytes: Bytes of all that, old versions included.
        orphaned_children: Children that were left, archived ones included.
    """

    kv_keys: int
    events: int
    state_cells: int
    documents: int
    bytes: int
    orphaned_children: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a mutation answered.

    Attributes:
        run_id: The run that was created, changed or deleted, or whose data was written; NO_RUN where it was a
            template.
        version: The version after the call, of the run, the data or the template; 0 for a delete and for
            events.
        revision: The store's revision that the call made or saw.
        update_us: The update time of the run or the template after the call, or when the data was written; 0
            for a delete.
        receipt: What a delete removed; None for anything else.
        first_sequence: Of the events that were appended; 0 for anything else.
    """

    run_id: RunId
    version: int
    revision: int
    update_us: int
    receipt: Receipt | None = None
    first_sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedAnswer:
    """An answer, with what tells whether it may be given again.

    Attributes:
        answer: The answer.
        digest: Of the canonical request: 16 bytes.
        answer_us: When it was given.
    """

    answer: Answer
    digest: bytes
    answer_us: int


def encode_answer(key: bytes, remembered: RememberedAnswer) -> bytes:
    """Return the value of an answer's row."""
    answer = remembered.answer
    receipt = answer.receipt
    message = pb.RequestAnswer(
        digest=remembered.digest,
        run_id=answer.run_id,
        version=answer.version,
        revision=answer.revision,
        update_time_us=answer.update_us,
        answer_time_us=remembered.answer_us,
        first_sequence=answer.first_sequence,
        receipt=None
        if receipt is None
        else pb.DeleteReceipt(
            kv_keys=receipt.kv_keys,
            events=receipt.events,
            state_cells=receipt.state_cells,
            documents=receipt.documents,
            bytes=receipt.bytes,
            orphaned_children=receipt.orphaned_children,
        ),
    )
    return records.seal(key, message.SerializeToString())


def decode_answer(key: bytes, value: bytes) -> RememberedAnswer:
    """Return the answer in a row.

    Raises:
        StoreCorrupt: The row is not what was written under this key.
    """
    message = records.read_message(pb.RequestAnswer, key, value, what="answer")
    receipt = message.receipt if message.HasField("receipt") else None
    answer = Answer(
        run_id=RunId(message.run_id),
        version=message.version,
        revision=message.revision,
        update_us=message.update_time_us,
        first_sequence=message.first_sequence,
        receipt=None
        if receipt is None
        else Receipt(
            kv_keys=receipt.kv_keys,
            events=receipt.events,
            state_cells=receipt.state_cells,
            documents=receipt.documents,
            bytes=receipt.bytes,
            orphaned_children=receipt.orphaned_children,
        ),
    )
    return RememberedAnswer(answer=answer, digest=message.digest, answer_us=message.answer_time_us)
