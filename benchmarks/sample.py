"""The runs that measurements are made on: the n-th of them, the same each time, like those of a real store.

Each has some 300 bytes of metadata and three tags. How often what searches ask for occurs is arranged here:

| what | runs |
| --- | --- |
| `amber` and `falcon` together | 1 %; alone 5 % and 4 % |
| `nightly` | all |
| each tag `shard-0` to `shard-49` | 2 % |
| `quasar` | 0.01 %, every other of them failed |
| a request | one run |
| a session | 20 runs |
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Final

from google.protobuf.struct_pb2 import Struct

from runindex_server.schema import metadata
from runindex_server.schema.run import RunId, RunState

FIRST_MS: Final = 1_750_000_000_000
"""The time in the id of run 0; each later run is a millisecond later."""

FAMILY: Final = 1_000
"""Runs among which one, the first, is the parent of others."""

CHILD_EVERY: Final = 9
ARCHIVED_EVERY: Final = 41
KEEPING_EVERY: Final = 200
KEEP_LATEST_N: Final = 5
RARE_EVERY: Final = 10_000
RARE_AT: Final = 11

OUTCOMES: Final = (
    (RunState.COMPLETED, 78),
    (RunState.FAILED, 8),
    (RunState.CANCELLED, 4),
    (RunState.PAUSED, 3),
    (RunState.ACTIVE, 4),
)
"""Of 97 runs that follow each other. A prime, so that states have nothing to do with words and tags."""

ENDED: Final = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED})

ERROR: Final = "rate limited by the provider after 3 attempts"

_OUTCOMES: Final = tuple(state for state, times in OUTCOMES for _ in range(times))
_REQUEST, _SESSION = "R" * 16, "S" * 12
_MODELS: Final = ("gpt-4o", "gpt-4o-mini", "sonnet-4", "haiku-4", "llama-3")
_DATASETS: Final = ("reports", "tickets", "invoices")


@dataclass(frozen=True, slots=True)
class Sample:
    """A run as it is to be.

    Attributes:
        run_id: Its id.
        parent: That of its parent; None for a root.
        tags: Its tags.
        metadata: The encoding of its metadata.
        outcome: The state in which it ended, or is.
        is_archived: Whether it was archived then.
        is_keeping: Whether it has a retention policy of its own.
    """

    run_id: RunId
    parent: RunId | None
    tags: tuple[str, ...]
    metadata: bytes
    outcome: RunState
    is_archived: bool
    is_keeping: bool

    @property
    def state(self) -> RunState:
        """The state in which it is."""
        return RunState.ARCHIVED if self.is_archived else self.outcome

    @property
    def version(self) -> int:
        """One, and one for each change."""
        return 1 + (self.outcome is not RunState.ACTIVE) + self.is_archived + self.is_keeping


def run_id(number: int) -> RunId:
    """Return the id of a run: a UUIDv7, as the server makes them."""
    random = int.from_bytes(blake2b(number.to_bytes(8, "big"), digest_size=10).digest(), "big")
    low = 0x8000_0000_0000_0000 | (random & 0x3FFF_FFFF_FFFF_FFFF)
    high = (FIRST_MS + number) << 16 | 0x7000 | (random >> 64) & 0x0FFF
    return RunId((high << 64 | low).to_bytes(16, "big"))


def sample(number: int) -> Sample:
    """Return the n-th run."""
    return Sample(
        run_id=run_id(number),
        parent=None if (found := parent(number)) is None else run_id(found),
        tags=tags(number),
        metadata=metadata_of(number),
        outcome=outcome(number),
        is_archived=is_archived(number),
        is_keeping=number % KEEPING_EVERY == 0,
    )


def parent(number: int) -> int | None:
    """Return the number of a run's parent; None for a root."""
    first_of_family = number - number % FAMILY
    is_child = number % CHILD_EVERY == CHILD_EVERY - 1 and number != first_of_family
    return first_of_family if is_child else None


def outcome(number: int) -> RunState:
    """Return the state in which a run ended, or is."""
    if number % RARE_EVERY == RARE_AT:
        return RunState.COMPLETED if number // RARE_EVERY % 2 else RunState.FAILED
    return _OUTCOMES[number % len(_OUTCOMES)]


def is_archived(number: int) -> bool:
    """Tell whether a run was archived."""
    is_due = number % ARCHIVED_EVERY == ARCHIVED_EVERY - 1 and number % RARE_EVERY != RARE_AT
    return is_due and outcome(number) in ENDED


def state(number: int) -> RunState:
    """Return the state of a run."""
    return RunState.ARCHIVED if is_archived(number) else outcome(number)


@cache
def counts(runs: int) -> Counter[RunState]:
    """Return how many of the first so many runs are in each state."""
    return Counter(map(state, range(runs)))


def tags(number: int) -> tuple[str, ...]:
    """Return the tags of a run."""
    return (f"shard-{number % 50}", f"team-{number % 12}", "prod" if number % 4 else "staging")


def words(number: int) -> tuple[str, ...]:
    """Return the words that only some runs have."""
    rules = (("amber", 20, 7), ("falcon", 25, 7), ("quasar", RARE_EVERY, RARE_AT))
    return tuple(word for word, every, at in rules if number % every == at)


def metadata_of(number: int) -> bytes:
    """Return the encoding of a run's metadata, some 300 bytes."""
    pattern = _pattern(_MODELS[number % 5], _DATASETS[number % 3], number % 4, number % 12, words(number))
    request = f"{number * 0x9E37_79B9_7F4A_7C15 % 2**64:016x}".encode()
    session = f"{number // 20 * 0x9E37_79B9_7F4B % 2**48:012x}".encode()
    return pattern.replace(_REQUEST.encode(), request).replace(_SESSION.encode(), session)


@lru_cache(8_192)
def _pattern(model: str, dataset: str, attempt: int, team: int, some_words: tuple[str, ...]) -> bytes:
    """Return metadata with marks where request and session, as long as they, have yet to be put."""
    fields = Struct()
    fields.update(
        {
            "model": model,
            "task": "summarise the weekly report for the operations team",
            "attempt": attempt,
            "temperature": 0.7,
            "dataset": {"name": dataset, "split": "validation", "rows": 1200},
            "owner": f"owner-{team}",
            "notes": " ".join(("started by the nightly schedule", *some_words)),
            "request": _REQUEST,
            "session": _SESSION,
        }
    )
    return metadata.encode(fields)


def newest(runs: int, is_wanted: Callable[[int], bool], count: int) -> list[int]:
    """Return the newest of the first so many runs that are wanted, at most `count`, newest first."""
    return list(islice(filter(is_wanted, reversed(range(runs))), count))


def numbers(runs: int, count: int) -> Iterator[int]:
    """Yield numbers of runs all over a store, the same each time."""
    step = int(runs * 0.618) | 1
    return (number * step % runs for number in range(count))
