"""The sample runs are what the figures say of them."""

from collections import Counter
from uuid import UUID

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from benchmarks import sample
from runindex_server.schema import metadata
from runindex_server.schema.run import RunState, run_id_text

RUNS = 20_000


def share(count: int) -> float:
    """Return which share of the runs so many are."""
    return count / RUNS


def has(number: int, *words: str) -> bool:
    """Tell whether a run has words that only some have."""
    return set(words) <= set(sample.words(number))


@pytest.mark.parametrize(
    ("words", "expected"),
    [(("amber", "falcon"), 0.01), (("amber",), 0.05), (("falcon",), 0.04), (("quasar",), 0.0001)],
)
def test_words_occur_as_often_as_is_said(words: tuple[str, ...], expected: float) -> None:
    assert share(sum(has(number, *words) for number in range(RUNS))) == expected


def test_the_rare_word_occurs_on_failed_runs_and_on_others() -> None:
    states = [sample.state(number) for number in range(RUNS) if has(number, "quasar")]

    assert Counter(states) == {RunState.FAILED: 1, RunState.COMPLETED: 1}


def test_a_tag_occurs_on_two_percent() -> None:
    shards = Counter(tag for number in range(RUNS) for tag in sample.tags(number) if tag.startswith("shard-"))

    assert {share(count) for count in shards.values()} == {0.02}


def test_there_are_runs_in_every_state_and_most_are_completed() -> None:
    counts = sample.counts(RUNS)

    assert set(counts) == set(RunState)
    assert counts[RunState.COMPLETED] > 0.7 * RUNS


@pytest.mark.parametrize("number", [0, 7, 11, 107, 12_345, 98_765_432])
def test_metadata_is_encoded_as_the_store_encodes_it(number: int) -> None:
    encoded = sample.metadata_of(number)

    assert metadata.encode(Struct.FromString(encoded)) == encoded
    assert 300 <= len(encoded) <= 400
    text = MessageToDict(Struct.FromString(encoded))
    assert set(text["notes"].split()) >= {"nightly", *sample.words(number)}


def test_ids_requests_and_sessions_are_those_of_their_runs() -> None:
    ids = [UUID(run_id_text(sample.run_id(number))) for number in range(RUNS)]
    fields = [Struct.FromString(sample.metadata_of(number)).fields for number in range(2_000)]

    assert {run_id.version for run_id in ids} == {7}
    assert ids == sorted(set(ids))
    assert len({field["request"].string_value for field in fields}) == 2_000
    assert set(Counter(field["session"].string_value for field in fields).values()) == {20}


def test_a_family_has_more_children_than_a_page() -> None:
    children = [number for number in range(1_000, 2_000) if sample.parent(number) == 1_000]

    assert len([number for number in children if not sample.is_archived(number)]) > 100
    assert sample.parent(1_000) is None
