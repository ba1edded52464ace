"""The methods of the contract, found by their request messages."""

import uuid
from functools import cache

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message


@cache
def path_of(request: Descriptor) -> str:
    """Return the path of the method that takes a request."""
    name = request.name.removesuffix("Request")
    (service,) = (
        service for service in request.file.services_by_name.values() if name in service.methods_by_name
    )
    return f"/{service.full_name}/{name}"


def give_request_id(request: Message) -> None:
    """Make a mutation safe to retry, unless the caller has; reads have no such field."""
    if "request_id" in request.DESCRIPTOR.fields_by_name and not request.HasField("request_id"):
        request.request_id = uuid.uuid4().hex  # type: ignore[attr-defined]  # It has, as was just seen.
