"""What a bundle may hold: each rule is broken alone, in a bundle that passes without that."""

from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import Struct, Value

from runindex.v1 import run_data_pb2, run_index_pb2
from runindex_server import limits
from runindex_server.bundles import contents
from runindex_server.bundles.archive import BundleRefused
from runindex_server.bundles.contents import BundleCheck, canonical_value
from runindex_server.bundles.record import encode_record, is_name
from runindex_server.rpc.validate import has_control_characters
from runindex_server.schema._generated import bundle_pb2 as pb
from runindex_server.schema.data_keys import ItemKind
from runindex_server.schema.holdings import Holding
from runindex_server.schema.run import (
    TIME_US_MAX,
    RetentionPolicy,
    Run,
    RunState,
)
from tests.support.search_world import make_run

US: Final = make_run(1).create_us
JSON: Final = pb.BundleValue(json=Value(string_value="held")).SerializeToString()
ENDED: Final = make_run(
    1,
    generation=0,
    ordinal=0,
    revision=0,
    state=RunState.ARCHIVED,
    outcome=RunState.FAILED,
    error="it broke",
    end_us=US + 10,
    update_us=US + 20,
    version=5,
    tags=("a", "b"),
    metadata={"k": [1, {"deep": None}]},
    parent=make_run(7).run_id,
    cloned_from=make_run(8).run_id,
    creator="agent one",
    retention=RetentionPolicy(delete_after_us=7),
    is_imported=True,
)


def transition(before: int, after: int, version: int, offset: int, **fields: Any) -> pb.BundleEntry:
    message = pb.BundleTransition(
        from_state=before, to_state=after, version=version, time_us=US + offset, **fields
    )
    return pb.BundleEntry(transition=message)


def version(kind: int, name: str, number: int, offset: int = 5, **fields: Any) -> pb.BundleEntry:
    held = {"value": b"" if fields.get("deleted") else JSON, **fields}
    message = pb.BundleVersion(kind=kind, name=name, version=number, write_time_us=US + offset, **held)
    return pb.BundleEntry(version=message)


def late(name: str) -> pb.BundleEntry:
    """Return a version that was written after the year 9999."""
    entry = version(1, name, 1)
    entry.version.write_time_us = TIME_US_MAX + 1
    return entry


def event(sequence: int, offset: int = 5, **fields: Any) -> pb.BundleEntry:
    held = {"stream": "out", "value": JSON, **fields}
    return pb.BundleEntry(event=pb.BundleEvent(sequence=sequence, append_time_us=US + offset, **held))


def run_entry(run: Run = ENDED, *, events_appended: int = 9) -> pb.BundleEntry:
    return pb.BundleEntry(run=encode_record(run, events_appended=events_appended))


HEADER: Final = pb.BundleEntry(header=pb.BundleHeader(created_by="test"))
DOCUMENT: Final = Value(number_value=1).SerializeToString()
SOUND: Final = (
    HEADER,
    run_entry(),
    transition(1, 2, 2, 1),
    transition(2, 1, 3, 1, actor="somebody"),
    transition(1, 4, 4, 10),
    transition(4, 6, 5, 20),
    version(1, "a", 3),
    version(1, "a", 4, deleted=True),
    version(1, "b", 1),
    version(2, "a", 1),
    version(3, "a", 1, value=DOCUMENT),
    event(2),
    event(8, 6),
)


def check(*entries: pb.BundleEntry) -> BundleCheck:
    found = BundleCheck()
    for entry in entries:
        found.visit(entry)
    found.end()
    return found


def with_entry(place: int, *entries: pb.BundleEntry) -> tuple[pb.BundleEntry, ...]:
    """Return the sound bundle with another entry, or several, in a place."""
    return (*SOUND[:place], *entries, *SOUND[place + 1 :])


def test_a_sound_bundle_passes_and_is_counted() -> None:
    found = check(*SOUND)
    ((run_id, bundled),) = found.runs.items()

    assert run_id == ENDED.run_id
    assert bundled.run == ENDED
    assert bundled.events_appended == 9
    assert bundled.holdings == {
        Holding.KV_KEYS: 1,
        Holding.STATE_CELLS: 1,
        Holding.DOCUMENTS: 1,
        Holding.EVENTS: 2,
        Holding.BYTES: 5 * len(JSON) + len(DOCUMENT),
    }
    assert found.latest_us == US + 20


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        (SOUND[1:], "begin with its header"),
        ((HEADER, *SOUND), "another one"),
        ((HEADER,), "holds no run"),
        ((HEADER, event(0), *SOUND[1:]), "belongs to no run"),
        ((*SOUND, *SOUND[1:]), "it comes twice"),
        (with_entry(1, run_entry(events_appended=2**63)), "its count of events"),
        (with_entry(1, run_entry(events_appended=8)), "its events do not follow"),
        # The history.
        (with_entry(2), "does not lead on from ACTIVE"),
        (with_entry(4, transition(1, 3, 4, 10), transition(3, 4, 5, 10)), "does not lead on from COMPLETED"),
        (with_entry(5), "lead to FAILED"),
        (with_entry(4, transition(1, 3, 4, 10), transition(3, 6, 5, 10)), "does not lead on from ARCHIVED"),
        ((*SOUND[:4], transition(1, 3, 4, 10), transition(3, 6, 5, 20)), "lead through"),
        (with_entry(3, transition(9, 1, 3, 1)), "does not lead on from PAUSED"),
        (with_entry(3, transition(0, 9, 3, 1)), "does not lead on from PAUSED"),
        (with_entry(3, transition(2, 1, 2, 1)), "a version that is not possible"),
        (with_entry(2, transition(1, 2, 1, 1)), "a version that is not possible"),
        (with_entry(5, transition(4, 6, 6, 20)), "a version that is not possible"),
        (with_entry(3, transition(2, 1, 3, 0)), "a time that is not possible"),
        (with_entry(2, transition(1, 2, 2, -1)), "a time that is not possible"),
        (with_entry(5, transition(4, 6, 5, 21)), "a time that is not possible"),
        (with_entry(3, transition(2, 1, 3, 1, actor="x" * 1025)), "who made a transition"),
        ((*SOUND[:7], SOUND[5]), "a transition stands behind its data"),
        ((*SOUND, SOUND[5]), "a transition stands behind its data"),
        # Versions.
        (with_entry(8, version(4, "b", 1)), "of an item that is not possible"),
        (with_entry(8, version(0, "b", 1)), "of an item that is not possible"),
        (with_entry(8, version(1, "", 1)), "of an item that is not possible"),
        (with_entry(8, version(1, "b\x00", 1)), "of an item that is not possible"),
        (with_entry(8, version(1, "b" * 129, 1)), "of an item that is not possible"),
        (with_entry(8, version(1, "b", 0)), "a version of 'b'"),
        (with_entry(8, version(1, "b", 2**63)), "a version of 'b'"),
        (with_entry(8, version(1, "A", 1)), "the versions of 'A' do not follow"),
        (with_entry(7, version(1, "a", 5)), "the versions of 'a' do not follow"),
        (with_entry(7, version(1, "a", 3)), "the versions of 'a' do not follow"),
        (with_entry(7, version(1, "a", 4, 4)), "the times of 'a' do not follow"),
        (with_entry(9, version(2, "a", 1, deleted=True)), "a deletion of 'a'"),
        (with_entry(7, version(1, "a", 4, deleted=True, value=JSON)), "a deletion of 'a'"),
        (with_entry(8, version(1, "b", 1, value=b"")), "a value of 'b' is of no kind"),
        (with_entry(8, version(1, "b", 1, value=b"\xff")), "a value of 'b' cannot be read"),
        (with_entry(8, late("b")), "a time is not possible"),
        ((*SOUND, version(3, "b", 1, value=DOCUMENT)), "stands behind its events"),
        # Events.
        (with_entry(12, event(2)), "its events do not follow"),
        (with_entry(12, event(9)), "its events do not follow"),
        (with_entry(12, event(8, 4)), "the times of its events"),
        (with_entry(12, event(8, 6, stream="")), "of a stream that is not possible"),
        (with_entry(12, event(8, 6, value=b"")), "a value of 'out' is of no kind"),
    ],
)
def test_what_cannot_be_is_refused(entries: tuple[pb.BundleEntry, ...], problem: str) -> None:
    with pytest.raises(BundleRefused) as refused:
        check(*entries)

    assert problem in str(refused.value)


@pytest.mark.parametrize("over", [0, 1])
def test_runs_and_the_bytes_of_their_records_are_bounded(over: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [ENDED._replace(run_id=make_run(number).run_id) for number in (1, 2, 3)]
    entries = [HEADER]
    for run in runs:
        entries += [run_entry(run), *SOUND[2:]]
    size = sum(len(entry.run.run) for entry in entries if entry.HasField("run"))
    for bound, number in (("RUNS_MAX", 3), ("RECORDS_BYTES_MAX", size)):
        with monkeypatch.context() as patched:
            patched.setattr(contents, bound, number - over)
            if over:
                with pytest.raises(BundleRefused, match="holds more than"):
                    check(*entries)
            else:
                assert len(check(*entries).runs) == 3


# Values.


def test_values_are_those_of_the_contract() -> None:
    ours, theirs = pb.BundleValue.DESCRIPTOR, run_data_pb2.DataValue.DESCRIPTOR
    told = [
        [(field.name, field.number, field.type, field.containing_oneof.name) for field in each.fields]
        for each in (ours, theirs)
    ]
    assert told[0] == told[1]


def test_control_characters_are_those_of_the_calls() -> None:
    for code in range(0x250):
        assert is_name(f"a{chr(code)}b", 8) is not has_control_characters(chr(code))


def test_states_and_kinds_have_the_numbers_of_the_format() -> None:
    assert {state.name: state.value for state in RunState} == {
        name.removeprefix("RUN_STATE_"): number for name, number in run_index_pb2.RunState.items() if number
    }
    assert [(kind.name, kind.value) for kind in ItemKind] == [("VALUE", 1), ("CELL", 2), ("DOCUMENT", 3)]


def test_a_value_in_other_bytes_is_taken_in_ours() -> None:
    # Members of an object out of their order.
    one, two = (Struct(fields={name: Value(number_value=1)}).SerializeToString() for name in ("a", "b"))
    other = pb.BundleValue(json=Value(struct_value=Struct.FromString(two + one)))
    ours = run_data_pb2.DataValue.FromString(other.SerializeToString()).SerializeToString(deterministic=True)
    shuffled = b"\x0a" + bytes([len(two + one) + 2]) + b"\x2a" + bytes([len(two + one)]) + two + one

    assert shuffled != ours
    assert canonical_value(ItemKind.VALUE, shuffled) == canonical_value(None, ours) == ours


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_bounds_of_values_hold(over: int) -> None:
    large = limits.DATA_VALUE_BYTES_MAX
    overhead = len(Value(string_value="x" * large).SerializeToString()) - large
    text, data = Value(string_value="x" * (large - overhead + over)), bytes(large + over)
    nested = Value()
    for _ in range(limits.DATA_DEPTH_MAX + over):
        outer = Value()
        outer.list_value.values.append(nested if nested.WhichOneof("kind") else Value(bool_value=True))
        nested = outer
    held = [
        (ItemKind.VALUE, pb.BundleValue(json=text)),
        (ItemKind.CELL, pb.BundleValue(binary=data)),
        (None, pb.BundleValue(json=nested)),
        (ItemKind.DOCUMENT, text),
        (ItemKind.DOCUMENT, nested),
    ]
    for kind, value in held:
        encoded = value.SerializeToString()
        if over <= 0:
            assert canonical_value(kind, encoded) == encoded
        else:
            with pytest.raises(ValueError, match=r"too large|too deep"):
                canonical_value(kind, encoded)
