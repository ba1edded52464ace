"""Figures of a running server for Prometheus: calls, commits, and what the store is like.

Every process tells its own, since a call or a commit is one process's. What is the same for all, the store's
sizes and counts, is told by the process that runs the background jobs. What tells them is `rpc.prometheus`,
which is loaded only where that is asked for.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import grpc
from google.protobuf.descriptor import MethodDescriptor

from runindex_server.kv.engine import MaintainedStore
from runindex_server.rpc.admission import Context
from runindex_server.schema.run import RetentionPolicy

Serve = Callable[[bytes, Context], Awaitable[Any]]


class Metrics(Protocol):
    """The figures of a process."""

    def measuring(self, descriptor: MethodDescriptor, serve: Serve) -> Serve:
        """Return what serves a method and measures each call."""
        ...

    def add_store(
        self,
        store: MaintainedStore,
        *,
        default_policy: RetentionPolicy,
        now_us: Callable[[], int],
        tells_all: bool,
    ) -> None:
        """Tell of a store too.

        Args:
            store: Belongs to the running event loop.
            default_policy: The store-wide one.
            now_us: The time, in microseconds since 1970.
            tells_all: Whether to tell what is the same in all processes.
        """
        ...

    def told_at(self, address: str) -> AbstractContextManager[int]:
        """Answer Prometheus at an address, on threads of its own; the port is returned.

        Raises:
            InvalidAddress: It is none.
            AddressInUse: It cannot be listened on.
        """
        ...


def open_metrics() -> Metrics:
    """Return the figures of a process, none of them told yet."""
    from runindex_server.rpc.prometheus import PrometheusMetrics  # noqa: PLC0415  # As told above.

    return PrometheusMetrics()


def code_name(code: Any) -> str:  # noqa: ANN401  # A status code, or its number.
    """Return the name of a status code, as gRPC told it of a call."""
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((each.name for each in grpc.StatusCode if each.value[0] == code), str(code))
