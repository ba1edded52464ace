"""Records: what is written is what is read, and anything else is found."""

import pytest
from google.protobuf.struct_pb2 import Struct

from runindex.v1 import run_index_pb2 as public
from runindex_server.errors import StoreCorrupt
from runindex_server.schema import keys, metadata, records
from runindex_server.schema.run import RetentionPolicy, Run, RunId, RunState, RunView

RUN_ID = RunId(bytes(range(16)))
KEY = keys.run(RUN_ID)
METADATA = Struct()
METADATA.update({"model": "gpt-4o", "nested": {"list": [1, None, "x" * 300]}})
FULL = Run(
    run_id=RUN_ID,
    ordinal=7,
    generation=9,
    state=RunState.ARCHIVED,
    version=3,
    revision=12,
    create_us=1_000_001,
    update_us=3_000_003,
    end_us=2_500_002,
    error="böse",
    tags=("a", "b"),
    parent=RunId(bytes(16)),
    outcome=RunState.FAILED,
    metadata=metadata.encode(METADATA),
    activity_us=0,
    retention=RetentionPolicy(keep_latest_n=5),
)
BARE = Run(
    run_id=RUN_ID,
    ordinal=1,
    generation=1,
    state=RunState.ACTIVE,
    version=1,
    revision=1,
    create_us=1,
    update_us=1,
    activity_us=0,
)


@pytest.mark.parametrize(
    "run",
    [
        FULL,
        BARE,
        FULL._replace(retention=RetentionPolicy(keep_duration_us=1)),
        FULL._replace(is_imported=True),
        FULL._replace(is_imported=True, retention=None),
        FULL._replace(retention=RetentionPolicy(delete_after_us=2**62), metadata=b""),
        BARE._replace(run_id=RunId(bytes(16))),
    ],
)
def test_a_run_is_read_as_it_was_written(run: Run) -> None:
    key = keys.run(run.run_id)

    assert records.decode_run(key, records.encode_run(run)) == run


def test_the_body_is_the_wire_form_of_the_public_run() -> None:
    message = public.Run.FromString(records.view_message(KEY, records.encode_run(FULL), RunView.FULL))

    assert message == public.Run.FromString(records.run_message(FULL))
    assert message.run_id == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert message.state == public.RUN_STATE_ARCHIVED
    assert message.outcome == public.RUN_STATE_FAILED
    assert message.duration.ToMicroseconds() == 1_500_001
    assert message.end_time.ToMicroseconds() == 2_500_002
    assert message.error == "böse"
    assert list(message.tags) == ["a", "b"]
    assert message.parent_run_id == "default"
    assert message.metadata == METADATA


def test_views_are_cuts_of_the_record() -> None:
    value = records.encode_run(FULL)
    whole = public.Run.FromString(records.run_message(FULL))
    basic = public.Run.FromString(records.view_message(KEY, value, RunView.BASIC))
    id_only = public.Run.FromString(records.view_message(KEY, value, RunView.ID_ONLY))

    whole.ClearField("metadata")
    assert basic == whole
    assert id_only == public.Run(run_id=whole.run_id)


def test_any_flipped_bit_of_a_record_is_found() -> None:
    value = records.encode_run(FULL)
    for place in range(len(value)):
        for bit in range(8):
            damaged = bytearray(value)
            damaged[place] ^= 1 << bit
            with pytest.raises(StoreCorrupt):
                records.view_message(KEY, bytes(damaged), RunView.FULL)


def test_a_truncated_record_is_found() -> None:
    value = records.encode_run(FULL)
    for length in range(len(value)):
        with pytest.raises(StoreCorrupt):
            records.decode_run(KEY, value[:length])


def test_a_record_under_the_key_of_another_run_is_found() -> None:
    with pytest.raises(StoreCorrupt):
        records.decode_run(keys.run(RunId(bytes(16))), records.encode_run(FULL))


@pytest.mark.parametrize("view", [RunView.FULL, RunView.BASIC])
def test_listed_runs_are_those_of_their_rows(view: RunView) -> None:
    listing_key, value = keys.by_state(FULL.state, FULL.ordinal), records.encode_run(FULL)

    assert (
        records.listed_messages([listing_key] * 2, [KEY] * 2, [value] * 2, view)
        == [records.view_message(KEY, value, view)] * 2
    )


VALUE = records.encode_run(FULL)


@pytest.mark.parametrize(
    ("ordinal", "value"),
    [
        (FULL.ordinal + 1, VALUE),
        (FULL.ordinal, None),
        (FULL.ordinal, b""),
        (FULL.ordinal, VALUE[:26]),
        (FULL.ordinal, VALUE[:-1]),
        (FULL.ordinal, b"\x02" + VALUE[1:]),
        (FULL.ordinal, VALUE[:-1] + bytes([VALUE[-1] ^ 1])),
    ],
)
def test_a_listing_that_leads_nowhere_is_found(ordinal: int, value: bytes | None) -> None:
    listing_key = keys.all_runs(archived=False, ordinal=ordinal)

    with pytest.raises(StoreCorrupt):
        records.listed_messages([listing_key], [KEY], [value], RunView.FULL)


@pytest.mark.parametrize(("number", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02")])
def test_varints_are_those_of_protobuf(number: int, encoded: str) -> None:
    assert records.encode_varint(number).hex() == encoded
