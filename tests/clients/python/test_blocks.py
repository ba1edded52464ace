"""Blocks that are runs: how they begin, nest and end."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import grpc
import pytest

import runindex
from runindex import AsyncClient, Client, RunState, current_run
from runindex.v1 import run_index_pb2 as pb
from tests.clients.python.faulty import FaultyServer
from tests.support.server import LoopThread, RunningServer

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
MADE = pb.CreateRunResponse(run=pb.Run(run_id="made"))

Connect = Callable[..., Any]
Faulty = Callable[..., FaultyServer]


def test_a_clean_block_closes_its_run(client: Any) -> None:
    with client.run(tags=["a"], metadata={"b": 1}) as run:
        begun = client.get(run.run_id)
        run.add_tags("c")
        run.remove_tags("a")
        run.update_metadata({"d": 2})
        run.data.put("k", "v")

    ended = client.get(run.run_id)
    assert (begun.state, ended.state, ended.tags, ended.metadata) == (
        RunState.ACTIVE,
        RunState.COMPLETED,
        ("c",),
        {"b": 1, "d": 2},
    )
    assert client.data(run.run_id).get("k") == "v"


@pytest.mark.parametrize(
    ("fault", "state", "error"),
    [
        (ValueError("no good"), RunState.FAILED, "ValueError: no good"),
        (KeyboardInterrupt(), RunState.CANCELLED, None),
        (asyncio.CancelledError(), RunState.CANCELLED, None),
        (GeneratorExit(), RunState.CANCELLED, None),
        (BaseExceptionGroup("", [asyncio.CancelledError()]), RunState.CANCELLED, None),
        (SystemExit(), RunState.COMPLETED, None),
        (SystemExit(0), RunState.COMPLETED, None),
        (SystemExit(3), RunState.FAILED, "SystemExit: 3"),
        (SystemExit("usage"), RunState.FAILED, "SystemExit: usage"),
        (SystemExit(130), RunState.CANCELLED, None),
        (SystemExit(143), RunState.CANCELLED, None),
        (BaseExceptionGroup("", [KeyboardInterrupt(), SystemExit(143)]), RunState.CANCELLED, None),
    ],
    ids=repr,
)
def test_what_a_block_raises_ends_its_run(
    client: Any, fault: BaseException, state: RunState, error: str | None
) -> None:
    with pytest.raises(type(fault)) as caught, client.run() as run:
        raise fault

    assert caught.value is fault
    assert not getattr(fault, "__notes__", [])
    ended = client.get(run.run_id)
    assert (ended.state, ended.error) == (state, error)


def test_a_long_error_is_cut(client: Any) -> None:
    with pytest.raises(ValueError, match="ä"), client.run() as run:
        raise ValueError("ä" * 20_000)

    error = client.get(run.run_id).error
    assert 16_000 < len(error.encode()) <= 16 * 1024
    assert error.endswith("…")


def test_nested_blocks_are_children(client: Any, here: Callable[..., Any]) -> None:
    assert here(current_run) is None
    with client.run() as outer:
        with client.run() as inner:
            assert here(current_run).run_id == inner.run_id
            with client.run(parent=None) as root:
                pass
            with client.run(parent=outer.run_id) as sibling:
                pass
        assert here(current_run).run_id == outer.run_id
        with client.run() as second:
            pass
    assert here(current_run) is None

    runs = {name: client.get(run.run_id) for name, run in locals().items() if hasattr(run, "is_recorded")}
    assert runs["outer"].parent_run_id is runs["root"].parent_run_id is None
    assert runs["inner"].parent_run_id == runs["second"].parent_run_id == runs["outer"].run_id
    assert runs["sibling"].parent_run_id == runs["outer"].run_id


def test_blocks_of_another_server_are_no_parents(client: Any, connect: Connect, faulty: Faulty) -> None:
    server = faulty(MADE)

    with client.run() as outer, connect(server.target).run(), client.run() as inner:
        pass

    assert server.calls[0][0].endswith("/CreateRun")
    assert client.get(inner.run_id).parent_run_id == outer.run_id


@pytest.mark.parametrize("how", ["close", "cancel", "fail", "archive", "delete"])
def test_a_run_that_is_over_is_left_as_it_is(client: Any, how: str) -> None:
    with client.run() as run:
        if how == "fail":
            run.fail("by hand")
        elif hasattr(run.inner if hasattr(run, "inner") else run, how):
            getattr(run, how)()
        else:
            getattr(client, how)(run.run_id)
        before = client.get(run.run_id, None)

    assert client.get(run.run_id, None) == before


def test_a_run_that_somebody_else_has_ended_is_left_as_it_is(client: Any) -> None:
    run = client.run()

    def block() -> None:
        with run:
            client.cancel(run.run_id)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        block()

    assert client.get(run.run_id).state is RunState.CANCELLED


def test_a_paused_run_stays_paused_unless_its_block_raises(client: Any) -> None:
    failed = client.run()

    def block() -> None:
        with failed:
            failed.pause()
            raise ValueError("no")

    with client.run() as left:
        left.pause()
    with pytest.raises(ValueError, match="no"):
        block()
    with client.run() as resumed:
        resumed.pause()
        resumed.resume()

    assert client.get(left.run_id).state is RunState.PAUSED
    assert (client.get(failed.run_id).state, client.get(failed.run_id).error) == (
        RunState.FAILED,
        "ValueError: no",
    )
    assert client.get(resumed.run_id).state is RunState.COMPLETED


def test_a_run_is_for_one_block(client: Any) -> None:
    run = client.run()
    with run:
        pass

    with pytest.raises(RuntimeError, match="one block"), run:
        pass


def test_a_server_that_fails_at_the_beginning_raises(connect: Connect, faulty: Faulty) -> None:
    with pytest.raises(runindex.Unavailable), connect(faulty(UNAVAILABLE).target).run():
        pytest.fail("the block was entered")


def test_a_server_that_fails_at_the_end_of_a_clean_block_raises(connect: Connect, faulty: Faulty) -> None:
    with pytest.raises(runindex.Unavailable), connect(faulty(MADE, UNAVAILABLE).target).run():
        pass


def test_a_server_that_fails_at_the_end_does_not_hide_what_the_block_raised(
    connect: Connect, faulty: Faulty
) -> None:
    with pytest.raises(ValueError, match="mine") as caught, connect(faulty(MADE, UNAVAILABLE).target).run():
        raise ValueError("mine")

    (note,) = caught.value.__notes__
    assert note.startswith("runindex could not record how this run ended: UNAVAILABLE")


def test_a_client_that_was_closed_inside_does_not_hide_what_the_block_raised(
    connect: Connect, faulty: Faulty
) -> None:
    client = connect(faulty(MADE).target)

    def block() -> None:
        with client.run():
            client.close()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        block()

    assert "closed" in caught.value.__notes__[0]


def test_a_run_that_is_not_required_breaks_nothing(
    connect: Connect, faulty: Faulty, caplog: pytest.LogCaptureFixture
) -> None:
    server = faulty(UNAVAILABLE)
    client = connect(server.target, retries=0)

    with client.run(required=False) as run:
        run.add_tags("a")
        run.update_metadata({"a": 1})
        run.data.put("k", object())
        assert run.data.get("k", default=None) is None
        assert list(run.data.events()) == []
        run.fail("no")
        assert not run.is_recorded
    with client.run(required=False) as second:
        pass

    assert not second.is_recorded
    assert len(server.calls) == 1  # It is left alone for a while.
    assert [record.message for record in caplog.records] == ["not recorded: UNAVAILABLE: as it was told"]


def test_a_run_that_is_not_required_is_recorded_where_it_can_be(client: Any) -> None:
    with client.run(required=False) as run:
        run.update_metadata({"bad": float("nan")})
        run.add_tags("")
        run.data.put("k", object())
        run.data.put("k", 1)
    with client.run(required=False, metadata={"bad": object()}) as refused, client.run() as inner:
        pass

    assert client.get(run.run_id).state is RunState.COMPLETED
    assert client.data(run.run_id).get("k") == 1
    assert not refused.is_recorded
    assert client.get(inner.run_id).parent_run_id is None


def test_an_end_that_was_not_recorded_is_tried_again_when_the_block_ends(
    connect: Connect, faulty: Faulty
) -> None:
    server = faulty(MADE, UNAVAILABLE, pb.FailRunResponse(version=2))

    with connect(server.target, retries=0).run(required=False) as run:
        run.fail("no")

    assert [path.rpartition("/")[2] for path, _ in server.calls] == ["CreateRun", "FailRun", "FailRun"]
    assert pb.FailRunRequest.FromString(server.calls[2][1]).error == "no"


def test_a_run_that_is_not_required_lets_what_the_block_raises_through(
    connect: Connect, faulty: Faulty
) -> None:
    client = connect(faulty(MADE, UNAVAILABLE).target, retries=0)

    with pytest.raises(ValueError, match="mine"), client.run(required=False):
        raise ValueError("mine")
    with client.run(required=False):
        pass


def test_tracked_functions(client: Any, server: RunningServer, loop: LoopThread, flavour: str) -> None:
    if flavour == "sync":

        @client.tracked(tags=["t"])
        def double(number: int) -> int:
            """Double it."""
            return 2 * number

        assert double(4) == 8
    else:

        @client.inner.tracked(tags=["t"])
        async def double(number: int) -> int:
            """Double it."""
            assert current_run() is not None
            return 2 * number

        assert loop.run(double(4)) == 8

    assert double.__doc__ == "Double it."
    (run,) = client.runs(tag="t")
    assert run.state is RunState.COMPLETED
    assert run.metadata["function"].endswith("test_tracked_functions.<locals>.double")


def test_what_cannot_be_tracked() -> None:
    def plain() -> None: ...
    async def coroutine() -> None: ...
    def generator() -> Any:
        yield

    async def async_generator() -> Any:
        yield

    clients: list[tuple[Any, list[Callable[..., Any]]]] = [
        (Client(), [coroutine, generator, async_generator]),
        (AsyncClient(), [plain, generator, async_generator]),
    ]
    for client, refused in clients:
        for function in refused:
            with pytest.raises(TypeError, match=function.__name__):
                client.tracked()(function)


def test_tasks_do_not_mix(server: RunningServer, loop: LoopThread) -> None:
    async def branch(client: AsyncClient, name: str) -> tuple[str, str]:
        async with client.run(tags=[name]) as outer:
            await asyncio.sleep(0)
            async with client.run() as inner:
                await asyncio.sleep(0)
                assert current_run() is inner
        return outer.run_id, inner.run_id

    async def main() -> None:
        async with AsyncClient(server.target) as client, client.run() as root:
            pairs = await asyncio.gather(*(branch(client, f"branch-{index}") for index in range(5)))
            for outer, inner in pairs:
                assert await client.parent(outer) == root.run_id
                assert await client.parent(inner) == outer
        assert current_run() is None

    loop.run(main())


def test_a_task_that_is_cancelled_cancels_its_run(server: RunningServer, loop: LoopThread) -> None:
    async def main() -> None:
        async with AsyncClient(server.target) as client:
            begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()

            async def work() -> None:
                async with client.run() as run:
                    begun.set_result(run.run_id)
                    await asyncio.sleep(60)

            task = asyncio.create_task(work())
            run_id = await begun
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.get(run_id)).state is RunState.CANCELLED

    loop.run(main())


def test_a_thread_inherits_by_a_copied_context_only(server: RunningServer) -> None:
    with Client(server.target) as client, client.run() as outer:
        found: list[Any] = []

        def look() -> None:
            found.append(current_run())

        for thread in (
            threading.Thread(target=look),
            threading.Thread(target=copy_context().run, args=(look,)),
        ):
            thread.start()
            thread.join()

    assert found == [None, outer]
