"""The gate: lets no call in once it is closed, and waits for those that are under way."""

import asyncio

import pytest

from runindex_server.errors import StoreClosed
from runindex_server.rpc.gate import Gate


def test_a_closed_gate_refuses() -> None:
    async def run() -> None:
        gate = Gate()
        with gate:
            pass
        await gate.close(0)
        with pytest.raises(StoreClosed), gate:
            pytest.fail("let in")

    asyncio.run(run())


def test_closing_waits_for_the_calls_under_way() -> None:
    async def run() -> None:
        gate, let_go, left = Gate(), asyncio.Event(), []

        async def call(name: int) -> None:
            with gate:
                await let_go.wait()
            left.append(name)

        calls = [asyncio.create_task(call(name)) for name in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(gate.close(30))
        await asyncio.sleep(0)
        assert not closing.done()
        let_go.set()
        await closing
        assert sorted(left) == [0, 1, 2]
        await asyncio.gather(*calls)

    asyncio.run(run())


def test_closing_does_not_wait_longer_than_it_may() -> None:
    async def run() -> None:
        gate = Gate()
        with gate:
            await gate.close(0)

    asyncio.run(run())


def test_a_call_that_fails_has_left() -> None:
    async def run() -> None:
        gate = Gate()
        with pytest.raises(ZeroDivisionError), gate:
            raise ZeroDivisionError
        await gate.close(0)

    asyncio.run(run())
