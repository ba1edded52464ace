"""What callers write down of each operation while they make it, and what it says when it is read again.

A caller writes what went over the wire, and judges nothing: the answer's bytes, a refusal's status, or that
the call was lost. Times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from runindex.v1 import insights_pb2, run_data_pb2
from runindex.v1 import run_index_pb2 as pb
from tests.property.model import MUTATIONS
from tests.property.model_arguments import Answer, Refused, Request, canonical_json
from tests.property.model_data_arguments import DATA_CHECKS, DATA_MUTATIONS
from tests.property.model_insights_arguments import INSIGHT_CHECKS
from tests.property.wire import plain

WRITES: Final = frozenset((*MUTATIONS, *DATA_MUTATIONS))
"""What changes the store, of the methods that histories are made of."""

SERVICES: Final = (
    (DATA_CHECKS, run_data_pb2, "RunData"),
    (INSIGHT_CHECKS, insights_pb2, "RunInsights"),
)
"""By the table that names the methods; those of none are RunIndex's."""


class Recorded(NamedTuple):
    """An operation as its caller wrote it down.

    Attributes:
        caller: Its number.
        method: Of a service.
        request: As the model takes it.
        begin_ns: Before it was sent.
        end_ns: After it was answered, refused or lost.
        answer: The bytes of the answer; None for none.
        status: The bytes of the `google.rpc.Status` of a refusal; None when it was answered or lost.
        code: The status code of a refusal or a loss; empty for an answer.
    """

    caller: int
    method: str
    request: Request
    begin_ns: int
    end_ns: int
    answer: bytes | None
    status: bytes | None
    code: str


@dataclass(eq=False, slots=True)
class Operation:
    """An operation as it is judged.

    Attributes:
        number: Its place in the history, by which it is named.
        outcome: What was answered or refused; None when that is not known.
        revision: At which it was decided; None when that is not known, or it was not decided in the store.
        body: What tells its request from others, without the request id.
    """

    number: int
    caller: int
    method: str
    request: Request
    begin_ns: int
    end_ns: int
    outcome: Answer | Refused | None
    revision: int | None
    body: str = ""

    @property
    def is_write(self) -> bool:
        """Whether its method writes."""
        return self.method in WRITES

    @property
    def request_id(self) -> str | None:
        """By which it is answered again."""
        found: str | None = self.request.get("request_id")
        return found

    @property
    def is_answered(self) -> bool:
        """Whether it was answered, not refused, not lost."""
        return isinstance(self.outcome, dict)

    def __str__(self) -> str:
        """Name it."""
        return f"operation {self.number} (caller {self.caller}, {self.method} {self.request})"


def path_of(method: str) -> str:
    """Return the path of a method on the wire."""
    service = next((name for checks, _, name in SERVICES if method in checks), "RunIndex")
    return f"/runindex.v1.{service}/{method}"


@cache
def answer_type(method: str) -> Any:
    """Return the class of a method's answers."""
    module = next((module for checks, module, _ in SERVICES if method in checks), pb)
    return getattr(module, f"{method}Response")


def read_recording(path: Path) -> Iterator[Recorded]:
    """Yield what one process of callers wrote down."""
    with path.open("rb") as file:
        while True:
            try:
                fields = pickle.load(file)
            except EOFError:
                return
            yield Recorded(*fields)


def decoded(number: int, recorded: Recorded) -> Operation:
    """Return an operation as it is judged."""
    outcome, revision = _outcome(recorded)
    return Operation(
        number,
        recorded.caller,
        recorded.method,
        recorded.request,
        recorded.begin_ns,
        recorded.end_ns,
        outcome,
        revision,
        body_of(recorded.method, recorded.request) if "request_id" in recorded.request else "",
    )


def body_of(method: str, request: Request) -> str:
    """Return what tells a request from others, but for its id."""
    rest = {field: value for field, value in request.items() if field != "request_id"}
    return canonical_json([method, rest])


def _outcome(recorded: Recorded) -> tuple[Answer | Refused | None, int | None]:
    if recorded.answer is not None:
        message: Message = answer_type(recorded.method).FromString(recorded.answer)
        answer = plain(message)
        return answer, answer["revision"]
    if recorded.status is None:
        return None, None
    refused = _refused(recorded)
    revision = refused.metadata.get("revision")
    return refused, None if revision is None else int(revision)


def _refused(recorded: Recorded) -> Refused:
    info = ErrorInfo()
    details = Status.FromString(recorded.status or b"").details
    found = [detail for detail in details if detail.Is(ErrorInfo.DESCRIPTOR)]
    assert len(found) == 1, f"not one ErrorInfo: {recorded}"
    found[0].Unpack(info)
    refused = Refused(info.reason, dict(info.metadata))
    refused.code = recorded.code
    return refused
