"""Measures the server: all 24 methods on a small store, or also how they fare on a large one.

    make bench
    make bench-scale RUNS=1000000

Results go to `results/` and into README.md. Exits 1 when a figure misses its target. A wrong answer ends it.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import accounting, contention, figures, machine, report, servers, targets
from benchmarks.cases_write import Pools
from benchmarks.figures import Figure
from benchmarks.measure import CLOSE_ROUNDS, Row, Subject, measure
from benchmarks.measurement import Measurement
from benchmarks.populate import populate
from benchmarks.servers import Server

RUNS: Final = 10_000
IN_FLIGHT: Final = (1, 16)
DATA_FILE: Final = "data.mdb"


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def fill(data_dir: Path, runs: int) -> Iterator[Figure]:
    """Fill a store, and yield how fast that was."""
    say(f"filling a store with {runs:,} runs")
    # Starting takes a good part of the time that few runs take.
    target = targets.LOADED_RUNS_PER_S if runs > RUNS else None
    yield from figures.of_population(asyncio.run(populate(data_dir, runs)), target)


def copies(data_dir: Path, count: int) -> list[Path]:
    """Return the data directories of copies of a store that is closed."""
    made = [data_dir.with_name(f"{data_dir.name}-{number}") for number in range(count)]
    for target in made:
        shutil.copytree(data_dir, target)
    return made


@contextmanager
def removed(data_dirs: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Remove stores afterwards: a large one is not to fill the disk."""
    try:
        yield data_dirs
    finally:
        for data_dir in data_dirs:
            shutil.rmtree(data_dir)


def measure_methods(
    reads: Sequence[str], subjects: Sequence[Subject], empty: Server, *, close: Container[str] = ()
) -> list[Row]:
    """Measure some reads one by one, then all writes in their groups, on servers and beside the empty one.

    Args:
        reads: The reads.
        subjects: The servers.
        empty: The empty one.
        close: Reads of which so little is decisive that it takes more rounds.
    """
    rows: list[Row] = []
    for names in (*((name,) for name in reads), *targets.WRITE_GROUPS):
        rounds = CLOSE_ROUNDS if names[0] in close else None
        for in_flight in IN_FLIGHT:
            say(f"{', '.join(names)}: {in_flight} in flight")
            rows += measure(names, in_flight, subjects, empty, rounds=rounds)
    return rows


def measure_rows(stores: Sequence[tuple[Path, int]]) -> tuple[list[Row], list[Figure]]:
    """Measure every method on some stores, reads before writes; and the sizes of the last."""
    with ExitStack() as stack:
        empty = stack.enter_context(servers.serving_empty())
        subjects: list[Subject] = []
        for data_dir, runs in stores:
            server = stack.enter_context(servers.serving(data_dir))
            subjects.append(Subject(runs, server, Pools(runs)))
        runs, last = stores[-1][1], subjects[-1]
        sizes = servers.status_of(last.server).sizes
        rows = measure_methods((*targets.READS, *targets.INSIGHTS), subjects, empty)
        private = max(accounting.private_bytes(pid, data_file=DATA_FILE) for pid in last.server.pids())
    return rows, list(figures.of_sizes(runs, sizes.used_bytes, sizes.disk_bytes, private))


def measure_contention(small: Path, runs: int, steady: Path, steady_runs: int) -> Iterator[Figure]:
    """Yield what writers notice of each other, on copies of stores."""
    say("creates at a steady rate")
    with removed(copies(steady, 2)) as (merging_dir, alone_dir):
        yield from figures.of_steady(contention.measure_steady(merging_dir, alone_dir, steady_runs))
    if not contention.can_have_workers():
        print("not measured: several workers (`serve --workers` does not exist)")
        yield from figures.of_workers(())
        return
    say("1, 2 and 4 workers")
    with removed(copies(small, len(contention.WORKERS))) as data_dirs:
        yield from figures.of_workers(contention.measure_workers(data_dirs, runs))


def run(folder: Path, runs: int) -> dict[str, Any]:
    """Measure on stores in a folder, and return the results."""
    measurement = Measurement(folder, runs)
    small, large = folder / "small", folder / "large"
    stores = [(small, RUNS)]
    found = list(fill(small, RUNS))
    if runs != RUNS:
        stores.append((large, runs))
        found = list(fill(large, runs))
    found += measure_contention(small, RUNS, *stores[-1])
    rows, sizes = measure_rows(stores)
    found += sizes
    for row in rows:
        found += figures.of_row(row)
    found += figures.of_transitions(rows, measurement.sync_ms)
    return measurement.results(rows, found)


def main() -> None:
    """Measure, write what was found, and exit 1 when a figure misses its target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of the large store, beside one of {RUNS:,}")
    parser.add_argument("--name", default="bench", help="of the file of results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runindex-bench-", dir=machine.scratch_dir()) as folder:
        results = run(Path(folder), arguments.runs)
    sys.exit(report.conclude(arguments.name, results))


if __name__ == "__main__":
    main()
