"""Makes the calls that record a batch of entries, and makes them again while the server does not answer."""

import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import grpc

from runindex._errors import (
    DeadlineExceeded,
    InvalidTransition,
    ParentRunNotFound,
    RunAlreadyExists,
    RunArchived,
    RunIndexError,
    RunNotFound,
    Unavailable,
)
from runindex._methods import give_request_id, path_of
from runindex._options import Options
from runindex._refusals import error_of
from runindex.langchain._entries import (
    LIBRARY_ID,
    Begin,
    Call,
    End,
    Entry,
    Node,
    addition,
    contents,
    creation,
    ending,
    paused,
    resumption,
    search,
)
from runindex.v1 import run_index_pb2 as pb

CALL_S: Final = 5.0
"""How long one attempt of a call may take."""

PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Pauses between the attempts of a call to a server that does not answer, the last one again and again."""

LATE_S: Final = 30.0
"""How late a run may begin. Its times are the server's, and would be wrong by that."""

UNANSWERED: Final = (DeadlineExceeded, Unavailable)

ENDED: Final = (InvalidTransition, RunArchived, RunNotFound)
"""Refusals of a run that somebody else has ended, archived or deleted, which is theirs to do."""

log: Final = logging.getLogger("runindex")


class Writer:
    """Records batches on one server, over a connection of its own."""

    def __init__(self, options: Options, notice: Callable[[bool], None]) -> None:
        """Prepare; the first call connects.

        Args:
            options: How to connect.
            notice: Is told when the server does not answer (True), and when it does again.
        """
        self._options = options
        self._notice = notice
        self._is_out = False
        self._lost = 0
        self._told: set[str] = set()
        self._channel = _connect(options)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def record(self, batch: list[Entry]) -> None:
        """Record beginnings, then what is new about runs that end, then ends: who sees an end sees all.

        Args:
            batch: Entries in the order in which they were put. What resumes a run comes alone.
        """
        ends = {entry.node: entry for entry in batch if isinstance(entry, End)}
        for begins in _waves(batch):
            self._begin(begins, ends)
        known = [entry for entry in batch if entry.node.recorded_id]
        self._make_all(call for entry in known for call in _additions(entry))
        for level in reversed(_by_depth(entry for entry in known if isinstance(entry, End))):
            self._make_all(ending(end) for end in level)

    def _begin(self, begins: list[Begin], ends: Mapping[Node, End]) -> None:
        """Begin runs whose parents have begun; what is under a run that is not recorded is not either."""
        begins = [begin for begin in begins if begin.node.parent is None or begin.node.parent.recorded_id]
        begins = [begin for begin in begins if not (begin.resumes and self._resume(begin))]
        while begins := self._in_time(begins):
            calls = [creation(begin, ends.get(begin.node)) for begin in begins]
            for begin, call in zip(begins, calls, strict=True):
                call.late_after_s = begin.put_s + LATE_S
            self._make(calls)
            begins = [
                begin
                for begin, call in zip(begins, calls, strict=True)
                if not self._is_settled(begin, ends.get(begin.node), call)
            ]

    def _in_time(self, begins: list[Begin]) -> list[Begin]:
        """Return the runs that are not too late, because the server did not answer, to begin."""
        in_time = [begin for begin in begins if time.monotonic() <= begin.put_s + LATE_S]
        self._lost += len(begins) - len(in_time)
        return in_time

    def _is_settled(self, begin: Begin, end: End | None, call: Call) -> bool:
        """Take what has come of a creation, and tell whether it is not to be tried in another way."""
        if isinstance(call.answer, pb.CreateRunResponse | pb.CreateChildRunResponse):
            begin.node.recorded_id = call.answer.run.run_id
            if end is not None:
                end.metadata = {}  # It was created with that.
            return True
        if isinstance(call.refusal, RunAlreadyExists) and begin.run_id is not None:
            # The program has used an id again, or is recorded twice; under another one, this is told too.
            begin.metadata[LIBRARY_ID] = begin.run_id
            begin.run_id = None
            return False
        if isinstance(call.refusal, ParentRunNotFound) and begin.parents:
            del begin.parents[0]
            return False
        self._lose(call.refusal)
        return True

    def _resume(self, begin: Begin) -> bool:
        """Let the run go on that was paused, and tell whether there was one."""
        found = search(begin)
        if found is None:
            return False
        found.late_after_s = begin.put_s + LATE_S
        self._make([found])
        run_id = paused(begin, found.answer)
        if run_id is None:
            return False
        call = resumption(run_id)
        call.late_after_s = begin.put_s + LATE_S
        self._make([call])
        if call.answer is None:
            return False
        begin.node.recorded_id = run_id
        self._make_all([addition(begin.node, {LIBRARY_ID: begin.node.run_id})])
        return True

    def _make_all(self, calls: Iterable[Call]) -> None:
        """Make calls of which none is missed."""
        made = list(calls)
        self._make(made)
        for call in made:
            if call.refusal is not None and not isinstance(call.refusal, ENDED):
                self._lose(call.refusal)

    def _make(self, calls: list[Call]) -> None:
        """Make calls side by side, those again that are not answered, until all are or are too late."""
        for call in calls:
            give_request_id(call.request)
        if not calls:  # Which tells nothing of the server.
            return
        for pause_s in itertools.chain(PAUSES_S, itertools.repeat(PAUSES_S[-1])):
            answers = [(call, self._ask(call)) for call in calls]
            for call, answer in answers:
                fault = answer.exception()
                call.refusal = None if fault is None else error_of(fault)
                call.answer = answer.result() if fault is None else None
            calls = [call for call in calls if _is_unanswered(call)]
            self._tell(calls)
            calls = [call for call in calls if not _is_late(call)]
            if not calls:
                return
            time.sleep(pause_s)

    def _ask(self, call: Call) -> Any:  # noqa: ANN401  # A call and a future, which no type says.
        method = self._channel.unary_unary(
            path_of(call.request.DESCRIPTOR),
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        return method.future(call.request, timeout=CALL_S, metadata=self._options.call_metadata())

    def _tell(self, unanswered: list[Call]) -> None:
        """Tell when the server does not answer, and when it does again: once each."""
        if bool(unanswered) is self._is_out:
            return
        self._is_out = bool(unanswered)
        if self._is_out:
            log.warning("not recorded for now: %s: %s", self._options.address, unanswered[0].refusal)
        else:
            log.warning("recording again: %s; %d too late meanwhile", self._options.address, self._lost)
            self._lost = 0
        self._notice(self._is_out)

    def _lose(self, refusal: RunIndexError | None) -> None:
        """Do without what was refused, and tell each reason once: it may be that of everything."""
        if refusal is None or isinstance(refusal, UNANSWERED):
            self._lost += 1
        elif (reason := refusal.reason or refusal.code.name) not in self._told:
            self._told.add(reason)
            log.warning("not recorded: %s: %s", self._options.address, refusal)


def _connect(options: Options) -> grpc.Channel:
    credentials = options.credentials()
    if credentials is None:
        return grpc.insecure_channel(options.address, options=options.channel_options())
    return grpc.secure_channel(options.address, credentials, options=options.channel_options())


def _additions(entry: Entry) -> Iterator[Call]:
    """Yield the calls for what an entry brings beside a beginning and an end."""
    if isinstance(entry, End) and entry.metadata:
        yield addition(entry.node, entry.metadata)
    yield from contents(entry)


def _waves(batch: Iterable[Entry]) -> list[list[Begin]]:
    """Return the beginnings of a batch by when they may be made: those of a wave do not wait for each other.

    A run begins after its parent, and after those beside it that have ended before: runs are listed in the
    order of their creation, and so what was done one after another is listed so.
    """
    waves: dict[Node, int] = {}
    ended: Counter[Node | None] = Counter()
    found: dict[int, list[Begin]] = {}
    for entry in batch:
        node, parent = entry.node, entry.node.parent
        if isinstance(entry, Begin):
            above = node.depth if parent is None else waves.get(parent, -1) + 1
            waves[node] = max(above, ended[parent])
            found.setdefault(waves[node], []).append(entry)
        elif node in waves:
            ended[parent] = max(ended[parent], waves[node] + 1)
    return [found[wave] for wave in sorted(found)]


def _by_depth(ends: Iterable[End]) -> list[list[End]]:
    """Return ends by the depth of their runs, the roots first."""
    ordered = sorted(ends, key=_depth)
    return [list(level) for _, level in itertools.groupby(ordered, key=_depth)]


def _depth(end: End) -> int:
    return end.node.depth


def _is_unanswered(call: Call) -> bool:
    """Tell whether a call may be made again: nobody has answered it, or somebody has asked for patience."""
    refusal = call.refusal
    if refusal is None:
        return False
    is_cut_off = refusal.code is grpc.StatusCode.CANCELLED  # By a server that ends; nobody else cancels.
    return isinstance(refusal, UNANSWERED) or is_cut_off or refusal.retry_after is not None


def _is_late(call: Call) -> bool:
    return call.late_after_s is not None and time.monotonic() > call.late_after_s
