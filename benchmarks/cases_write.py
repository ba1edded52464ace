"""What is measured of writes: each method takes runs from a pool, and puts them into the pool of the next.

So every call finds a run in the state that it needs. Versions are known, and every answer has to carry
the right one.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, NamedTuple

from google.protobuf.struct_pb2 import Struct

from benchmarks.cases_read import SERVICE
from benchmarks.load import Call, Script, expect
from benchmarks.sample import ERROR, metadata_of, run_id, tags
from runindex.v1 import run_index_pb2 as pb
from runindex_server.schema.run import run_id_text

FIRST_NUMBER: Final = 50_000_000
"""The sample runs that calls create begin here, beyond those that a store is filled with."""


OTHER_NUMBER: Final = 90_000_000
"""The metadata of runs from here on belongs to no run that is created."""


class Held(NamedTuple):
    """A run in a pool.

    Attributes:
        run_id: Its id.
        version: Its version.
    """

    run_id: str
    version: int


class Pools:
    """The runs of one server that writes are measured on."""

    def __init__(self, runs: int) -> None:
        """Begin without any.

        Args:
            runs: How many the store was filled with.
        """
        self._pools: dict[str, deque[Held]] = {}
        self._numbers = count(FIRST_NUMBER)
        self.parent = run_id_text(run_id(runs // 2))

    def __getitem__(self, name: str) -> deque[Held]:
        """Return a pool."""
        return self._pools.setdefault(name, deque())

    def next_number(self) -> int:
        """Return the number of the next run that is created."""
        return next(self._numbers)


@dataclass(frozen=True, slots=True)
class Write:
    """How a method is measured.

    Attributes:
        method: Of RunIndex.
        source: The pool it takes runs from; None for creates.
        target: The pool it puts them into; None when they are gone.
        fields: What a request has beside the run's id.
    """

    method: str
    source: str | None
    target: str | None
    fields: Callable[[Held], Mapping[str, Any]] = field(default=lambda _: {})


def _metadata(held: Held) -> Mapping[str, Any]:
    """Return metadata that differs from what the run has."""
    return {"metadata": Struct.FromString(metadata_of(OTHER_NUMBER + held.version % 7))}


WRITES: Final[Mapping[str, Write]] = {
    "CreateRun": Write("CreateRun", None, "active"),
    "CreateRun with a request id": Write("CreateRun", None, "active"),
    "CreateChildRun": Write("CreateChildRun", None, "active"),
    "UpdateRunMetadata": Write("UpdateRunMetadata", "active", "active", _metadata),
    "SetRunRetention": Write(
        "SetRunRetention",
        "active",
        "active",
        lambda held: {"policy": pb.RetentionPolicy(keep_latest_n=3 + held.version % 2)},
    ),
    "AddRunTags": Write("AddRunTags", "active", "tagged", lambda _: {"tags": ["reviewed"]}),
    "RemoveRunTags": Write("RemoveRunTags", "tagged", "active", lambda _: {"tags": ["reviewed"]}),
    "PauseRun": Write("PauseRun", "active", "paused"),
    "ResumeRun": Write("ResumeRun", "paused", "active"),
    "FailRun": Write("FailRun", "active", "failed", lambda _: {"error": ERROR}),
    "CancelRun": Write("CancelRun", "active", "cancelled"),
    "CloseRun": Write("CloseRun", "active", "closed"),
    "ArchiveRun": Write("ArchiveRun", "closed", "archived"),
    "DeleteRun": Write("DeleteRun", "archived", None),
}
"""By the name of a row, in an order in which one fills the pools of the next."""

MADE_BY: Final[Mapping[str, str]] = {
    "active": "CreateRun",
    "tagged": "AddRunTags",
    "paused": "PauseRun",
    "closed": "CloseRun",
    "archived": "ArchiveRun",
}
"""By the name of a pool: the write that fills it."""


def scripts(name: str, pools: Pools, callers: int) -> list[Script]:
    """Return what some callers do together to measure a write."""
    write = WRITES[name]
    script = _create_script if write.source is None else _change_script
    return [script(name, write, pools) for _ in range(callers)]


def _change_script(_name: str, write: Write, pools: Pools) -> Script:
    """Change a run of a pool, again and again."""
    make, kind = _messages(write.method)
    path = SERVICE + write.method
    source = pools[write.source or ""]
    while True:
        if not source:
            yield None
            continue
        held = source.popleft()
        request = make(run_id=held.run_id, **write.fields(held))
        answer = kind.FromString((yield Call(path, request.SerializeToString())))
        expect(answer.revision > 0, answer)
        if write.target is None:
            expect(answer.HasField("receipt") and not answer.receipt.ByteSize(), answer)
        else:
            expect(answer.version == held.version + 1 and answer.HasField("update_time"), answer)
            pools[write.target].append(Held(held.run_id, answer.version))


def _create_script(name: str, write: Write, pools: Pools) -> Script:
    """Create a run, again and again."""
    make, kind = _messages(write.method)
    path = SERVICE + write.method
    has_request_id = name.endswith("request id")
    is_child = write.method == "CreateChildRun"
    while True:
        number = pools.next_number()
        encoded, own_tags = metadata_of(number), tags(number)
        request = make(metadata=Struct.FromString(encoded), tags=own_tags)
        if is_child:
            request.parent_run_id = pools.parent
        if has_request_id:
            request.request_id = f"request-{number}"
        run = kind.FromString((yield Call(path, request.SerializeToString()))).run
        expect(
            len(run.run_id) == 36
            and run.state == pb.RUN_STATE_ACTIVE
            and run.version == 1
            and tuple(run.tags) == own_tags
            and run.metadata.SerializeToString(deterministic=True) == encoded
            and run.parent_run_id == (pools.parent if is_child else ""),
            run,
        )
        pools["active"].append(Held(run.run_id, run.version))


def _messages(method: str) -> tuple[Callable[..., Any], Any]:
    """Return the messages of a method: what makes a request, and the type of its answer."""
    return getattr(pb, f"{method}Request"), getattr(pb, f"{method}Response")
