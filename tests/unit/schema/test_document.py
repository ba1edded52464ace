"""Documents: what search sees of a run, and what it does not."""

from runindex_server.schema.document import STATE_NAMES, Document
from runindex_server.schema.run import RunId, RunState
from tests.support.search_world import make_run


def test_every_field_is_one_of_its_own() -> None:
    run = make_run(
        state=RunState.FAILED,
        outcome=RunState.FAILED,
        error="Out of memory",
        tags=("team:search", "prod"),
        parent=RunId(b"p" * 16),
        metadata={"model name": "GPT-4o"},
    )

    assert sorted(Document(run).fields) == [
        ("failed",),
        ("gpt", "4o"),
        ("model", "name"),
        ("out", "of", "memory"),
        ("prod",),
        ("team", "search"),
    ]


def test_ids_and_outcomes_are_no_fields() -> None:
    run = make_run(0xABC, state=RunState.ARCHIVED, outcome=RunState.FAILED, parent=RunId(b"p" * 16))

    assert [field for field in Document(run).fields if field] == [("archived",)]


def test_values_stand_under_their_path() -> None:
    run = make_run(
        metadata={
            "a": {"b": {"c": "deep"}, "": "empty"},
            "list": ["One two", 3, [True, None], {"inner": "x"}],
            "dotted.key": 5.0,
            "nothing": None,
            "object": {},
        }
    )

    assert Document(run).values == {
        "a.b.c": [("deep",)],
        "a.": [("empty",)],
        "list": [("one", "two"), ("3",), ("true",)],
        "list.inner": [("x",)],
        "dotted.key": [("5",)],
    }


def test_paths_of_different_shapes_may_be_one() -> None:
    run = make_run(metadata={"a": {"b": "x"}, "a.b": "y"})

    assert sorted(Document(run).values["a.b"]) == [("x",), ("y",)]


def test_keys_of_every_level_are_fields() -> None:
    run = make_run(metadata={"top": {"middle": [{"low": 1}]}})

    assert {("top",), ("middle",), ("low",)} <= set(Document(run).fields)


def test_a_run_without_anything_has_its_state() -> None:
    for state in RunState:
        assert set(Document(make_run(state=state)).fields) == {(), (STATE_NAMES[state],)}
