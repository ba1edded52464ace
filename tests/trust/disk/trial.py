"""One damaged store: opened as the server opens it, read to the end, and held against the sound one."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from runindex_server.kv.guard import StoreRefused
from runindex_server.kv.lmdb_snapshots import DATA_FILE_NAME
from runindex_server.kv.lock_file import STORE_NAME
from runindex_server.kv.seal import SEAL_NAME, put_seal
from tests.support.clock import ManualClock
from tests.trust.disk.damage import Image
from tests.trust.disk.full_store import fill
from tests.trust.disk.reads import Answer, Refusal, everything, read_all, refusal_of
from tests.trust.disk.served import Served, opened


class Outcome(StrEnum):
    """What came of a damaged store, from good to bad."""

    EQUAL = "every answer as of the sound store"
    REFUSED = "not opened, and said why"
    TOLD = "some answers refused as damaged, all others as of the sound store"
    SILENT = "an answer that differs from that of the sound store"
    UNNAMED = "an answer refused without saying that the store is damaged"
    DIED = "the process died"
    HUNG = "the process hung"


FAILURES: Final = frozenset({Outcome.SILENT, Outcome.UNNAMED, Outcome.DIED, Outcome.HUNG})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a damaged store.

    Attributes:
        outcome: The worst of it.
        details: What differs, and how often.
    """

    outcome: Outcome
    details: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Bench:
    """A full store, and a data directory in which damaged ones are laid out.

    Attributes:
        image: Its data file.
        data_dir: Where it is laid out.
        clock: Of the store; it stands still.
        is_sealed: Whether what is laid out has the seal of the sound store.
    """

    image: Image
    data_dir: Path
    clock: ManualClock
    seal: bytes
    is_sealed: bool
    sound: list[Answer] = field(default_factory=list)

    @classmethod
    def made_in(cls, data_dir: Path, *, is_sealed: bool) -> "Bench":
        """Make a full store."""
        clock = ManualClock()
        earlier = asyncio.run(fill(data_dir, clock))
        # The first start in that the clock stands where it does may note that down.
        with asyncio.Runner() as runner:
            bench = cls(Image(b"", earlier), data_dir, clock, b"", is_sealed)
            runner.run(bench._read())
            file = bench.file
            bench.image = Image(file.read_bytes(), earlier)
            put_seal(file)
            bench.seal = file.with_name(SEAL_NAME).read_bytes()
            bench.sound = runner.run(bench._read())
        return bench

    @property
    def file(self) -> Path:
        """The data file."""
        return self.data_dir / STORE_NAME / DATA_FILE_NAME

    def lay_out(self, data: bytes) -> None:
        """Put a data file in its place."""
        seal = self.file.with_name(SEAL_NAME)
        self.file.write_bytes(data)
        if self.is_sealed:
            seal.write_bytes(self.seal)
        else:
            seal.unlink(missing_ok=True)

    def judge(self) -> Verdict:
        """Return what comes of the store that is laid out."""
        try:
            with asyncio.Runner() as runner:
                answers = runner.run(self._read())
        except StoreRefused as refused:
            return Verdict(Outcome.REFUSED, {type(refused).__name__: 1})
        except Exception as error:  # noqa: BLE001  # Whatever ends a start.
            refusal = refusal_of(error)
            return Verdict(
                Outcome.REFUSED if refusal.is_named else Outcome.UNNAMED, {f"start: {refusal.name}": 1}
            )
        return self._compared(answers)

    async def _read(self) -> list[Answer]:
        with opened(self.data_dir, self.clock) as store:
            return await read_all(await Served.over(store, self.clock), everything())

    def _compared(self, answers: list[Answer]) -> Verdict:
        outcomes: set[Outcome] = {Outcome.EQUAL}
        details: Counter[str] = Counter()
        for call, expected, answer in zip(everything(), self.sound, answers, strict=True):
            if answer == expected:
                continue
            if isinstance(answer, Refusal) and answer.is_named:
                outcomes.add(Outcome.TOLD)
                continue
            outcomes.add(_outcome_of(answer))
            told = answer.name if isinstance(answer, Refusal) else "another answer"
            details[f"{call.method}: {told[:100]}"] += 1
        order = list(Outcome)
        return Verdict(max(outcomes, key=order.index), dict(details))


def _outcome_of(answer: Answer) -> Outcome:
    """Return what it is when an answer differs without saying that the store is damaged."""
    if isinstance(answer, Refusal) and not answer.name.endswith("_NOT_FOUND"):
        return Outcome.UNNAMED
    return Outcome.SILENT
