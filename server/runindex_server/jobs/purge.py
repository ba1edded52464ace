"""Purge: forgets the answers to requests whose time is over, in bounded steps."""

from typing import Final

from runindex_server.kv.api import Store, WriteTxn
from runindex_server.schema import keys
from runindex_server.schema.answers import decode_answer

ROWS_MAX: Final = 500
"""Answers of one step."""


async def purge_step(store: Store, *, answered_before_us: int) -> bool:
    """Forget some answers that were given before a time.

    Returns:
        Whether there was anything to do.
    """
    start, end = keys.answered_before_range(answered_before_us)
    due = await store.read(lambda txn: [key for key, _ in txn.scan(start, end, limit=ROWS_MAX)])
    if not due:
        return False

    def purge(txn: WriteTxn) -> None:
        for by_time in due:
            answer_us, caller, request_id = keys.split_request_by_time(by_time)
            key = keys.request(caller, request_id)
            value = txn.get(key)
            # The id may have been purged by another step and used again since.
            if value is not None and decode_answer(key, value).answer_us == answer_us:
                txn.delete(key)
            txn.delete(by_time)

    await store.write(purge)
    return True
