"""The whole store against its records: every row, counter, term and answer, and nothing beside them.

What follows from a record is told by `schema.derive`; here it is only added up and compared.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from google.protobuf.struct_pb2 import Struct
from pyroaring import BitMap

from runindex_server import limits
from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn, Store, decode_counter
from runindex_server.schema import insight_keys, keys, metadata, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.answers import decode_answer
from runindex_server.schema.derive import derive
from runindex_server.schema.encoding import decode_u64
from runindex_server.schema.header import read_header
from runindex_server.schema.history import decode_transition
from runindex_server.schema.keys import Subspace
from runindex_server.schema.run import DEFAULT_RUN_ID, Run, RunState
from runindex_server.schema.templates import decode_template
from tests.support.consistency_data import in_data

DIFFERENCES_SHOWN: Final = 20
BLOCK: Final = 65_536
INDEXES: Final = (
    keys.ALL_RUNS,
    keys.BY_STATE,
    keys.BY_TAG,
    keys.BY_PARENT,
    keys.BY_CREATE_TIME,
    keys.EXPIRING,
    keys.ENDED,
    keys.STALE,
    keys.BY_ERROR,
)
FINISHED: Final = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED})
ENDED: Final = FINISHED | {RunState.ARCHIVED}
COUNTERS: Final = (keys.STATE_COUNT, keys.CHILD_COUNT, keys.TAG_COUNT, keys.ERROR_COUNT, keys.FIGURE)

Rows = Mapping[bytes, bytes]


async def check_store(store: Store) -> None:
    """Check a store.

    Raises:
        AssertionError: Something does not follow from the records; the message lists what.
    """
    differences = await store.read(find_differences)
    shown = "\n  ".join(differences[:DIFFERENCES_SHOWN])
    assert not differences, f"{len(differences)} differences in the store:\n  {shown}"


def find_differences(txn: ReadTxn) -> list[str]:
    """Return all that is in a store and should not be, or is not and should be, one line each. Read-only."""
    by_tag: dict[int, dict[bytes, bytes]] = {subspace.tag: {} for subspace in keys.SUBSPACES}
    differences = []
    for key, value in txn.scan(b"\x00", b"\xff" * 17):
        is_global = key.startswith(keys.GLOBAL_NAMESPACE)
        if key[16] in by_tag and (is_global or key[16] == keys.DATA.tag):
            by_tag[key[16]][key] = value
        else:
            differences.append(f"a row of no subspace: {key.hex()}")
    try:
        read_header(txn)
        runs = [records.decode_run(key, value) for key, value in by_tag[keys.RUN.tag].items()]
        return [
            *differences,
            *_in_records(runs, txn.revision),
            *_in_indexes(runs, by_tag),
            *_in_counters(runs, by_tag),
            *_in_history(runs, by_tag),
            *_in_terms(runs, by_tag),
            *_in_requests(by_tag),
            *_in_remains(runs, by_tag),
            *_in_templates(by_tag),
            *in_data(runs, by_tag[keys.DATA.tag], by_tag),
        ]
    except (StoreCorrupt, ValueError) as error:
        return [*differences, f"a row that cannot be read: {getattr(error, 'detail', error)}"]


def _in_records(runs: list[Run], revision: int) -> Iterator[str]:
    """Yield what no sequence of calls leads to."""
    ordered = sorted(runs, key=lambda run: run.ordinal)
    if len({run.ordinal for run in runs}) != len(runs):
        yield "the same ordinal twice"
    for older, newer in pairwise(run for run in ordered if not run.is_imported):
        if not older.create_us < newer.create_us:
            yield f"not in the order of creation: {older}, {newer}"
    for name, values in (
        ("revision", [run.revision for run in runs]),
        ("generation of an id", [(run.run_id, run.generation) for run in runs]),
    ):
        if len(set(values)) != len(values):
            yield f"the same {name} twice"
    for run in runs:
        if not _is_possible(run) or run.revision > revision:
            yield f"an impossible record at revision {revision}: {run}"
    if not any(run.run_id == DEFAULT_RUN_ID and run.state is RunState.ACTIVE for run in runs):
        yield "no default run"


def _is_possible(run: Run) -> bool:
    """Tell whether a record can have come about."""
    return (
        run.version >= 1
        and run.create_us <= run.update_us
        and (run.end_us is not None) == (run.state in ENDED)
        and (run.end_us is None or run.create_us <= run.end_us <= run.update_us)
        and (run.state not in FINISHED or run.outcome is run.state)
        and (run.outcome is None or run.state in ENDED)
        and (run.error is not None) == (run.outcome is RunState.FAILED)
        and len(set(run.tags)) == len(run.tags)
        and run.activity_us % 60_000_000 == 0
    )


def _in_indexes(runs: list[Run], by_tag: Mapping[int, Rows]) -> Iterator[str]:
    """Yield index rows that are missing, left over or lead elsewhere."""
    expected: dict[bytes, bytes] = {}
    for run in runs:
        expected.update(derive(run).rows)
    for index in INDEXES:
        own = {key: value for key, value in expected.items() if key.startswith(index.prefix)}
        yield from _compare(index, own, by_tag[index.tag])
    strange = [key for key in expected if not key.startswith(tuple(index.prefix for index in INDEXES))]
    yield from (f"derive names a row of no index: {key.hex()}" for key in strange)


def _in_counters(runs: list[Run], by_tag: Mapping[int, Rows]) -> Iterator[str]:
    """Yield counters that are not the sum over the records."""
    sums: Counter[bytes] = Counter()
    for run in runs:
        sums.update(derive(run).counters)
    for counter in COUNTERS:
        expected = {key: count for key, count in sums.items() if key.startswith(counter.prefix) and count}
        found = {key: decode_counter(value) for key, value in by_tag[counter.tag].items()}
        yield from _compare(counter, expected, found)


def _in_history(runs: list[Run], by_tag: Mapping[int, Rows]) -> Iterator[str]:
    """Yield transitions that do not lead, one after the other, from the creation of a run to its state."""
    states = {(run.run_id, run.generation): RunState.ACTIVE for run in runs}
    for key, value in sorted(by_tag[keys.TRANSITION.tag].items()):
        run_id, generation, version = insight_keys.split_transition(key)
        of = (run_id, generation)
        if of not in states:
            if keys.tombstone(run_id, generation) not in by_tag[keys.TOMBSTONE.tag]:
                yield f"{_named(keys.TRANSITION, key)} of a run that is gone"
            continue
        transition = decode_transition(key, value)
        if transition.version != version or transition.from_state not in (None, states[of]):
            yield f"{_named(keys.TRANSITION, key)} from another state than {states[of]}: {transition}"
        states[of] = transition.to_state
    for run in runs:
        if states[run.run_id, run.generation] is not run.state:
            yield f"the transitions of a run do not lead to its state: {run}"


def _in_terms(runs: list[Run], by_tag: Mapping[int, Rows]) -> Iterator[str]:
    """Yield terms of search that the postings, with what waits to be merged laid over them, have wrong."""
    found = set(_posted(by_tag[keys.POSTING.tag]))
    merged_row = by_tag[keys.MERGE.tag].get(keys.MERGED_THROUGH)
    merged_through = 0 if merged_row is None else decode_u64(merged_row)
    for key, value in sorted(by_tag[keys.PENDING_TERMS.tag].items()):
        if keys.revision_of(key) <= merged_through:
            continue
        pending = pb.PendingTerms.FromString(records.unseal(key, value))
        found -= {(pending.ordinal, term) for term in pending.removed}
        found |= {(pending.ordinal, term) for term in pending.added}
    expected = {(run.ordinal, term) for run in runs for term in derive(run).terms}
    yield from (f"term missing: run {ordinal} {term!r}" for ordinal, term in sorted(expected - found))
    yield from (f"term left over: run {ordinal} {term!r}" for ordinal, term in sorted(found - expected))


def _posted(postings: Rows) -> Iterator[tuple[int, bytes]]:
    """Yield each run's ordinal with each of its merged terms."""
    for key, value in postings.items():
        term, block = keys.split_posting(key)
        members = BitMap.deserialize(records.unseal(key, value))
        assert members, f"an empty posting of {term!r}"
        assert members.max() < BLOCK, f"a posting of {term!r} reaches beyond its block"
        yield from ((block * BLOCK + member, term) for member in members)


def _in_requests(by_tag: Mapping[int, Rows]) -> Iterator[str]:
    """Yield remembered answers that are not found by their time, and the reverse."""
    by_time = {keys.split_request_by_time(key) for key in by_tag[keys.REQUEST_BY_TIME.tag]}
    named = {keys.request(caller, request_id): us for us, caller, request_id in by_time}
    if len(named) != len(by_time):
        yield "an answered request has two times"
    answered = {key: decode_answer(key, value).answer_us for key, value in by_tag[keys.REQUEST.tag].items()}
    yield from _compare(keys.REQUEST_BY_TIME, answered, named)


def _in_remains(runs: list[Run], by_tag: Mapping[int, Rows]) -> Iterator[str]:
    """Yield counters of what no run holds, and tombstones of runs that live."""
    living = {(run.run_id, run.generation) for run in runs}
    for key in by_tag[keys.HOLDING.tag]:
        rest = key[len(keys.HOLDING.prefix) :]
        if (rest[:16], decode_u64(rest[16:24])) not in living:
            yield f"{_named(keys.HOLDING, key)} of a run that is gone"
    for key in by_tag[keys.TOMBSTONE.tag]:
        if keys.split_tombstone(key) in living:
            yield f"{_named(keys.TOMBSTONE, key)} of a run that lives"


def _in_templates(by_tag: Mapping[int, Rows]) -> Iterator[str]:
    """Yield templates that no sequence of calls leads to."""
    for key, value in by_tag[keys.TEMPLATE.tag].items():
        template = decode_template(key, value)
        if not (
            template.name
            and template.version >= 1
            and 0 < template.create_us <= template.update_us
            and len(set(template.tags)) == len(template.tags) <= limits.TAGS_MAX
            and metadata.encode(Struct.FromString(template.metadata)) == template.metadata
        ):
            yield f"an impossible template: {template}"


def _compare(
    subspace: Subspace, expected: Mapping[bytes, object], found: Mapping[bytes, object]
) -> Iterator[str]:
    """Yield how the rows of a subspace differ from what they should be."""
    for key in sorted(expected.keys() | found.keys()):
        if key not in found:
            yield f"{_named(subspace, key)} missing: {_shown(expected[key])}"
        elif key not in expected:
            yield f"{_named(subspace, key)} left over: {_shown(found[key])}"
        elif expected[key] != found[key]:
            yield f"{_named(subspace, key)}: {_shown(found[key])}, not {_shown(expected[key])}"


def _named(subspace: Subspace, key: bytes) -> str:
    """Return a key as a person reads it."""
    return f"{subspace.name} {key[17:]!r}"


def _shown(value: object) -> str:
    """Return a value as a person reads it."""
    return value.hex() if isinstance(value, bytes) else str(value)
