"""Faults that are planted into the product in the process that fuzzes, to see whether it finds them.

Each is what a mistake in the product would be; each replaces functions of the process that loads it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from runindex_server.rpc import data_validate, validate
from runindex_server.schema import derive, keys

LARGE: Final = 50_000


def let_value_error_through() -> None:
    """Read the size of a page in a way that raises for some numbers."""
    honest = validate.page_size

    def page_size(number: int, *, default: int) -> int:
        int(str(number).replace("401", "four hundred and one"))
        return honest(number, default=default)

    vars(validate)["page_size"] = page_size


def loop_for_ever() -> None:
    """Pass over a part of a pointer again and again when it is a wrong index."""
    honest = data_validate.pointer

    def pointer(text: str) -> Any:
        while text.startswith("/01"):
            text = text.replace("/01", "/001").replace("/00", "/0")
        return honest(text)

    vars(data_validate)["pointer"] = pointer


def forget_index_row() -> None:
    """Write no row of the last tag of a run that gets its third."""
    honest = derive._write_rows
    [by_tag] = [listing for listing in derive.LISTINGS if listing.subspace is keys.BY_TAG]

    def forgetful(txn: Any, old: Any, new: Any) -> None:
        honest(txn, old, new)
        if old is not None and new is not None and len(new.tags) > max(2, len(old.tags)):
            txn.delete(by_tag.keys(new)[-1])

    vars(derive)["_write_rows"] = forgetful


def hoard() -> None:
    """Take much memory for a large number of runs to pass over."""
    honest = validate.skip
    kept: list[bytes] = []

    def skip(number: int, *, page_token: str) -> int:
        if number >= LARGE:
            kept.append(b"x" * (256 * 1024 * 1024))
        return honest(number, page_token=page_token)

    vars(validate)["skip"] = skip


FAULTS: Final[Mapping[str, Callable[[], None]]] = {
    "value-error": let_value_error_through,
    "loop": loop_for_ever,
    "index-row": forget_index_row,
    "memory": hoard,
}
