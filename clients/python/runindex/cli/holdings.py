"""What runs hold, before and after they are deleted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import runindex
from runindex.cli.words import bytes_text, count_text

COUNTED_MAX: Final = 1_000
"""Up to how many keys, cells and documents are counted one by one; the server counts events and children."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a run holds; `COUNTED_MAX` keys, cells or documents are that many or more."""

    kv_keys: int
    events: int
    state_cells: int
    documents: int
    children: int


def holdings_of(client: "runindex.Client", run_id: str) -> Holdings:
    """Return what a run holds.

    Raises:
        RunNotFound: There is no such run.
    """
    data = client.data(run_id)
    relatives = client.insights.tree(
        run_id, max_depth=1, max_runs=1, include_archived=True, with_metadata=False
    )
    return Holdings(
        kv_keys=_counted(data.items(with_values=False, limit=COUNTED_MAX)),
        events=data.count_events().count,
        state_cells=_counted(data.states(with_values=False, limit=COUNTED_MAX)),
        documents=_counted(data.documents(with_values=False, limit=COUNTED_MAX)),
        children=sum(relatives.root.children.values()),
    )


def _counted(items: Iterable[object]) -> int:
    return sum(1 for _ in items)


def holdings_text(holdings: Holdings) -> str:
    """Return what a run holds, in words: `3 keys, 1,000 or more cells`."""
    counted = (
        (holdings.kv_keys, "key", True),
        (holdings.events, "event", False),
        (holdings.state_cells, "cell", True),
        (holdings.documents, "document", True),
    )
    parts = [_part(number, name, is_bounded=is_bounded) for number, name, is_bounded in counted if number]
    if holdings.children:
        parts.append(count_text(holdings.children, "child that stays", "children that stay"))
    return ", ".join(parts) or "nothing"


def _part(number: int, name: str, *, is_bounded: bool) -> str:
    if is_bounded and number == COUNTED_MAX:
        return f"{number:,} or more {name}s"
    return count_text(number, name)


def receipt_text(receipt: "runindex.DeleteReceipt") -> str:
    """Return what a run held when it was deleted, in words."""
    return ", ".join(_receipt_parts(receipt)) or "nothing"


def _receipt_parts(receipt: "runindex.DeleteReceipt") -> Iterator[str]:
    counts = {
        "key": receipt.kv_keys,
        "event": receipt.events,
        "cell": receipt.state_cells,
        "document": receipt.documents,
    }
    yield from (count_text(number, name) for name, number in counts.items() if number)
    if receipt.data_bytes:
        yield bytes_text(receipt.data_bytes)
    if receipt.orphaned_children:
        yield count_text(
            receipt.orphaned_children, "child without a parent now", "children without a parent now"
        )
