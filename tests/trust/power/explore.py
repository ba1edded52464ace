"""Replays losses of power of a recording, state by state, in processes of their own.

A process that is killed by what it opens is a failure like any other. Runs as a program:
`python -m tests.trust.power.explore RECORDING RESULTS PART PARTS SUBSETS STATES FAILURES`.
"""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

from runindex_server.logs import configure_logs
from tests.trust.power.checks import Checker, Counts, Failed
from tests.trust.power.choose import after_piece, at_rest
from tests.trust.power.disk import Disk, Piece
from tests.trust.power.ledger import Bounds, Contents
from tests.trust.power.recorder import Recording
from tests.trust.power.stage import FREE_FILES, Stage, State
from tests.trust.power.trace import Event, Kind, read_log

FAILURES_MAX: Final = 20
"""Failures after which a process stops looking."""

WAIT_S: Final = 3_600.0
PROCESSES: Final = 2
FAST_FOLDER: Final = Path("/dev/shm")
"""In memory where there is such a folder: what a replayed disk keeps is decided by the replay."""


@dataclass(slots=True)
class Explored:
    """What came of the losses of power of a recording.

    Attributes:
        digests: Of the different states.
        points: Moments of the recording at which the power was lost.
        replays: Losses of power, the same states at other moments included: each is held to the ledger.
        counts: How often each check was made.
        failures: What failed, each with the check that found it.
    """

    digests: set[str] = field(default_factory=set)
    points: int = 0
    replays: int = 0
    counts: Counts = field(default_factory=Counts)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: "Explored") -> None:
        """Add what another process found."""
        self.digests |= other.digests
        self.points += other.points
        self.replays += other.replays
        self.failures += other.failures
        ours, theirs = asdict(self.counts), asdict(other.counts)
        self.counts = Counts(**{name: ours[name] + theirs[name] for name in ours})

    @property
    def checks_failed(self) -> set[str]:
        """The checks that failed."""
        return {failure["check"] for failure in self.failures}

    def summary(self) -> str:
        """Return a line for people."""
        counts = ", ".join(f"{name} {count}" for name, count in asdict(self.counts).items())
        return (
            f"{len(self.digests)} distinct states, {self.replays} replays at {self.points} points, "
            f"{len(self.failures)} failures; {counts}"
        )


class _Explorer:
    """Replays the losses of power of a part of a recording."""

    def __init__(self, recording: Recording, checker: Checker, *, subsets: int) -> None:
        self._recording = recording
        self._checker = checker
        self._subsets = subsets
        self._disk = Disk()
        self._bounds = Bounds(recording.ledger)
        self._known: dict[str, Contents | None] = {}
        self._free_nodes: set[int] = set()
        self.explored = Explored()

    def explore(self, part: int, parts: int, *, states_max: int, failures_max: int) -> None:
        """Go through the recording, and lose the power in one part of it."""
        events = list(read_log(self._recording.log))
        first, last = len(events) * part // parts, len(events) * (part + 1) // parts
        for index, event in enumerate(events[:last]):
            is_ours = index >= first
            # A sync may come too late: the power is lost right before it is over.
            if is_ours and event.kind in {Kind.SYNC_END, Kind.WRITTEN}:
                self._lose_power(index, event, is_at_rest=True)
            self._apply(event)
            if is_ours:
                self._lose_power(index, event, is_at_rest=False)
            if len(self.explored.digests) >= states_max or len(self.explored.failures) >= failures_max:
                return

    def _apply(self, event: Event) -> None:
        if event.kind is Kind.BEGUN:
            self._bounds.begin(event.file)
        elif event.kind is Kind.ACKNOWLEDGED:
            self._bounds.acknowledge(event.file)
        else:
            self._disk.apply(event)
            if event.kind is Kind.OPEN and event.data.decode().rpartition("/")[2] in FREE_FILES:
                self._free_nodes.add(self._disk.node_of(event.file))

    def _lose_power(self, index: int, event: Event, *, is_at_rest: bool) -> None:
        """Replay what may be on the disk before or after an event."""
        numbers = random.Random(f"{index} {is_at_rest} {self._subsets}")
        pending = [piece for piece in self._disk.pending if piece.node not in self._free_nodes]
        if is_at_rest:
            choices = at_rest(pending, numbers, subsets=self._subsets)
        elif event.kind is Kind.WRITE or event.kind in {Kind.MKDIR, Kind.RENAME, Kind.UNLINK, Kind.OPEN}:
            choices = chain.from_iterable(
                after_piece(pending[:length], numbers)
                for length in range(max(1, len(pending) - self._new_pieces(event)), len(pending) + 1)
            )
        else:
            # After an answer came, or a flush: what is there without anything more.
            choices = iter([[], pending])
        self.explored.points += 1
        for kept in choices:
            self._replay(kept, index, event)

    def _new_pieces(self, event: Event) -> int:
        """Return how many pieces an event made, less one."""
        return sum(piece.token == event.token for piece in self._disk.pending) - 1 if event.token else 0

    def _replay(self, kept: list[Piece], index: int, event: Event) -> None:
        """Lay out a state, check it, and hold it to the ledger."""
        state = State(self._disk, kept)
        self.explored.replays += 1
        if state.digest not in self._known:
            self.explored.digests.add(state.digest)
            self._known[state.digest] = None
            try:
                self._known[state.digest] = self._checker.check(state)
            except Failed as failure:
                for check, detail in failure.found:
                    self._fail(check, detail, index, event)
        contents = self._known[state.digest]
        if contents is not None:
            for check, detail in self._bounds.differences(contents):
                self._fail(check, detail, index, event)

    def _fail(self, check: str, detail: str, index: int, event: Event) -> None:
        failure = {"check": check, "detail": detail, "event": index, "kind": event.kind.name}
        self.explored.failures.append(failure)


def explore(
    recording: Recording,
    work: Path,
    *,
    subsets: int,
    states_max: int,
    failures_max: int = FAILURES_MAX,
    processes: int = PROCESSES,
) -> Explored:
    """Replay the losses of power of a recording in some processes, and return what came of it.

    Args:
        recording: The recording.
        work: A folder for what they tell.
        subsets: How many random subsets of what is pending are tried at each flush.
        states_max: Different states after which each process stops.
        failures_max: Failures after which it does.
        processes: How many.
    """
    saved = work / "recording"
    recording.save(saved)
    results = [work / f"explored-{part}" for part in range(processes)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.trust.power.explore", str(saved), str(result)]
            + [str(number) for number in (part, processes, subsets, states_max, failures_max)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for part, result in enumerate(results)
    ]
    explored = Explored()
    try:
        for process, result in zip(running, results, strict=True):
            _, said = process.communicate(timeout=WAIT_S)
            explored.add(_read_result(result, process.returncode, said))
    finally:
        for process in running:
            process.kill()
            process.wait()
    return explored


def _read_result(result: Path, code: int, said: str) -> Explored:
    """Return what a process found; that it was killed is a failure, too."""
    if code != 0:
        return Explored(failures=[{"check": "killed", "detail": f"exit code {code}: {said}"}])
    told = json.loads(result.read_text())
    return Explored(
        set(told["digests"]), told["points"], told["replays"], Counts(**told["counts"]), told["failures"]
    )


def main(recording: str, results: str, *numbers: str) -> None:
    """Explore a part of a recording, and write down what came of it."""
    part, parts, subsets, states_max, failures_max = map(int, numbers)
    configure_logs("error", "json")
    place = FAST_FOLDER if FAST_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place, prefix="power-") as folder, asyncio.Runner() as runner:
        checker = Checker(Stage(Path(folder)), runner)
        explorer = _Explorer(Recording.load(Path(recording)), checker, subsets=subsets)
        explorer.explore(part, parts, states_max=states_max, failures_max=failures_max)
    explored = explorer.explored
    explored.counts = checker.counts
    Path(results).write_text(json.dumps({**asdict(explored), "digests": sorted(explored.digests)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
