"""Reflection tells callers what there is to call: on loopback everybody, else those who may read."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final, cast

from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from runindex_server.access.caller import Role
from runindex_server.errors import RunIndexError
from runindex_server.rpc.admission import Admission, Context
from runindex_server.rpc.reflection_pool import ReflectionPool
from runindex_server.rpc.status import refusal

_POOL: Final = cast("DescriptorPool", ReflectionPool())

_Servicer: Final[Any] = vars(reflection)["aio"].ReflectionServicer
"""The service for an asyncio server; its stubs lack it."""


class Reflection(_Servicer):  # type: ignore[misc]  # As above.
    """The reflection service, behind admission."""

    def __init__(self, services: tuple[str, ...], admission: Admission, *, role: Role | None) -> None:
        """Take the services, and which role it takes to be told of them; None for nobody being asked."""
        super().__init__(services, pool=_POOL)
        self._admission = admission
        self._role = role

    async def ServerReflectionInfo(  # noqa: N802  # The contract's name.
        self, requests: AsyncIterable[reflection_pb2.ServerReflectionRequest], context: Context
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """Tell what is asked for, if the caller may know."""
        try:
            self._admission.admit(self._role, context)
        except RunIndexError as error:
            await context.abort(*refusal(error))
        async for answer in super().ServerReflectionInfo(requests, context):
            yield answer
