"""Trees: intervals, ages, and which queries ask for archived runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runindex_server.schema.run import RunState
from runindex_server.search.expression import (
    ARCHIVED,
    And,
    Expression,
    Interval,
    Not,
    Or,
    State,
    Text,
    Times,
    visible,
)

NOW_US = 1_000
A = Text(("a",))
ends = st.one_of(st.none(), st.integers(0, 20))


def test_an_interval_is_half_open() -> None:
    assert [us for us in range(6) if us in Interval(2, 4)] == [2, 3]
    assert [us for us in range(6) if us in Interval(None, 2)] == [0, 1]
    assert [us for us in range(6) if us in Interval(4)] == [4, 5]
    assert 0 in Interval()


@given(start=ends, end=ends, age=st.integers(-5, 25))
def test_ages_count_back_from_now(start: int | None, end: int | None, age: int) -> None:
    ages = Interval(start, end)

    assert (age in ages) == (NOW_US - age in Times(ages, is_age=True).at(NOW_US))


@given(start=ends, end=ends)
def test_instants_stay(start: int | None, end: int | None) -> None:
    assert Times(Interval(start, end)).at(NOW_US) == Interval(start, end)


@pytest.mark.parametrize(
    "expression",
    [ARCHIVED, And((A, ARCHIVED)), Or((A, ARCHIVED)), And((A, Or((A, And((ARCHIVED, A))))))],
)
def test_a_state_that_is_not_negated_asks_for_archived_runs(expression: Expression) -> None:
    assert visible(expression, include_archived=False) is expression


@pytest.mark.parametrize(
    "expression",
    [
        A,
        Not(ARCHIVED),
        Not(Not(ARCHIVED)),
        And((A, Not(ARCHIVED))),
        State(RunState.FAILED),
        Text(("archived",)),
    ],
)
def test_otherwise_they_are_left_out(expression: Expression) -> None:
    assert visible(expression, include_archived=False) == And((expression, Not(ARCHIVED)))
    assert visible(expression, include_archived=True) is expression
