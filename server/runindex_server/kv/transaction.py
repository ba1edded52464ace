"""Running a function on its transaction: what every store does in the same way."""

from collections.abc import Callable
from typing import TypeVar

from runindex_server.errors import RunIndexError
from runindex_server.kv.api import ReadTxn, WriteTxn

T = TypeVar("T")
TxnT = TypeVar("TxnT", bound=ReadTxn | WriteTxn)


def run_transaction(fn: Callable[[TxnT], T], txn: TxnT) -> T:
    """Run `fn` on `txn` and return what it returns; tell a refusal the revision at which it was decided.

    Raises:
        RunIndexError: What `fn` raised, with the revision that `txn` saw before `fn` changed anything.
        RuntimeError: `fn` raised StopIteration, which would never reach one who awaits it.
    """
    seen_revision = txn.revision
    try:
        return fn(txn)
    except RunIndexError as refusal:
        refusal.revision = seen_revision
        raise
    except StopIteration as error:
        msg = "a transaction's function must not raise StopIteration"
        raise RuntimeError(msg) from error
