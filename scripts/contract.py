"""Read the contract with its comments, for what is rendered from it and for the tests that hold others to it.

It reads the protos, not the generated code, which has no comments.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)

PROTOS: Final = Path(__file__).resolve().parent.parent / "protos"
PACKAGE: Final = Path("runindex/v1")
REASON_PREFIX: Final = "ERROR_REASON_"

# Numbers of fields in descriptor.proto: a comment is found by the path that leads to what it is about.
_FILE_SERVICE: Final = FileDescriptorProto.SERVICE_FIELD_NUMBER
_SERVICE_METHOD: Final = ServiceDescriptorProto.METHOD_FIELD_NUMBER
_FILE_ENUM: Final = FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER
_ENUM_VALUE: Final = EnumDescriptorProto.VALUE_FIELD_NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """An RPC.

    Attributes:
        service: The service's name, without its package.
        comment: What it means, in paragraphs of one line each; without its origin.
        origin: The method of the RunIndex plan that it is; empty for none.
        request: Its request message.
        response: Its response message.
        is_read: Whether the contract says that it has no side effects.
    """

    service: str
    name: str
    comment: str
    origin: str
    request: DescriptorProto
    response: DescriptorProto
    is_read: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReason:
    """A value of `ErrorReason`.

    Attributes:
        name: The reason as it is sent: without the enum's prefix.
        status_code: The name of the gRPC status code that its comment gives.
        meaning: The rest of the comment.
    """

    name: str
    status_code: str
    meaning: str


@cache
def files() -> Sequence[FileDescriptorProto]:
    """Return the files of the contract, with comments."""
    protos = sorted(path.relative_to(PROTOS).as_posix() for path in (PROTOS / PACKAGE).glob("*.proto"))
    with tempfile.TemporaryDirectory(prefix="runindex-contract-") as scratch:
        out = Path(scratch) / "contract.binpb"
        flags = [f"-I{PROTOS}", f"--descriptor_set_out={out}", "--include_source_info"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags, *protos], check=True)
        return FileDescriptorSet.FromString(out.read_bytes()).file


def methods(service_name: str | None = None) -> list[Method]:
    """Return the RPCs of one service or of all, in the order of the contract."""
    return [
        method
        for file in files()
        for number, service in enumerate(file.service)
        if service_name in (None, service.name)
        for method in _methods(file, service, number)
    ]


def error_reasons() -> list[ErrorReason]:
    """Return the reasons that are sent, in the order of the contract."""
    file, number, enum = next(
        (file, number, enum)
        for file in files()
        for number, enum in enumerate(file.enum_type)
        if enum.name == "ErrorReason"
    )
    comments = _comments(file)
    reasons = []
    for index, value in enumerate(enum.value):
        code, _, meaning = comments.get((_FILE_ENUM, number, _ENUM_VALUE, index), "").partition(": ")
        if value.number:
            name = value.name.removeprefix(REASON_PREFIX)
            reasons.append(ErrorReason(name=name, status_code=code, meaning=meaning))
    return reasons


def _methods(file: FileDescriptorProto, service: ServiceDescriptorProto, number: int) -> Iterator[Method]:
    """Yield the RPCs of one service."""
    comments = _comments(file)
    messages = {
        f".{each.package}.{message.name}": message for each in files() for message in each.message_type
    }
    for index, method in enumerate(service.method):
        text = comments.get((_FILE_SERVICE, number, _SERVICE_METHOD, index), "")
        comment, _, origin = text.partition("\n\nOrigin: ")
        yield Method(
            service=service.name,
            name=method.name,
            comment=comment,
            origin=origin.rstrip("."),
            request=messages[method.input_type],
            response=messages[method.output_type],
            is_read=_is_read(method),
        )


def _is_read(method: MethodDescriptorProto) -> bool:
    """Tell whether the contract says that a method has no side effects."""
    return method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS


def _comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Return the comments of a file by the path to what they are about, each paragraph on one line."""
    return {
        tuple(location.path): "\n\n".join(
            " ".join(paragraph.split()) for paragraph in location.leading_comments.split("\n\n")
        ).strip()
        for location in file.source_code_info.location
        if location.leading_comments
    }
