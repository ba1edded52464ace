"""Lets each call to the disk fail in turn, of each thing that the server does with it, until none is left.

`python -m tests.trust.disk.nth serve ENOSPC --lasting` tells a JSON object a line, one for each call that
failed; `--part 0 --parts 2` takes every other one only.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from runindex_server.kv.guard import RestoreUnfinished, StoreRefused
from runindex_server.logs import configure_logs
from runindex_server.schema import keys
from tests.crash.offline import Contents, make_store, read_store
from tests.trust.disk.failing import CALLS_EACH, FULL, Crowd
from tests.trust.disk.faulty import MAP_BYTES, Fault, Nursery, Plan, PlanFile, build_shim

CALLS_MAX: Final = 2_000
FATAL: Final = 70
REFUSED: Final = 1

MAP: Final = ("--map-bytes", str(MAP_BYTES))


class Trials:
    """What is done while a call to the disk fails; each time in a folder of its own, which is empty.

    Attributes:
        failed: How many calls failed in the last one.
        what: What the first of them was.
    """

    def __init__(self, folder: Path, *, seed: int, calls: int) -> None:
        """Make what is backed up and restored, and what starts commands; to be closed.

        Args:
            folder: Empty.
            seed: Of what callers do.
            calls: How many calls each of them makes.
        """
        self._seed, self._calls = seed, calls
        shim = build_shim(folder)
        self._plan = PlanFile(folder / "plan")
        self._nursery, self._beside = Nursery(self._plan, shim), Nursery(self._plan, shim)
        self._original = make_store(folder / "original")
        self._file = folder / "original" / "store" / "data.mdb"
        self.failed, self.what = 0, ""

    def close(self) -> None:
        """End what starts commands."""
        self._nursery.close()
        self._beside.close()

    def _end_faults(self) -> None:
        """Let the disk be well again, and note what failed."""
        self.failed, self.what = self._plan.failed, self._plan.what
        self._plan.set(Plan())

    def serve(self, root: Path, plan: Plan) -> list[str]:
        """Create a store, and let callers write it; return what is wrong."""
        crowd = Crowd(self._seed)
        self._plan.set(plan)
        command = self._nursery.start(root, *_serve(root / "data"))
        target = command.target()
        if target is not None:
            crowd.work(target, self._calls)
            command.terminate()
        code, log = command.exit_code(), command.logged()
        self._end_faults()
        problems = _told_badly(code, log, (REFUSED, FATAL) if target is None else (0, FATAL))
        if code == 0 and any(caller.pending and FULL not in caller.refusals for caller in crowd.callers):
            problems.append("a call was lost by a server that went on")
        return [*problems, *crowd.strange_refusals(), *crowd.check(root / "data")]

    def restore(self, root: Path, plan: Plan) -> list[str]:
        """Restore a backup; where that failed, again on a disk that is well. Return what is wrong."""
        data_dir = root / "data"
        arguments = ("restore", str(self._file), "--data-dir", str(data_dir), *MAP)
        self._plan.set(plan)
        command = self._nursery.start(root, *arguments)
        code, log = command.exit_code(), command.logged()
        self._end_faults()
        problems = _told_badly(code, log, (0, REFUSED))
        if code != 0 and not (data_dir / "store").exists():
            problems += _left_by_restore(data_dir)
            code = self._nursery.start(root, *arguments).exit_code()
            problems += [f"it is refused again, with {code}"] if code else []
        return problems + self._differences(data_dir)

    def backup(self, root: Path, plan: Plan) -> list[str]:
        """Back up a server, while its disk and that of the backup fail; return what is wrong."""
        shutil.copytree(self._file.parent.parent, root / "data")
        file = root / "backup"
        server = self._beside.start(root, *_serve(root / "data"))
        target = server.target()
        assert target is not None, server.logged()
        self._plan.set(plan)
        command = self._nursery.start(root, "backup", str(file), "--address", target)
        code, log = command.exit_code(), command.logged()
        self._end_faults()
        server.terminate()
        problems = _told_badly(server.exit_code(), server.logged(), (0, FATAL))
        problems += _told_badly(code, log, (0, REFUSED))
        if code == 0 and not file.exists():
            problems.append("there is no backup, although it was told")
        if file.exists():
            # Whether told or not: what has the name of a backup is one.
            (root / "restored" / "store").mkdir(parents=True, mode=0o700)
            shutil.copy(file, root / "restored" / "store" / "data.mdb")
            problems += self._differences(root / "restored")
        return problems + self._differences(root / "data")

    def _differences(self, data_dir: Path) -> list[str]:
        """Return how the runs of a store differ from those of the original."""
        try:
            found = read_store(data_dir)
        except StoreRefused as error:
            return [f"the store is refused: {error}"]
        return [] if _runs_of(found) == _runs_of(self._original) else ["it does not hold the runs"]


def _runs_of(contents: Contents) -> list[tuple[bytes, bytes]]:
    return [row for row in contents.rows if row[0].startswith(keys.RUN.prefix)]


def _serve(data_dir: Path) -> tuple[str, ...]:
    return ("serve", "--address", "127.0.0.1:0", "--data-dir", str(data_dir), *MAP)


def _told_badly(code: int, log: str, codes: tuple[int, ...]) -> list[str]:
    """Return what is wrong with how a command ended."""
    problems = [] if code in codes else [f"exit code {code}, not one of {codes}"]
    if "Traceback" in log or "panic" in log.lower():
        problems.append(f"it was not told in a sentence: {log[-1000:]}")
    if code == REFUSED and not log.strip():
        problems.append("it was not told at all")
    return problems


def _left_by_restore(data_dir: Path) -> list[str]:
    """Return what is wrong with what a failed restore left: no server may make an empty store of it."""
    if not (data_dir / "store.restoring").exists():
        return []
    try:
        read_store(data_dir)
    except RestoreUnfinished:
        return []
    return ["a server starts on what a failed restore left"]


SUBJECTS: Final[Mapping[str, Callable[[Trials, Path, Plan], list[str]]]] = {
    "serve": Trials.serve,
    "restore": Trials.restore,
    "backup": Trials.backup,
}
"""What is done with the disk."""


def main() -> int:
    """Let calls fail; return the exit code."""
    parser = argparse.ArgumentParser(description="Let each call to the disk fail.")
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("fault", choices=[fault.name for fault in Fault])
    parser.add_argument("--lasting", action="store_true", help="let all calls after it fail, too")
    parser.add_argument("--seed", type=int, default=1, help="of what callers do")
    parser.add_argument("--calls", type=int, default=CALLS_EACH, help="how many calls each caller makes")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    asked = parser.parse_args()
    configure_logs("critical", "json")
    place = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=place, prefix="nth-") as folder,
        closing(Trials(Path(folder), seed=asked.seed, calls=asked.calls)) as trials,
    ):
        for number in range(1 + asked.part, CALLS_MAX, asked.parts):
            root = Path(folder) / f"trial-{number}"
            root.mkdir()
            plan = Plan(Fault[asked.fault], number, asked.lasting)
            problems = SUBJECTS[asked.subject](trials, root, plan)
            told = {"plan": str(plan), "call": trials.what, "failed": trials.failed, "problems": problems}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            shutil.rmtree(root)
            if not trials.failed:
                break
    return 0


if __name__ == "__main__":
    sys.exit(main())
