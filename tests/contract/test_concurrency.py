"""Many callers at once: the tests that the RunIndex plan names, and ours beside them.

Each starts a bounded number of calls together and waits for all of them.
"""

from collections import Counter
from itertools import pairwise
from typing import Any, Final

import grpc
import pytest

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Stub,
    add_tags,
    by_state,
    by_tag,
    cancel,
    check_refused,
    children,
    close,
    count,
    create,
    delete,
    fail,
    get,
    list_ids,
    micros,
    remove_tags,
    struct,
    update,
)
from tests.support.server import LoopThread
from tests.support.together import outcome_of, together

CALLERS: Final = 8
"""Threads that call together."""

ROUNDS: Final = 10
"""What each of them does."""


def test_concurrent_creates(stub: Stub) -> None:
    """All are made, each once; revisions and create times are all different and in one order."""

    def make(caller: int) -> list[pb.Run]:
        return [create(stub, tags=[f"caller-{caller}"]) for _ in range(ROUNDS)]

    made = [run for runs in together([lambda c=c: make(c) for c in range(CALLERS)]) for run in runs]

    total = CALLERS * ROUNDS
    by_revision = sorted(made, key=lambda run: run.revision)
    assert len({run.revision for run in made}) == total
    times = [micros(run.create_time) for run in by_revision]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert list_ids(stub) == [*(run.run_id for run in reversed(by_revision)), DEFAULT]
    assert count(stub) == total + 1
    for caller in range(CALLERS):
        assert len(by_tag(stub, f"caller-{caller}")) == ROUNDS


def test_concurrent_status_updates(stub: Stub) -> None:
    """Of transitions that exclude each other exactly one succeeds, and the others are told."""
    for _ in range(ROUNDS):
        run_id = create(stub).run_id

        outcomes = Counter(
            together(
                [
                    lambda change=change, run_id=run_id: outcome_of(lambda: change(stub, run_id))
                    for change in (close, fail, cancel) * 2
                ]
            )
        )

        assert outcomes == {"done": 1, "FAILED_PRECONDITION": 5}
        run = get(stub, run_id)
        assert run.version == 2
        assert run.state == run.outcome
        assert [state for state in STATES if run_id in by_state(stub, state)] == [run.state]


def test_concurrent_tag_modifications(stub: Stub) -> None:
    """Each caller's tags are there in its order, and what each removed is gone."""
    run_id = create(stub).run_id

    def retag(caller: int) -> None:
        for turn in range(6):
            add_tags(stub, run_id, f"{caller}-keep-{turn}", f"{caller}-drop")
            remove_tags(stub, run_id, f"{caller}-drop")

    together([lambda c=c: retag(c) for c in range(CALLERS)])

    tags = list(get(stub, run_id).tags)
    assert len(tags) == len(set(tags)) == CALLERS * 6
    for caller in range(CALLERS):
        own = [tag for tag in tags if tag.startswith(f"{caller}-")]
        assert own == [f"{caller}-keep-{turn}" for turn in range(6)]
        assert by_tag(stub, f"{caller}-keep-0") == [run_id]
        assert by_tag(stub, f"{caller}-drop") == []
    assert get(stub, run_id).version == 1 + CALLERS * 6 * 2


def test_read_during_write(stub: Stub) -> None:
    """A reader sees one state of the store: whole records, versions that only grow, counts that add up."""
    run_id = create(stub, metadata={"n": 1}, tags=["n-1"]).run_id
    total = count(stub, *STATES)

    def write() -> None:
        for n in range(2, ROUNDS * 2):
            update(stub, run_id, {"n": n})

    def come_and_go() -> None:
        for _ in range(ROUNDS):
            close(stub, create(stub).run_id)

    def read() -> None:
        version = revision = 0
        for _ in range(ROUNDS * 2):
            answer = stub.GetRun(pb.GetRunRequest(run_id=run_id))
            assert answer.run.metadata["n"] == answer.run.version
            assert answer.run.version >= version
            assert answer.revision >= max(revision, answer.run.revision)
            version, revision = answer.run.version, answer.revision
            counts = stub.CountRuns(pb.CountRunsRequest(include_archived=True))
            assert counts.count == sum(row.count for row in counts.by_state) >= total
            listed = stub.ListRuns(pb.ListRunsRequest())
            assert all(run.revision <= listed.revision for run in listed.runs)

    together([write, come_and_go, read, read, read])

    assert count(stub, *STATES) == total + ROUNDS


def test_no_lost_updates(stub: Stub) -> None:
    """Read, add one, write if unchanged: all additions arrive, however often a caller has to try again."""
    run_id = create(stub, metadata={"n": 0}).run_id

    def add_one() -> None:
        for _ in range(CALLERS * ROUNDS):
            run = get(stub, run_id)
            request = pb.UpdateRunMetadataRequest(
                run_id=run_id,
                metadata=struct({"n": run.metadata["n"] + 1}),
                expected_version=run.version,
            )
            if outcome_of(lambda request=request: stub.UpdateRunMetadata(request)) == "done":
                return
        msg = "never succeeded"
        raise AssertionError(msg)

    together([add_one] * CALLERS)

    assert get(stub, run_id).metadata["n"] == CALLERS
    assert get(stub, run_id).version == CALLERS + 1


# Beside the plan's.


def test_one_of_equal_creates_succeeds(stub: Stub) -> None:
    """Of callers that want the same id one gets it."""
    outcomes = Counter(
        together([lambda: outcome_of(lambda: create(stub, run_id=UNKNOWN_ID)) for _ in range(CALLERS)])
    )

    assert outcomes == {"done": 1, "ALREADY_EXISTS": CALLERS - 1}
    assert list_ids(stub) == [UNKNOWN_ID, DEFAULT]


def test_one_request_sent_many_times_at_once(stub: Stub) -> None:
    """All callers get the one answer, and one run is made."""
    request = pb.CreateRunRequest(tags=["t"], request_id="same")

    answers = together([lambda: stub.CreateRun(request) for _ in range(CALLERS)])

    assert all(answer == answers[0] for answer in answers)
    assert list_ids(stub) == [answers[0].run.run_id, DEFAULT]


def test_many_calls_at_once_on_one_connection(stub: Stub) -> None:
    """A caller that sends faster than it is answered waits; it is not cut off without a reason."""
    stub.RunExists(pb.RunExistsRequest(run_id=DEFAULT))

    sent = [stub.CreateRun.future(pb.CreateRunRequest()) for _ in range(3_000)]

    assert Counter(call.code().name for call in sent) == {"OK": 3_000}
    assert count(stub) == 3_001


def test_one_of_equal_deletes_succeeds(stub: Stub) -> None:
    """Only one caller gets the receipt."""
    parent = create(stub).run_id
    create(stub, parent=parent)

    outcomes = Counter(together([lambda: outcome_of(lambda: delete(stub, parent)) for _ in range(CALLERS)]))

    assert outcomes == {"done": 1, "NOT_FOUND": CALLERS - 1}
    assert count(stub) == 2


def test_children_come_while_their_parent_goes(stub: Stub) -> None:
    """Each child is either made before the deletion, and counted by its receipt, or refused."""
    for _ in range(ROUNDS):
        parent = create(stub).run_id
        receipts: list[int] = []

        def remove(parent: str = parent, receipts: list[int] = receipts) -> str:
            receipts.append(delete(stub, parent).receipt.orphaned_children)
            return "deleted"

        outcomes = Counter(
            together(
                [
                    remove,
                    *(
                        lambda parent=parent: outcome_of(lambda: create(stub, parent=parent))
                        for _ in range(CALLERS)
                    ),
                ]
            )
        )

        assert outcomes["done"] + outcomes["NOT_FOUND"] == CALLERS
        assert receipts == [outcomes["done"]] == [len(children(stub, parent))]


def test_one_refusal_leaves_its_neighbours(stub: Stub) -> None:
    """Good and bad calls that arrive together are decided each by itself."""
    taken = create(stub).run_id

    def call(place: int) -> str:
        run_id = taken if place % 2 else None
        return outcome_of(lambda: create(stub, run_id=run_id, tags=[f"place-{place}"]))

    outcomes = together([lambda p=p: call(p) for p in range(2 * CALLERS)])

    assert outcomes == ["done", "ALREADY_EXISTS"] * CALLERS
    assert count(stub) == CALLERS + 2


def test_each_caller_reads_its_own_writes(stub: Stub) -> None:
    """While others write, whatever was acknowledged is in the next answer of every query."""

    def work(caller: int) -> None:
        for turn in range(ROUNDS):
            tag = f"{caller}-{turn}"
            answer = stub.CreateRun(
                pb.CreateRunRequest(tags=[tag], metadata=struct({"k": f"w{caller}x{turn}"}))
            )
            run_id = answer.run.run_id
            found: Any
            for found in (
                stub.QueryRunsByTag(pb.QueryRunsByTagRequest(tag=tag)),
                stub.SearchRuns(pb.SearchRunsRequest(query=f"w{caller}x{turn}")),
                stub.SearchRuns(pb.SearchRunsRequest(query=f"tag:{tag}")),
            ):
                assert [run.run_id for run in found.runs] == [run_id]
                assert found.revision >= answer.revision

    together([lambda c=c: work(c) for c in range(CALLERS)])


def test_a_refused_condition_changes_nothing(stub: Stub) -> None:
    """Of conditional writes for one version exactly one is applied."""
    run = create(stub)

    def write(caller: int) -> str:
        request = pb.AddRunTagsRequest(run_id=run.run_id, tags=[f"caller-{caller}"], expected_version=1)
        return outcome_of(lambda: stub.AddRunTags(request))

    outcomes = Counter(together([lambda c=c: write(c) for c in range(CALLERS)]))

    assert outcomes == {"done": 1, "ABORTED": CALLERS - 1}
    assert len(get(stub, run.run_id).tags) == 1
    check_refused(
        lambda: stub.CloseRun(pb.CloseRunRequest(run_id=run.run_id, expected_version=1)),
        grpc.StatusCode.ABORTED,
        "VERSION_MISMATCH",
        expectedVersion="1",
        currentVersion="2",
    )


def test_a_call_whose_deadline_has_passed_is_not_executed(loop: LoopThread, stub: Stub) -> None:
    with loop.held_up(), pytest.raises(grpc.RpcError) as refused:
        stub.CreateRun(pb.CreateRunRequest(), timeout=0.05)

    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert list_ids(stub) == [DEFAULT]
