"""Calls at the same time, a bounded number of them, all waited for."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import grpc

from tests.support.server import WAIT_S

T = TypeVar("T")


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make calls at the same time, each on a thread of its own, and return what they return."""
    barrier = Barrier(len(calls))

    def start(call: Callable[[], T]) -> T:
        barrier.wait(WAIT_S)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(WAIT_S) for future in [pool.submit(start, call) for call in calls]]


def outcome_of(call: Callable[[], object]) -> str:
    """Make a call and return "done", or the name of the status code of its refusal."""
    try:
        call()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code.name
    return "done"
