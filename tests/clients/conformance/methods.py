"""The methods that scenarios call, by their names."""

from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from runindex.v1 import insights_pb2, maintenance_pb2, run_data_pb2, run_index_pb2, templates_pb2

FILES: Final = (run_index_pb2, run_data_pb2, insights_pb2, templates_pb2, maintenance_pb2)

METHODS: Final[dict[str, MethodDescriptor]] = {
    f"{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""Every method of the contract, by `package.Service/Method`."""

REQUEST_SUFFIX: Final = "Request"


def items_field(response: Descriptor) -> FieldDescriptor | None:
    """Return the field that holds the items of a page; None when the response is none."""
    repeated = [field for field in response.fields if field.is_repeated]
    is_page = "next_page_token" in response.fields_by_name and len(repeated) == 1
    return repeated[0] if is_page else None
