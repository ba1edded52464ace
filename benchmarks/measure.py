"""Measures calls in short rounds, on one store or two, each round in turn with one of the empty handler."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from benchmarks import cases_read, cases_write
from benchmarks.accounting import cpu_s
from benchmarks.cases_write import MADE_BY, WRITES, Pools
from benchmarks.load import Call, Caller, Line, Load, Script, expect, lines, run_closed
from benchmarks.servers import Server, drain, status

READ_ROUNDS: Final = 5
READ_ROUND_S: Final = 0.25
CLOSE_ROUNDS: Final = 30
"""Of a read that is held to a few percent."""

WRITE_ROUNDS: Final = 3
WRITE_ROUND_S: Final = 0.4
"""Fewer and longer, because the background work of each is waited for."""

WARM_UP_S: Final = 0.01
"""At least one call of each caller."""

FILLING_CALLERS: Final = 32
FILLING_S: Final = 0.1
FILLED_PER_CALLER: Final = 20
FILLED_MIN: Final = 80
"""Runs that there are at least for a round of writes. It ends with them. When there are fewer, then as many
are made ready as three rounds need."""

EMPTY_PATH: Final = "/empty.Empty/Call"
EMPTY_REQUEST_BYTES_MIN: Final = 8


@dataclass(frozen=True, slots=True)
class Round:
    """The calls of a round, and what they cost the server.

    Attributes:
        load: The calls; one at least.
        cpu_s: The CPU time of all its processes, background work that the calls caused included.
    """

    load: Load
    cpu_s: float

    @property
    def cpu_us(self) -> float:
        """The CPU time of a call, in microseconds."""
        return self.cpu_s / self.load.calls * 1e6

    @property
    def calls_per_s(self) -> float:
        """Calls in a second."""
        return self.load.calls / self.load.seconds


@dataclass(frozen=True, slots=True)
class Cost:
    """What rounds of a method cost. What is told is the median of the rounds, which a neighbour moves least.

    Attributes:
        rounds: In their order.
    """

    rounds: list[Round] = field(default_factory=list)

    @property
    def load(self) -> Load:
        """The calls of all rounds."""
        load = Load()
        for one in self.rounds:
            load.add(one.load)
        return load

    @property
    def cpu_us(self) -> float:
        """The CPU time of a call, in microseconds."""
        return median(one.cpu_us for one in self.rounds)

    @property
    def calls_per_s(self) -> float:
        """Calls in a second."""
        return median(one.calls_per_s for one in self.rounds)

    def cpu_over(self, other: "Cost") -> float:
        """Return the CPU time of a call over that of another method in the same rounds."""
        return median(one.cpu_us / two.cpu_us for one, two in zip(self.rounds, other.rounds, strict=True))

    def rate_over(self, other: "Cost") -> float:
        """Return the calls in a second over those of another method in the same rounds."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return median(one.calls_per_s / two.calls_per_s for one, two in pairs)

    def p50_over(self, other: "Cost") -> float:
        """Return the median time of a call over that of another method."""
        return self.load.at_ms(0.5) / other.load.at_ms(0.5)


@dataclass(frozen=True, slots=True)
class Subject:
    """A server over a store of sample runs.

    Attributes:
        runs: How many runs the store was filled with.
        server: Serves it.
        pools: The runs that writes are measured on.
    """

    runs: int
    server: Server
    pools: Pools


@dataclass(frozen=True, slots=True)
class Row:
    """What a method cost.

    Attributes:
        name: Of the row.
        in_flight: Callers.
        costs: By subject, in their order; the last is what the row is about.
        empty: Of the empty handler, with messages as large as those of the last subject.
    """

    name: str
    in_flight: int
    costs: list[Cost]
    empty: Cost


def measure(
    names: Sequence[str],
    in_flight: int,
    subjects: Sequence[Subject],
    empty: Server,
    *,
    rounds: int | None = None,
) -> list[Row]:
    """Measure some methods in turn, in so many rounds; None for as many as are usual."""
    tracks = [_Track(name, in_flight, subjects, empty) for name in names]
    for _ in range(rounds or (WRITE_ROUNDS if names[0] in WRITES else READ_ROUNDS)):
        for track in tracks:
            track.run_round()
    return [track.row for track in tracks]


class _Track:
    """A method that is being measured."""

    def __init__(self, name: str, in_flight: int, subjects: Sequence[Subject], empty: Server) -> None:
        """Begin what the callers do, on each subject and on the empty handler."""
        self.row = Row(name, in_flight, [Cost() for _ in subjects], Cost())
        self._subjects = subjects
        self._empty = empty
        self._callers = [list(map(Caller, self._scripts(one))) for one in subjects]
        self._sizes = [EMPTY_REQUEST_BYTES_MIN, 0]
        self._empty_callers = [Caller(_empty_script(self._sizes)) for _ in range(in_flight)]

    def _scripts(self, one: Subject) -> list[Script]:
        """Return what the callers do on a subject."""
        name, in_flight = self.row.name, self.row.in_flight
        if name in WRITES:
            return cases_write.scripts(name, one.pools, in_flight)
        return cases_read.scripts(name, one.runs, in_flight)

    def run_round(self) -> None:
        """Measure on each subject, then the empty handler."""
        write = WRITES.get(self.row.name)
        is_write = write is not None
        for one, callers, cost in zip(self._subjects, self._callers, self.row.costs, strict=True):
            if write is not None and write.source is not None:
                fill(one, write.source, max(FILLED_MIN, FILLED_PER_CALLER * self.row.in_flight))
            cost.rounds.append(measured_round(one.server, callers, is_write=is_write))
        load = self.row.costs[-1].rounds[-1].load
        self._sizes[:] = (
            max(EMPTY_REQUEST_BYTES_MIN, round(load.request_bytes / load.calls)),
            round(load.answer_bytes / load.calls),
        )
        # The calls that they have ready are as large as those of the round before.
        duration_s = WRITE_ROUND_S if is_write else READ_ROUND_S
        self.row.empty.rounds.append(_round(self._empty, self._empty_callers, duration_s))


def _round(server: Server, callers: Sequence[Caller], duration_s: float, connections: int = 1) -> Round:
    """Run a round of what causes no background work, on new connections."""
    with connected(server, callers, connections) as all_lines:
        run_closed(all_lines, WARM_UP_S)
        pids = server.pids()
        before_s = cpu_s(pids)
        load = run_closed(all_lines, duration_s)
        return Round(load, cpu_s(pids) - before_s)


def measured_round(
    server: Server, callers: Sequence[Caller], *, is_write: bool, connections: int = 1
) -> Round:
    """Run a round on new connections; return what it cost, with the background work that it caused.

    There is none from before: whoever makes other writes waits for theirs.
    """
    if not is_write:
        return _round(server, callers, READ_ROUND_S, connections)
    with connected(server, callers, connections) as all_lines:
        for line in all_lines:
            status(line.connection)
        pids = server.pids()
        before_s = cpu_s(pids)
        load = run_closed(all_lines, WRITE_ROUND_S)
        expect(load.calls > 0, "a round without a call")
        asking_s = drain(server)
        return Round(load, cpu_s(pids) - before_s - asking_s)


@contextmanager
def connected(server: Server, callers: Sequence[Caller], count: int = 1) -> Iterator[list[Line]]:
    """Return callers spread over so many new connections."""
    with ExitStack() as stack:
        yield lines([stack.enter_context(closing(server.connect())) for _ in range(count)], callers)


def fill(one: Subject, pool: str, count: int) -> None:
    """Make sure that a pool holds so many runs, by calls that are not measured."""
    if len(one.pools[pool]) < count:
        _fill(one, pool, count * WRITE_ROUNDS)
        drain(one.server)


def _fill(one: Subject, pool: str, count: int) -> None:
    """Make a pool hold so many runs."""
    name = MADE_BY[pool]
    source = WRITES[name].source
    callers = list(map(Caller, cases_write.scripts(name, one.pools, FILLING_CALLERS)))
    while len(one.pools[pool]) < count:
        if source is not None:
            # What the callers have taken from it and not yet called is lost in the end.
            _fill(one, source, count - len(one.pools[pool]) + FILLING_CALLERS)
        with connected(one.server, callers) as all_lines:
            run_closed(all_lines, FILLING_S)


def _empty_script(sizes: list[int]) -> Script:
    """Call the empty handler, with messages that are as large as they are to be at that moment."""
    while True:
        request_bytes, answer_bytes = sizes
        request = answer_bytes.to_bytes(8, "big") + bytes(request_bytes - 8)
        answer = yield Call(EMPTY_PATH, request)
        expect(len(answer) == answer_bytes, f"{len(answer)} bytes, not {answer_bytes}")
