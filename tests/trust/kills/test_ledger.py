"""What a ledger of callers finds, in ledgers made by hand: nothing in a right one, each fault by its name."""

from typing import Any, Final

import pytest

from tests.property.model_arguments import Answer, Refused, Request
from tests.trust.histories.recording import Operation
from tests.trust.kills.ledger import Loss, check_ledger

RUN: Final = "c0ffee00-1234-4abc-8def-000000000000"


def operation(
    begin: int, method: str, request: Request, outcome: Answer | Refused | None, *, end: int = 0
) -> Operation:
    revision = outcome["revision"] if isinstance(outcome, dict) else None
    return Operation(begin, 0, method, {"run_id": RUN, **request}, begin, end or begin + 1, outcome, revision)


def run(version: int, *, born: int = 1, **fields: Any) -> Answer:
    return {"run_id": RUN, "version": version, "create_time": born, "update_time": born + version, **fields}


CREATED: Final = operation(10, "CreateRun", {"request_id": "a"}, {"run": run(1), "revision": 2})
TAGGED: Final = operation(
    20, "AddRunTags", {"request_id": "b"}, {"version": 2, "update_time": 3, "revision": 3}
)
DELETED: Final = operation(30, "DeleteRun", {"request_id": "c"}, {"receipt": {}, "revision": 4})
SHOWN_AT_2: Final = operation(25, "GetRun", {}, {"run": run(2), "revision": 3})


def found(history: list[Operation], *there: Answer) -> list[Loss]:
    return [finding.loss for finding in check_ledger(history, there)]


@pytest.mark.parametrize(
    ("history", "there"),
    [
        ([CREATED, TAGGED, SHOWN_AT_2], [run(2)]),
        ([CREATED, TAGGED], [run(3)]),
        ([CREATED, TAGGED, DELETED], []),
        # Created again, which begins at version 1.
        (
            [
                CREATED,
                TAGGED,
                DELETED,
                operation(40, "CreateRun", {}, {"run": run(1, born=9), "revision": 5}),
            ],
            [run(1, born=9)],
        ),
        # Lost and settled by its id; and one that nobody asks about, which may have deleted the run.
        ([operation(1, "CreateRun", {"request_id": "a"}, None), CREATED], [run(1)]),
        ([CREATED, operation(20, "DeleteRun", {}, None)], []),
        # Shown at the same time as the change.
        (
            [CREATED, TAGGED, SHOWN_AT_2, operation(24, "GetRun", {}, {"run": run(1), "revision": 2})],
            [run(2)],
        ),
    ],
)
def test_a_right_ledger_has_no_findings(history: list[Operation], there: list[Answer]) -> None:
    assert found(history, *there) == []


@pytest.mark.parametrize(
    ("loss", "history", "there"),
    [
        (Loss.GONE, [CREATED, TAGGED], []),
        (Loss.GONE, [CREATED, TAGGED], [run(1)]),
        (Loss.BACK, [CREATED, TAGGED, DELETED], [run(2)]),
        (
            Loss.TWICE,
            [
                CREATED,
                TAGGED,
                operation(
                    22, "AddRunTags", {"request_id": "b"}, {"version": 3, "update_time": 4, "revision": 4}
                ),
            ],
            [run(3)],
        ),
        (
            Loss.FALLING,
            [CREATED, TAGGED, SHOWN_AT_2, operation(27, "GetRun", {}, {"run": run(1), "revision": 2})],
            [run(2)],
        ),
        (Loss.PENDING, [CREATED, operation(20, "PauseRun", {"request_id": "d"}, None)], [run(1)]),
    ],
)
def test_each_fault_is_found_by_its_name(loss: Loss, history: list[Operation], there: list[Answer]) -> None:
    assert found(history, *there) == [loss]
