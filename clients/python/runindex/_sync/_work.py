# Made by `scripts/gen_sync_client.py` of `_async/_work.py`, where changes are made.
"""Work of the server that takes its time, and tells how far it is."""

import warnings
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, cast

import grpc

from runindex._errors import DataLoss
from runindex._types import MISSING, Missing

T = TypeVar("T")
S = TypeVar("S")


class Work(Generic[T, S]):
    """Work that tells what it does while it is iterated over, and at its end what it came to.

    Nothing is called before it is iterated over or asked for its `result`, and each is for one time; one that
    is dropped before warns, with RuntimeWarning. Whoever leaves the loop before its end cuts the work off.
    """

    def __init__(self, begin: Callable[[], Iterator[T | S | None]], last: type[S], name: str) -> None:
        """Prepare.

        Args:
            begin: Begins the work, and returns what is told of it; None for what is not understood.
            last: The type of what is told last.
            name: By which call it was made.
        """
        self._begin = begin
        self._last = last
        self._name = name
        self._is_begun = False
        self._result: S | Missing = MISSING

    def __del__(self) -> None:
        if not self._is_begun:
            msg = f"{self._name}() was never begun: iterate over it, or ask for its result()"
            warnings.warn(msg, RuntimeWarning, stacklevel=2, source=self)

    def __iter__(self) -> Iterator[T]:
        if self._is_begun:
            msg = f"{self._name}() is for one time: call it again"
            raise RuntimeError(msg)
        self._is_begun = True
        for piece in self._begin():
            if isinstance(piece, self._last):
                self._result = piece
            elif piece is not None:
                yield cast("T", piece)
        if isinstance(self._result, Missing):
            raise DataLoss(
                grpc.StatusCode.DATA_LOSS, message=f"{self._name} ended without telling what it came to"
            )

    def result(self) -> S:
        """Wait for its end, and return what it came to; what it told on the way there is lost.

        Raises:
            RunIndexError: As while it is iterated over.
            RuntimeError: It was cut off before.
        """
        if isinstance(self._result, Missing):
            for _ in self:
                pass
        assert not isinstance(self._result, Missing)
        return self._result
