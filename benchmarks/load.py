"""Load: callers that make one call after another over some connections, and how long each call took."""

import select
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from benchmarks.wire import WAIT_S, Connection


class Call(NamedTuple):
    """A call to make.

    Attributes:
        path: `/package.Service/Method`.
        request: Encoded.
    """

    path: str
    request: bytes


Script: TypeAlias = Generator[Call | None, bytes, None]
"""What a caller does: yields a call and is sent its answer, which it checks; yields None while there is
nothing to do. It never ends by itself."""


class WrongAnswer(Exception):
    """An answer that is not what the store holds: the measurement is worth nothing."""


def expect(is_right: bool, answer: object) -> None:  # noqa: FBT001  # It is what is expected.
    """Refuse an answer unless it is right.

    Raises:
        WrongAnswer: It is not.
    """
    if not is_right:
        raise WrongAnswer(str(answer)[:2_000])


class Caller:
    """Makes the calls of a script, one after another, over any number of rounds."""

    def __init__(self, script: Script) -> None:
        """Begin the script."""
        self._script = script
        self.call = next(script)

    def wake(self) -> Call | None:
        """Return the next call; None when there is still nothing to do."""
        if self.call is None:
            self.call = next(self._script)
        return self.call

    def take(self, answer: bytes) -> None:
        """Take the answer to the call."""
        self.call = self._script.send(answer)


@dataclass(slots=True)
class Load:
    """Calls that were made, of one round or several.

    Attributes:
        seconds: How long the rounds took.
        client_cpu_s: What making the calls and checking the answers cost, in this process.
        request_bytes: All requests together.
        answer_bytes: All answers together.
        latencies_ns: Of each call, from sending it to having its answer.
    """

    seconds: float = 0.0
    client_cpu_s: float = 0.0
    request_bytes: int = 0
    answer_bytes: int = 0
    latencies_ns: list[int] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many calls."""
        return len(self.latencies_ns)

    def at_ms(self, share: float) -> float:
        """Return the latency that so much of the calls stay within, in milliseconds."""
        ordered = sorted(self.latencies_ns)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6

    def add(self, other: "Load") -> None:
        """Add the calls of another round."""
        self.seconds += other.seconds
        self.client_cpu_s += other.client_cpu_s
        self.request_bytes += other.request_bytes
        self.answer_bytes += other.answer_bytes
        self.latencies_ns += other.latencies_ns


class Line:
    """A connection with the callers that use it."""

    def __init__(self, connection: Connection, callers: Iterable[Caller]) -> None:
        """Take the connection, and close it in the end."""
        self.connection = connection
        self.callers = list(callers)
        self.under_way: dict[int, tuple[Caller, int]] = {}

    def start(self, caller: Caller, load: Load, began_ns: int) -> bool:
        """Queue a caller's next call; tell whether it has one."""
        call = caller.wake()
        if call is None:
            return False
        load.request_bytes += len(call.request)
        self.under_way[self.connection.call(*call)] = caller, began_ns
        return True

    def receive(self, load: Load) -> list[Caller]:
        """Wait for answers, have them checked, and return the callers that are free again."""
        free: list[Caller] = []
        for stream, answer in self.connection.receive():
            now_ns = time.perf_counter_ns()
            caller, began_ns = self.under_way.pop(stream)
            load.latencies_ns.append(now_ns - began_ns)
            load.answer_bytes += len(answer)
            caller.take(answer)
            free.append(caller)
        return free


def lines(connections: Sequence[Connection], callers: Sequence[Caller]) -> list[Line]:
    """Return some connections with callers spread over them."""
    step = len(connections)
    return [Line(connection, callers[place::step]) for place, connection in enumerate(connections)]


def run_closed(all_lines: Sequence[Line], duration_s: float) -> Load:
    """Let every caller make its next call as soon as it has the answer to the one before.

    The round ends early when no caller has anything to do.
    """
    load = Load()
    cpu_s, began_ns = time.process_time(), time.perf_counter_ns()
    end_ns = began_ns + int(duration_s * 1e9)
    for line in all_lines:
        for caller in line.callers:
            line.start(caller, load, time.perf_counter_ns())
        line.connection.flush()
    while open_lines := [line for line in all_lines if line.under_way]:
        for line in _ready(open_lines):
            for caller in line.receive(load):
                now_ns = time.perf_counter_ns()
                if now_ns < end_ns:
                    line.start(caller, load, now_ns)
            line.connection.flush()
    load.seconds = (time.perf_counter_ns() - began_ns) / 1e9
    load.client_cpu_s = time.process_time() - cpu_s
    return load


def _ready(open_lines: list[Line]) -> list[Line]:
    """Wait until the server has sent something, and return where; of one line it is known."""
    if len(open_lines) == 1:
        return open_lines
    ready, _, _ = select.select([line.connection for line in open_lines], [], [], WAIT_S)
    if not ready:
        raise TimeoutError
    return [line for line in open_lines if line.connection in ready]


def run_steady(line: Line, rate_per_s: float, duration_s: float) -> Load:
    """Make calls at a steady rate, however long each of them takes.

    A call counts from the moment at which it was due, also when no caller was free to make it then.
    """
    load = Load()
    free = deque(line.callers)
    cpu_s, began_ns = time.process_time(), time.perf_counter_ns()
    dues = deque(began_ns + int(number * 1e9 / rate_per_s) for number in range(int(rate_per_s * duration_s)))
    while dues or line.under_way:
        while dues and free and dues[0] <= time.perf_counter_ns():
            if not line.start(free.popleft(), load, dues.popleft()):
                raise WrongAnswer("a caller has nothing to do")
        line.connection.flush()
        rest_s = max(0.0, (dues[0] - time.perf_counter_ns()) / 1e9) if dues and free else WAIT_S
        if select.select([line.connection], [], [], rest_s)[0]:
            free += line.receive(load)
        elif rest_s == WAIT_S:
            raise TimeoutError
    load.seconds = (time.perf_counter_ns() - began_ns) / 1e9
    load.client_cpu_s = time.process_time() - cpu_s
    return load
