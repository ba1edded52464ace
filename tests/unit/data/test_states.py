"""State cells: set while they hold what is expected."""

from typing import Any

import pytest

from runindex_server.data import states, values
from runindex_server.errors import RunArchived, RunNotFound, StateNotFound, ValueMismatch
from tests.unit.data.world import ANY, World, request


def compare_and_set(world: World, expected: bytes | None, value: bytes, **options: Any) -> Any:
    asked = options.get("request")
    return world.call(states.compare_and_set_state, "c", expected, value, asked)


def test_a_cell_is_set_while_it_holds_what_is_expected(world: World) -> None:
    assert compare_and_set(world, None, b"1").version == 1
    assert compare_and_set(world, b"1", b"2").version == 2
    assert compare_and_set(world, b"2", b"2").version == 3
    assert world.ask(states.get_state, "c", version=None).content.value == b"2"


@pytest.mark.parametrize(("held", "expected"), [(None, b"1"), (b"1", None), (b"1", b"2"), (b"1", b"")])
def test_a_cell_that_holds_something_else_is_left(
    world: World, held: bytes | None, expected: bytes | None
) -> None:
    if held is not None:
        world.call(states.set_state, "c", held, ANY)
    before = world.rows()
    with pytest.raises(ValueMismatch) as refusal:
        compare_and_set(world, expected, b"new")
    assert refusal.value.metadata["currentVersion"] == ("0" if held is None else "1")
    assert world.rows() == before


def test_a_replay_answers_what_was_answered(world: World) -> None:
    answer = compare_and_set(world, None, b"1", request=request("r"))
    assert compare_and_set(world, None, b"1", request=request("r")) == answer


def test_the_run_comes_before_the_value(world: World) -> None:
    world.archive()
    with pytest.raises(RunArchived) as refusal:
        compare_and_set(world, b"other", b"1")
    assert refusal.value.metadata["operation"] == "set state"
    world.delete()
    with pytest.raises(RunNotFound):
        compare_and_set(world, b"other", b"1")


def test_cells_are_no_keys(world: World) -> None:
    world.call(values.put_value, "c", b"key", ANY)
    with pytest.raises(StateNotFound):
        world.ask(states.get_state, "c", version=None)
    assert compare_and_set(world, None, b"cell").version == 1
    assert world.ask(values.get_value, "c", version=1).content.value == b"key"
    assert world.held() == (1, 0, 1, 0, 7)
