"""Search over time: it follows every change, stops when its budget is spent, and takes any words."""

from typing import Any

import pytest

from runindex.v1 import run_index_pb2 as pb
from runindex_server.limits import TERM_BYTES_MAX, TERMS_MAX
from runindex_server.search import effort
from tests.support.calls import DEFAULT, Stub, archive, create, fail, ids, pause, search_ids, struct, update
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, ManualClock
from tests.support.server import RunningServer, StartServer


@pytest.mark.parametrize("merged", [False, True])
def test_search_follows_every_change(server: RunningServer, stub: Stub, *, merged: bool) -> None:
    """A run is found by what it is now, and by nothing that it was."""
    run_id = create(stub, tags=["old"], metadata={"k": "before"}).run_id
    steps = (
        (lambda: update(stub, run_id, {"k": "after"}), "after", "before"),
        (lambda: update(stub, run_id, {"more": "words"}, merge=True), "words after", "-words"),
        (lambda: update(stub, run_id, {"k": None}, merge=True), "words -after", "after"),
        (lambda: stub.AddRunTags(pb.AddRunTagsRequest(run_id=run_id, tags=["new"])), "tag:new", "-tag:new"),
        (
            lambda: stub.RemoveRunTags(pb.RemoveRunTagsRequest(run_id=run_id, tags=["old"])),
            "-tag:old",
            "tag:old",
        ),
        (lambda: pause(stub, run_id), "state:paused", "state:active"),
        (lambda: stub.ResumeRun(pb.ResumeRunRequest(run_id=run_id)), "state:active", "state:paused"),
        (lambda: fail(stub, run_id, "kaput"), "kaput outcome:failed", "state:active"),
        (lambda: archive(stub, run_id), "state:archived kaput", "kaput"),
    )
    for step, finds, misses in steps:
        step()
        if merged:
            server.run_jobs()
        assert search_ids(stub, f"({finds}) -id:default") == [run_id]
        assert run_id not in search_ids(stub, misses)


def test_ages_count_from_the_first_page(stub: Stub, clock: ManualClock) -> None:
    """A listing does not lose runs because time goes on while it is read."""
    clock.advance(DAY_US)
    made = [create(stub, tags=["t"]).run_id for _ in range(4)]
    clock.advance(30 * MINUTE_US)
    found, token = [], ""

    for _ in range(4):
        request = pb.SearchRunsRequest(query="tag:t created<1h", page_size=1, page_token=token)
        answer = stub.SearchRuns(request)
        found += ids(answer)
        token = answer.next_page_token
        clock.advance(HOUR_US)

    assert found == made[::-1]
    assert token == ""
    assert search_ids(stub, "tag:t created<1h") == []


@pytest.mark.parametrize("query", ['"one two"', "-duration>5m", "updated<1h tag:t", '"one two" OR tag:rare'])
@pytest.mark.parametrize("page_size", [1, 3, 1_000])
def test_a_search_stops_when_its_budget_is_spent(start: StartServer, query: str, page_size: int) -> None:
    """It says so, and the pages together still hold each match once, newest first."""
    server = start(search_budget_records=5)
    stub = server.stub()
    made = []
    for place in range(40):
        text = "one two" if place % 4 == 0 else "two one"
        tags = ["t", "rare"] if place == 2 else ["t"]
        made.append(create(stub, tags=tags, metadata={"k": text}).run_id)
    server.run_jobs()
    found: list[str] = []
    token, calls = "", 0

    while token or calls == 0:
        answer = stub.SearchRuns(pb.SearchRunsRequest(query=query, page_size=page_size, page_token=token))
        assert len(answer.runs) <= page_size
        assert not answer.truncated or answer.next_page_token
        assert answer.truncated or len(answer.runs) == page_size or not answer.next_page_token
        found += ids(answer)
        token = answer.next_page_token
        calls += 1
        assert calls <= 100

    matches = {
        '"one two"': made[::4],
        "-duration>5m": [DEFAULT, *made],
        "updated<1h tag:t": made,
        '"one two" OR tag:rare': sorted({*made[::4], made[2]}, key=made.index),
    }
    assert found == matches[query][::-1]


def test_without_candidates_no_budget_is_spent(start: StartServer) -> None:
    """What the index answers by itself is never cut short."""
    server = start(search_budget_records=1)
    stub = server.stub()
    made = [create(stub, tags=["t"], metadata={"k": "word"}).run_id for _ in range(20)]

    for query in ("tag:t", "word", "tag:t state:active word", "-tag:u tag:t"):
        assert search_ids(stub, query) == made[::-1]


@pytest.mark.parametrize("query", ["tag:t", "word", '"a word"', "-state:failed", "wor*", "updated<1h"])
@pytest.mark.parametrize("page_size", [0, 3, 1_000])
def test_a_search_that_is_too_much_for_the_event_loop_finds_the_same(
    server: RunningServer, stub: Stub, monkeypatch: pytest.MonkeyPatch, query: str, page_size: int
) -> None:
    """Page by page, whether it is done at once, given up half-way, or not begun there."""
    made = [create(stub, tags=["t"], metadata={"k": f"a word {place}"}).run_id for place in range(20)]
    server.run_jobs()
    walks = set()

    for work_max in (effort.BRIEF, 30, 0):
        monkeypatch.setattr(effort, "BRIEF", work_max)
        found: list[str] = []
        token = ""
        while not found or token:
            request = pb.SearchRunsRequest(query=f"({query}) tag:t", page_size=page_size, page_token=token)
            answer = stub.SearchRuns(request)
            found += ids(answer)
            token = answer.next_page_token
            assert not answer.truncated
        walks.add(tuple(found))

    assert walks == {tuple(reversed(made))}


def test_only_what_is_too_much_for_the_event_loop_leaves_it(
    server: RunningServer, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(200):
        create(stub, tags=["t"], metadata={"k": f"one two {place}"})
    server.run_jobs()
    offloads = []
    read = server.store.read

    async def recorded(fn: Any, *, offload: bool = False) -> Any:
        offloads.append(offload)
        return await read(fn, offload=offload)

    monkeypatch.setattr(server.store, "read", recorded)
    for query, expected in (
        ("tag:t one state:active", [False]),
        ("nothing", [False]),
        ('"one two"', [False]),
        ('"two one"', [False, True]),
        ('"two one" nothing', [False]),
    ):
        offloads.clear()
        stub.SearchRuns(pb.SearchRunsRequest(query=query))
        assert offloads == expected


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("over", [-1, 0, 1, 40])
def test_words_of_any_length_are_found(server: RunningServer, stub: Stub, over: int, *, merged: bool) -> None:
    """Whole and by a prefix, also where the index shortens them."""
    word = "w" * (TERM_BYTES_MAX + over)
    run_id = create(stub, metadata={"k": word}).run_id
    create(stub, metadata={"k": word + "x"})
    other = create(stub, metadata={"k": f"{word[:-1]}z"}).run_id
    if merged:
        server.run_jobs()

    assert search_ids(stub, word) == search_ids(stub, f"meta.k:{word}") == [run_id]
    assert search_ids(stub, f"{word[:-1]}z") == [other]
    assert search_ids(stub, word[:-1]) == []
    assert run_id in search_ids(stub, f"{word[:-1]}*")


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("count", [1_000, TERMS_MAX, 4_999])
def test_runs_of_very_many_words_are_found(
    server: RunningServer, stub: Stub, count: int, *, merged: bool
) -> None:
    """By each of them, and by nothing else, also when they pass what the index keeps of a run."""
    values = struct({"k": [f"w{place}" for place in range(count - 1)]})
    run_id = stub.CreateRun(pb.CreateRunRequest(metadata=values)).run.run_id
    if merged:
        server.run_jobs()

    for word in ("w0", f"w{count // 2}", f"w{count - 2}", "w12*", f"w7 w{count - 2}", "-nowhere w1"):
        assert search_ids(stub, word) == [run_id]
    for word in (f"w{count}", "nowhere", "w0 nowhere", f"w1 -w{count - 2}"):
        assert search_ids(stub, word) == []
    stub.UpdateRunMetadata(pb.UpdateRunMetadataRequest(run_id=run_id, metadata=struct({"k": "few"})))
    assert search_ids(stub, f"w{count - 2}") == []
    assert search_ids(stub, "few") == [run_id]
