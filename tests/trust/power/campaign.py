"""Recording after recording, until so many different states have been checked."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Final

from tests.trust.power.explore import FAST_FOLDER, PROCESSES, Explored, explore
from tests.trust.power.recorder import Recording, build_shim, record

CALLS: Final = 800
"""Of one recording. The number of different states grows with them, and so does what one of them costs."""

SUBSETS: Final = 60
"""Random subsets of what is pending at each flush."""

FIRST_SEED: Final = 1
EVERY_STATE: Final = 10**9
ROUND_STATES_MIN: Final = 1_000
"""Different states of a recording that are looked at even where fewer are missing."""


@dataclass(frozen=True, slots=True)
class Round:
    """A recording of a campaign, and what came of it.

    Attributes:
        seed: Of what its clients did.
        recording: Gone with the next round.
        explored: What came of its own losses of power.
        total: What came of all up to it.
    """

    seed: int
    recording: Recording
    explored: Explored
    total: Explored


def rounds(
    states: int, *, rounds_max: int | None = None, first_seed: int = FIRST_SEED, subsets: int = SUBSETS
) -> Iterator[Round]:
    """Yield recordings whose losses of power have been replayed, until there are enough or one failed.

    Args:
        states: Different states that are enough.
        rounds_max: Recordings after which it ends all the same; None for any number.
        first_seed: Of the first; each next one has the next.
        subsets: As in `explore`.
    """
    total = Explored()
    with scratch() as work:
        shim = build_shim(work)
        for seed in islice(count(first_seed), rounds_max):
            folder = work / f"round-{seed}"
            recording = record(folder, shim, calls=CALLS, seed=seed)
            # The first recording is replayed to its end; of a later one, what is still missing.
            missing = states - len(total.digests) if total.digests else EVERY_STATE
            explored = explore(
                recording, folder, subsets=subsets, states_max=max(ROUND_STATES_MIN, missing) // PROCESSES + 1
            )
            total.add(explored)
            yield Round(seed, recording, explored, total)
            shutil.rmtree(folder)
            if len(total.digests) >= states or total.failures:
                return


@contextmanager
def scratch() -> Iterator[Path]:
    """Return an empty folder, in memory where that can be, that is gone afterwards."""
    place = FAST_FOLDER if FAST_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place, prefix="power-") as folder:
        yield Path(folder)
