"""Removing superseded versions and events from a run that stays, with all that follows from them.

By point reads alone: a version goes only while it is the oldest that is kept and enough newer ones are, an
event only while its stream has more than have to stay.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from runindex_server.jobs.retention.victims import EventRef, Victim, present_head
from runindex_server.kv.api import WriteTxn
from runindex_server.schema.data_keys import DataKeys, ItemKind, ItemVersionRef
from runindex_server.schema.holdings import Holding, add_holding
from runindex_server.schema.items import ItemHead, encode_head
from runindex_server.schema.run import RetentionPolicy, Run


def remove_victims(
    txn: WriteTxn, run: Run, policy: RetentionPolicy, victims: Iterable[Victim]
) -> list[Victim]:
    """Remove versions and events of a run, and return those that went.

    Args:
        txn: The write.
        run: As it is in the store.
        policy: What acts on it.
        victims: What was found to go, each item's and each stream's oldest first.

    Raises:
        StoreCorrupt: A row is damaged.
    """
    by_item: dict[tuple[ItemKind, str], list[Victim]] = defaultdict(list)
    by_stream: dict[str, list[Victim]] = defaultdict(list)
    for victim in victims:
        match victim.what:
            case ItemVersionRef(kind, name, _):
                by_item[kind, name].append(victim)
            case EventRef(stream, _):
                by_stream[stream].append(victim)
    removal = _Removal(txn, DataKeys.of(run), policy)
    for (kind, name), versions in by_item.items():
        removal.remove_versions(kind, name, versions)
    for stream, events in by_stream.items():
        removal.remove_events(stream, events)
    events_removed = sum(isinstance(victim.what, EventRef) for victim in removal.removed)
    add_holding(txn, run, Holding.EVENTS, -events_removed)
    add_holding(txn, run, Holding.BYTES, -sum(victim.value_bytes for victim in removal.removed))
    return removal.removed


class _Removal:
    """What one write removes from one run."""

    def __init__(self, txn: WriteTxn, data: DataKeys, policy: RetentionPolicy) -> None:
        self._txn = txn
        self._data = data
        self._keep_versions = policy.keep_latest_n or 1
        self._keep_events = policy.keep_latest_n or 0
        self.removed: list[Victim] = []

    def remove_versions(self, kind: ItemKind, name: str, victims: Sequence[Victim]) -> None:
        """Remove the oldest versions of an item."""
        head_key, head = present_head(self._txn, self._data, kind, name)
        oldest = head.oldest
        for victim in victims:
            number = victim.place.number
            if number < oldest:
                continue
            if number > min(oldest, head.version - self._keep_versions):
                break
            self._txn.delete(self._data.item_version(kind, name, number))
            self._txn.delete(self._data.superseded(victim.at_us, ItemVersionRef(kind, name, number)))
            self.removed.append(victim)
            oldest += 1
        if oldest != head.oldest:
            new_head = ItemHead(head.version, oldest)
            self._txn.put(head_key, encode_head(head_key, new_head))
            self._txn.delete(self._data.item_depth(kind, name, head.depth))
            if new_head.depth:
                self._txn.put(self._data.item_depth(kind, name, new_head.depth), b"")

    def remove_events(self, stream: str, victims: Sequence[Victim]) -> None:
        """Remove the oldest events of a stream."""
        count = self._txn.get_counter(self._data.stream_count(stream))
        removed = 0
        for victim in victims:
            sequence = victim.place.number
            in_stream = self._data.stream_event(stream, sequence)
            if self._txn.get(in_stream) is None:
                continue
            if count - removed <= self._keep_events:
                break
            self._txn.delete(self._data.event(sequence))
            self._txn.delete(in_stream)
            self.removed.append(victim)
            removed += 1
        if removed:
            self._txn.add(self._data.stream_count(stream), -removed)
            self._txn.delete(self._data.stream_depth(stream, count))
            if count > removed:
                self._txn.put(self._data.stream_depth(stream, count - removed), b"")
