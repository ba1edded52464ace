"""Many callers at once who write what runs hold."""

from collections import Counter
from functools import partial
from itertools import pairwise
from typing import Any, Final

import grpc
import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from tests.support.calls import Stub, archive, check_refused, create, delete, get, micros
from tests.support.data_calls import (
    NOTHING_HELD,
    Data,
    append,
    count_events,
    draft,
    events,
    get_document,
    get_state,
    get_value,
    held_by,
    history,
    json_value,
    merge_document,
    put,
    revision_of,
    set_document,
    set_state,
    swap,
    value,
)
from tests.support.data_methods import KINDS, MUTATIONS, Kind, build, call, target
from tests.support.server import RunningServer
from tests.support.together import outcome_of, together

CALLERS: Final = 8
"""Threads that call together."""

ROUNDS: Final = 6
"""What each of them does."""

TRIES_MAX: Final = CALLERS * ROUNDS + 1
"""How often a caller can be overtaken: by each change of the others once."""


def test_adding_up_by_compare_and_set(stub: Stub, data: Data) -> None:
    """All additions arrive: the sum is exact, and so is the version."""
    run_id = create(stub).run_id
    set_state(data, run_id, "sum", 0)

    def add_up() -> None:
        for _ in range(ROUNDS):
            for _ in range(TRIES_MAX):
                held = get_state(data, run_id, "sum").value.json.number_value
                if outcome_of(partial(swap, data, run_id, "sum", held, held + 1)) == "done":
                    break
            else:
                msg = "never succeeded"
                raise AssertionError(msg)

    together([add_up] * CALLERS)

    item = get_state(data, run_id, "sum")
    assert item.value == value(CALLERS * ROUNDS)
    assert item.version == CALLERS * ROUNDS + 1
    held = [get_state(data, run_id, "sum", n + 1).value for n in range(CALLERS * ROUNDS + 1)]
    assert held == [value(n) for n in range(CALLERS * ROUNDS + 1)]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_adding_up_by_versions(stub: Stub, data: Data, kind: Kind) -> None:
    """The same on the expected version, of all that has versions."""
    run_id = create(stub).run_id
    kind.put(data, run_id, "sum", 0)

    def add_one() -> None:
        for _ in range(TRIES_MAX):
            item = kind.get(data, run_id, "sum")
            held = item.value if kind.field == "document" else item.value.json
            change = partial(
                kind.put, data, run_id, "sum", held.number_value + 1, expected_version=item.version
            )
            if outcome_of(change) == "done":
                return
        msg = "never succeeded"
        raise AssertionError(msg)

    together([add_one] * CALLERS)

    item = kind.get(data, run_id, "sum")
    assert (item.value, item.version) == (kind.wrap(CALLERS), CALLERS + 1)


def test_only_one_is_first(stub: Stub, data: Data) -> None:
    """Of writes that expect nothing to be there exactly one is taken, and its value is there."""
    run_id = create(stub).run_id
    for turn in range(ROUNDS):
        requests = [
            pb.CompareAndSetStateRequest(run_id=run_id, cell=f"{turn}", value=value(caller))
            for caller in range(4)
        ]
        outcomes = together([partial(outcome_of, partial(data.CompareAndSetState, r)) for r in requests])
        assert Counter(outcomes) == {"done": 1, "ABORTED": 3}
        assert get_state(data, run_id, f"{turn}").value == requests[outcomes.index("done")].value

        puts = [
            partial(outcome_of, partial(put, data, run_id, f"{turn}", n, expected_version=0))
            for n in range(4)
        ]
        outcomes = together(puts)
        assert Counter(outcomes) == {"done": 1, "ABORTED": 3}
        assert get_value(data, run_id, f"{turn}").value == value(outcomes.index("done"))


def test_every_blind_write_makes_a_version(stub: Stub, data: Data) -> None:
    """All different, each with the value and the revision of its own write."""
    run_id = create(stub).run_id

    def write(caller: int) -> list[tuple[int, int, Any]]:
        made = []
        for turn in range(ROUNDS):
            held = f"{caller}-{turn}"
            answer = put(data, run_id, "k", held)
            made.append((answer.version, answer.revision, value(held)))
        return made

    made = sorted(each for some in together([partial(write, n) for n in range(CALLERS)]) for each in some)

    assert [version for version, _, _ in made] == list(range(1, CALLERS * ROUNDS + 1))
    assert all(older[1] < newer[1] for older, newer in pairwise(made))
    assert [item.value for item in history(data, run_id, "k")] == [held for _, _, held in reversed(made)]


def test_appends_do_not_mix(stub: Stub, data: Data) -> None:
    """One sequence without a gap; the events of a call stand together, those of a caller in its order."""
    run_id = create(stub).run_id

    def write(caller: int) -> list[int]:
        return [
            append(
                data, run_id, *(draft(f"{caller}", [caller, turn, n]) for n in range(3)), draft("all", turn)
            ).first_sequence
            for turn in range(ROUNDS)
        ]

    firsts = together([partial(write, caller) for caller in range(CALLERS)])

    total = CALLERS * ROUNDS * 4
    assert sorted(first for some in firsts for first in some) == list(range(0, total, 4))
    found = events(data, run_id)
    assert [event.sequence for event in found] == list(range(total))
    assert all(micros(a.append_time) <= micros(b.append_time) for a, b in pairwise(found))
    for caller, own in enumerate(firsts):
        assert own == sorted(own)
        for turn, first in enumerate(own):
            assert [event.stream for event in found[first : first + 4]] == [f"{caller}"] * 3 + ["all"]
            held = [event.value for event in found[first : first + 3]]
            assert held == [value([caller, turn, n]) for n in range(3)]
        assert count_events(data, run_id, f"{caller}") == (3 * ROUNDS, total)
    assert count_events(data, run_id, "all") == (CALLERS * ROUNDS, total)
    assert delete(stub, run_id).receipt.events == total


def test_merges_do_not_lose_each_other(stub: Stub, data: Data) -> None:
    """Each adds its member without reading first, and all members are there."""
    run_id = create(stub).run_id

    def write(caller: int) -> None:
        for turn in range(ROUNDS):
            merge_document(data, run_id, "d", {f"{caller}": {f"{turn}": [caller, turn]}})

    together([partial(write, caller) for caller in range(CALLERS)])

    merged = {f"{n}": {f"{turn}": [n, turn] for turn in range(ROUNDS)} for n in range(CALLERS)}
    item = get_document(data, run_id, "d")
    assert (item.value, item.version) == (json_value(merged), CALLERS * ROUNDS)


def test_a_request_that_is_sent_many_times_at_once_is_done_once(stub: Stub, data: Data) -> None:
    """Each of them is answered, and all alike."""
    for name in MUTATIONS:
        run_id = target(stub, data)
        request = build(name, run_id, request_id=f"{name} once")
        before = revision_of(stub)

        answers = together([partial(call, data, name, request)] * CALLERS)

        assert all(answer == answers[0] for answer in answers)
        assert answers[0].revision == revision_of(stub) > before


def wait_for_events(data: Data, run_id: str, count: int) -> None:
    """Ask until a run has so many events, which others append meanwhile."""
    for _ in range(10_000):
        if count_events(data, run_id)[0] >= count:
            return
    msg = f"never {count} events"
    raise AssertionError(msg)


def write_until_refused(data: Data, run_id: str, caller: int) -> tuple[int, str]:
    """Write to a run again and again, in each way, until it is refused; return the last revision, and why."""
    revision = 0
    for turn in range(1_000):
        writes = (
            partial(put, data, run_id, f"{caller}", turn),
            partial(append, data, run_id, draft("s", turn), draft(f"{caller}", turn)),
            partial(set_state, data, run_id, "shared", turn),
            partial(merge_document, data, run_id, "d", {f"{caller}": turn}),
        )
        try:
            revision = writes[turn % 4]().revision
        except grpc.RpcError as error:
            return revision, error.code().name
    msg = "never refused"
    raise AssertionError(msg)


@pytest.mark.parametrize("end", [archive, delete], ids=["archive", "delete"])
def test_no_write_slips_past_the_end(server: RunningServer, stub: Stub, data: Data, end: Any) -> None:
    """What was acknowledged came before the end, and what came after it was refused and left nothing."""
    for _ in range(3):
        run_id = create(stub).run_id

        def end_it(run_id: str = run_id) -> tuple[int, str]:
            wait_for_events(data, run_id, CALLERS)
            return end(stub, run_id).revision, "end"

        writers: list[Any] = [partial(write_until_refused, data, run_id, caller) for caller in range(4)]
        outcomes: list[tuple[int, str]] = together([end_it, *writers])

        ended = outcomes[0][0]
        assert all(revision < ended for revision, _ in outcomes[1:])
        assert max(revision for revision, _ in outcomes[1:]) > 0
        refused = "FAILED_PRECONDITION" if end is archive else "NOT_FOUND"
        assert {why for _, why in outcomes[1:]} == {refused}
        if end is delete:
            check_refused(partial(held_by, data, run_id), Code.NOT_FOUND, "RUN_NOT_FOUND")
            create(stub, run_id=run_id)
            assert held_by(data, run_id) == NOTHING_HELD
            server.run_jobs()
            assert held_by(data, run_id) == NOTHING_HELD
            assert delete(stub, run_id).receipt == index_pb.DeleteReceipt()


def test_the_receipt_counts_every_acknowledged_write(stub: Stub, data: Data) -> None:
    """Exactly, however many callers wrote until the last moment."""
    run_id = create(stub).run_id

    def write(caller: int) -> tuple[int, int]:
        held_bytes = 0
        for turn in range(1_000):
            held = f"{caller}-{turn}"
            if outcome_of(partial(append, data, run_id, draft(f"{caller}", held))) != "done":
                return turn, held_bytes
            held_bytes += value(held).ByteSize()
        msg = "never refused"
        raise AssertionError(msg)

    def delete_it() -> index_pb.DeleteReceipt:
        wait_for_events(data, run_id, 4 * CALLERS)
        return delete(stub, run_id).receipt

    calls: list[Any] = [delete_it, *(partial(write, caller) for caller in range(4))]
    receipt, *written = together(calls)

    expected = index_pb.DeleteReceipt(
        events=sum(count for count, _ in written), bytes=sum(size for _, size in written)
    )
    assert receipt == expected


def test_reads_see_whole_writes(stub: Stub, data: Data) -> None:
    """Four events of a call or none; a document and its version together; never a step back."""
    run_id = create(stub).run_id
    set_document(data, run_id, "d", {"n": 1, "m": 1})

    def write() -> None:
        for n in range(2, 3 * ROUNDS):
            append(data, run_id, *(draft(stream, n) for stream in "stst"))
            set_document(data, run_id, "d", {"n": n, "m": n}, expected_version=n - 1)

    def read() -> None:
        version = count = 0
        for _ in range(2 * ROUNDS):
            item = get_document(data, run_id, "d")
            assert item.value == json_value({"n": item.version, "m": item.version})
            assert item.version >= version
            answer = data.CountEvents(pb.CountEventsRequest(run_id=run_id))
            assert answer.count == answer.next_sequence >= count
            assert answer.count % 4 == 0
            backwards = events(data, run_id, backwards=True)
            assert len(backwards) % 4 == 0
            assert [event.sequence for event in backwards] == list(range(len(backwards)))[::-1]
            version, count = item.version, answer.count

    together([write, read, read, read])

    assert get(stub, run_id).version == 1
    assert count_events(data, run_id, "s") == (2 * (3 * ROUNDS - 2), 4 * (3 * ROUNDS - 2))
