"""Turns what was measured into figures, each beside its target."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks import targets
from benchmarks.contention import Steady, Workers
from benchmarks.measure import Cost, Row
from benchmarks.populate import Population
from benchmarks.targets import Target

MIB: Final = 1024**2
WRITERS_IN_FLIGHT: Final = 16


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that says something by itself: a ratio, mostly.

    Attributes:
        what: What it is.
        value: None when it was not measured.
        target: None when it is only told.
        row: The row that it belongs to, and the callers in flight; None for none.
    """

    what: str
    value: float | None
    target: Target | None = None
    row: tuple[str, int] | None = None

    @property
    def is_missed(self) -> bool:
        """Whether it should be another."""
        return self.target is not None and not self.target.is_met(self.value)

    def json(self) -> dict[str, Any]:
        """Return it for the file of results."""
        target = None if self.target is None else asdict(self.target)
        is_met = None if self.target is None else not self.is_missed
        return {"what": self.what, "row": self.row, "value": self.value, "target": target, "is_met": is_met}


def of_row(row: Row) -> Iterator[Figure]:
    """Yield the figures of a row: of the store of many runs, where there are two."""
    cost, key = row.costs[-1], (row.name, row.in_flight)
    yield Figure("CPU over empty", cost.cpu_over(row.empty), targets.CPU_OVER_EMPTY.get(row.name), key)
    is_rated = row.in_flight == WRITERS_IN_FLIGHT
    target = targets.RATE_OVER_EMPTY.get(row.name) if is_rated else None
    yield Figure("rate over empty", cost.rate_over(row.empty), target, key)
    if len(row.costs) > 1:
        few, target = row.costs[0], targets.GROWTH[row.name]
        yield Figure("CPU growth", cost.cpu_over(few), target, key)
        yield Figure("p50 growth", cost.p50_over(few), target, key)


def of_comparison(row: Row) -> Iterator[Figure]:
    """Yield the figures of a row of another commit, of this one with a token, and of this one without."""
    base, known, cost = row.costs
    key, target = (row.name, row.in_flight), targets.TOKEN_OVER_NONE.get(row.name)
    yield Figure("CPU over empty", cost.cpu_over(row.empty), None, key)
    yield Figure("base: CPU, us", base.cpu_us, None, key)
    yield Figure("base: p50, ms", base.load.at_ms(0.5), None, key)
    yield Figure("CPU over base", cost.cpu_over(base), None, key)
    yield Figure("p50 over base", cost.p50_over(base), None, key)
    yield Figure("token: CPU, us", known.cpu_us, None, key)
    yield Figure("token: p50, ms", known.load.at_ms(0.5), None, key)
    yield Figure("token: CPU over none", known.cpu_over(cost), target, key)
    yield Figure("token: p50 over none", known.p50_over(cost), target, key)


def of_life(rows: Sequence[Row]) -> Iterator[Figure]:
    """Yield what creating and finishing a run costs, over what it did at another commit."""
    by_row = {(row.name, row.in_flight): row for row in rows}
    for in_flight in sorted({row.in_flight for row in rows}):
        parts = [by_row[name, in_flight].costs for name in targets.LIFE]
        then_us, now_us = (sum(costs[place].cpu_us for costs in parts) for place in (0, -1))
        what = f"{' and '.join(targets.LIFE)}, {in_flight} in flight: CPU over base"
        yield Figure(what, now_us / then_us, targets.LIFE_OVER_BASE)


def of_transitions(rows: Sequence[Row], sync_ms: float) -> Iterator[Figure]:
    """Yield how long a durable transition takes beyond an empty call, with nothing else in flight."""
    target = Target(targets.SYNCS_OF_A_WRITE * sync_ms + targets.WRITE_MS)
    for row in rows:
        if row.in_flight == 1 and row.name in targets.TRANSITIONS:
            beyond_ms = row.costs[-1].load.at_ms(0.5) - row.empty.load.at_ms(0.5)
            yield Figure("p50 less empty, ms", beyond_ms, target, (row.name, 1))


def of_steady(steady: Steady) -> Iterator[Figure]:
    """Yield what writers notice of merging."""
    merging, alone = steady.merging.at_ms(0.99), steady.alone.at_ms(0.99)
    what = f"p99 of {steady.rate_per_s:.0f} creates a second: merging beside them, over without"
    yield Figure(what, merging / alone, targets.WRITERS_WITH_MERGING)
    yield Figure("the same p99 with merging, ms", merging)
    yield Figure("the same p99 without merging, ms", alone)


def of_workers(measured: Sequence[Workers]) -> Iterator[Figure]:
    """Yield what several workers cost, and bring."""
    what = "16 writers on 16 runs: CPU of a call, 4 workers over 1"
    by_count = {team.workers: team for team in measured}
    if not by_count:
        yield Figure(what, None, targets.FOUR_WORKERS)
        return
    yield Figure(what, by_count[4].writes.cpu_over(by_count[1].writes), targets.FOUR_WORKERS)
    for count, team in by_count.items():
        yield Figure(f"16 writers on 16 runs, {count} workers: calls a second", team.writes.calls_per_s)
        yield Figure(f"GetRun, 16 in flight, {count} workers: calls a second", team.reads.calls_per_s)


def of_population(filled: Population, target: Target | None) -> Iterator[Figure]:
    """Yield how fast a store was filled."""
    what = f"{filled.runs:,} runs: created, merged and verified, runs a second"
    yield Figure(what, filled.runs_per_s, target)
    yield Figure("created and merged, runs a second", filled.runs / filled.load_s)
    yield Figure("verified, runs a second", filled.runs / filled.verify_s)


def of_sizes(runs: int, used_bytes: int, disk_bytes: int, private_bytes: int) -> Iterator[Figure]:
    """Yield what runs take, on the disk and in memory."""
    yield Figure("bytes on disk of a run: pages in use", used_bytes / runs, targets.DISK_BYTES_PER_RUN)
    yield Figure("bytes on disk of a run: the file", disk_bytes / runs, targets.DISK_BYTES_PER_RUN)
    yield Figure(
        f"private memory of a worker at {runs:,} runs, MiB", private_bytes / MIB, targets.PRIVATE_MIB
    )


def row_json(row: Row) -> Mapping[str, Any]:
    """Return a row for the file of results."""
    return {
        "name": row.name,
        "in_flight": row.in_flight,
        "costs": [cost_json(cost) for cost in row.costs],
        "empty": cost_json(row.empty),
    }


def cost_json(cost: Cost) -> Mapping[str, float]:
    """Return what calls cost for the file of results."""
    load = cost.load
    return {
        "calls": load.calls,
        "seconds": round(load.seconds, 3),
        "calls_per_s": round(cost.calls_per_s, 1),
        "cpu_us": round(cost.cpu_us, 1),
        "client_cpu_us": round(load.client_cpu_s / load.calls * 1e6, 1),
        "p50_ms": round(load.at_ms(0.5), 3),
        "p99_ms": round(load.at_ms(0.99), 3),
        "request_bytes": round(load.request_bytes / load.calls),
        "answer_bytes": round(load.answer_bytes / load.calls),
    }
