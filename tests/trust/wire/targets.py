"""What is fuzzed: whole calls, and parsers alone. The first byte of an input says which of them."""

import asyncio
import faulthandler
import json
import mmap
import random
import resource
import struct
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol

from google.protobuf.message import DecodeError

from tests.trust.wire import bundle_parser, json_parsers, parsers
from tests.trust.wire.callee import Aborted, Callee
from tests.trust.wire.mutating import Mutator
from tests.trust.wire.outcome import Unsound, check_answer, check_refusal
from tests.trust.wire.parsers import Parser
from tests.trust.wire.seeds import furnished, legal

ROUND: Final = 32
"""Calls of one store: then it is checked, and the next begins anew, with what others have deleted."""

TOLD_EVERY: Final = 128
"""Executions from one telling to the next."""

GROWTH_KIB_MAX: Final = 64 * 1024
"""How much more memory than ever before one execution may take."""

WARM: Final = 500
"""Executions before memory is watched: until then modules and caches fill."""

SLOW: Final = frozenset({"Maintenance.Verify", "Maintenance.Backup"})
"""Calls whose requests say nothing, and which take long."""

SLOW_SHARE: Final = 16
"""One of so many of their mutants is executed, and the legal one, which is empty."""

INPUT_BYTES_MAX: Final = 16 * 1024
"""Bytes of an input. What is longer is another test's matter."""

_LENGTH: Final = struct.Struct(">I")

Call = tuple[str, bytes]


class Target(Protocol):
    """Something to be fuzzed."""

    def beginnings(self) -> Iterable[bytes]:
        """Return the inputs from which mutation begins."""
        ...

    def run(self, data: bytes) -> None:
        """Execute an input.

        Raises:
            Exception: It is a finding.
        """
        ...

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """Return an input, mutated by its meaning."""
        ...

    def told(self) -> dict[str, Any]:
        """Return what came of the executions so far."""
        ...


class Calls:
    """Whole calls, many of one store. What they leave in it is a part of what the next meets."""

    def __init__(self, cases: Path) -> None:
        """Begin.

        Args:
            cases: Where calls are written that lead to a finding.
        """
        self._cases = cases
        self._loop = asyncio.new_event_loop()
        self._beginning = furnished(self._loop)
        self._legal = list(legal(self._beginning))
        self._callee = Callee(self._loop, self._beginning)
        self._names = list(self._callee.methods)
        self._made: list[Call] = []
        self._answered: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._rounds = 0
        self._tokens = _tokens_in(self._callee, self._legal)

    def beginnings(self) -> Iterable[bytes]:
        """Return legal requests of every method."""
        return [self._input(name, request) for name, request in self._legal]

    def _input(self, name: str, request: bytes) -> bytes:
        return bytes([self._names.index(name)]) + request

    def _call_of(self, data: bytes) -> Call:
        return self._names[data[0] % len(self._names)], data[1:]

    def run(self, data: bytes) -> None:
        """Make a call, and judge what comes of it."""
        if not data:
            return
        name, request = self._call_of(data)
        if name in SLOW and zlib.crc32(request) % SLOW_SHARE:
            return
        self._made.append((name, request))
        try:
            reason = make(self._callee, name, request)
            if len(self._made) >= ROUND:
                self._callee.settle()
        except Exception:
            self._keep(traceback.format_exc())
            raise
        self._answered[name] += not reason
        self._refused[reason or "none"] += 1
        if len(self._made) >= ROUND:
            self._rounds += 1
            self._made.clear()
            self._callee = Callee(self._loop, self._beginning)

    def _keep(self, problem: str) -> None:
        """Write the fewest of the last calls that lead to the finding over a store as it was at first."""
        count = 1
        while count < len(self._made) and not self._fails(self._made[-count:]):
            count *= 2
        calls = [[name, request.hex()] for name, request in self._made[-count:]]
        case = {"problem": problem.splitlines()[-1], "calls": calls}
        (self._cases / "calls.json").write_text(json.dumps(case, indent=1))

    def _fails(self, made: list[Call]) -> bool:
        try:
            replay(Callee(self._loop, self._beginning), made)
        except Exception:  # noqa: BLE001  # Whatever it is.
            return True
        return False

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """Change fields of a request; now and then begin with a legal one again, or take another method."""
        name, request = self._call_of(data) if data else chance.choice(self._legal)
        if chance.random() < 0.1:
            name, request = chance.choice(self._legal)
        message = self._callee.methods[name].request_class()
        try:
            message.MergeFromString(request)
        except DecodeError:
            name, request = chance.choice(self._legal)
            message = self._callee.methods[name].request_class.FromString(request)
        Mutator(chance, self._tokens).change(message)
        return self._input(name, message.SerializeToString())

    def told(self) -> dict[str, Any]:
        """Return how many calls of each method were answered, and why others were refused."""
        return {"answered": self._answered, "refused": self._refused, "rounds": self._rounds}


def make(callee: Callee, name: str, request: bytes) -> str:
    """Make a call and judge what comes of it; return why it was refused, empty when it was not.

    Raises:
        Exception: It is a finding.
    """
    try:
        pieces = callee.call(name, request)
    except Aborted as error:
        return check_refusal(error)
    check_answer(callee.methods[name], pieces)
    return ""


def replay(callee: Callee, calls: Iterable[Call]) -> None:
    """Make calls one after the other, and check the store after them.

    Raises:
        Exception: It is a finding.
    """
    for name, request in calls:
        make(callee, name, request)
    callee.settle()


def _tokens_in(callee: Callee, calls: Iterable[Call]) -> list[str]:
    """Return the page tokens that requests carry."""
    requests = (callee.methods[name].request_class.FromString(request) for name, request in calls)
    return sorted({token for request in requests if (token := getattr(request, "page_token", ""))})


class Parsers:
    """Parsers alone."""

    def __init__(self, _cases: Path) -> None:
        """Begin."""
        loop = asyncio.new_event_loop()
        beginning = furnished(loop)
        self._parsers = all_parsers(lambda: Callee(loop, beginning))
        self._accepted: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def beginnings(self) -> Iterable[bytes]:
        """Return what each begins with."""
        return [
            bytes([number]) + data
            for number, parser in enumerate(self._parsers)
            for data in parser.beginnings
        ]

    def run(self, data: bytes) -> None:
        """Let a parser read."""
        if data:
            parser = self._parsers[data[0] % len(self._parsers)]
            told = self._accepted if parser.run(data[1:]) else self._refused
            told[parser.name] += 1

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """Change an input by its meaning, where its parser tells how; else put pieces of others into it."""
        if not data:
            return data
        parser = self._parsers[data[0] % len(self._parsers)]
        if parser.change is not None:
            return data[:1] + parser.change(data[1:], chance)
        other = chance.choice(parser.beginnings)
        at, begin = chance.randint(1, len(data)), chance.randint(0, len(other))
        return data[:at] + other[begin : begin + chance.randint(1, 40)] + data[at + chance.randint(0, 8) :]

    def told(self) -> dict[str, Any]:
        """Return how many inputs each parser accepted, and refused."""
        return {"accepted": self._accepted, "refused": self._refused}


def all_parsers(new: Callable[[], Callee]) -> tuple[Parser, ...]:
    """Return the parsers that are driven alone.

    Args:
        new: Returns services over a store of their own.
    """
    callee = new()
    return (
        parsers.page_tokens(callee),
        parsers.queries(callee),
        parsers.texts(),
        parsers.credentials(),
        json_parsers.values(),
        json_parsers.metadata(),
        bundle_parser.bundles(new),
    )


TARGETS: Final[dict[str, Callable[[Path], Target]]] = {"calls": Calls, "parsers": Parsers}


class Watched:
    """A target whose time and memory are watched, and whose executions are counted."""

    def __init__(self, target: Target, folder: Path, *, hang_s: float) -> None:
        """Begin.

        Args:
            target: What is executed.
            folder: Where to tell what came of it.
            hang_s: How long TOLD_EVERY executions may take before the process ends itself, with a traceback.
        """
        self._target = target
        self._told = folder / "told.json"
        self._hang_s = hang_s
        self._executions = 0
        self._peak_kib = 0
        # Outlives the process, however it ends.
        path = folder / "last"
        path.write_bytes(bytes(_LENGTH.size + INPUT_BYTES_MAX))
        with path.open("r+b") as file:
            self._last = mmap.mmap(file.fileno(), 0)
        faulthandler.dump_traceback_later(hang_s, exit=True)

    def __call__(self, data: bytes) -> None:
        """Execute an input.

        Raises:
            Unsound: It took more memory than one execution may.
        """
        self._last[: _LENGTH.size + len(data)] = _LENGTH.pack(len(data)) + data
        self._target.run(data)
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._executions += 1
        if self._executions > WARM and peak_kib - self._peak_kib > GROWTH_KIB_MAX:
            raise Unsound(f"{peak_kib - self._peak_kib} KiB more than ever before")
        self._peak_kib = peak_kib
        if self._executions % TOLD_EVERY == 0:
            faulthandler.dump_traceback_later(self._hang_s, exit=True)
            told = {"executions": self._executions, "peak_kib": peak_kib, **self._target.told()}
            self._told.write_text(json.dumps(told))


def last_input(folder: Path) -> bytes:
    """Return what was executed last by the process that watched in a folder."""
    kept = (folder / "last").read_bytes()
    (length,) = _LENGTH.unpack_from(kept)
    return kept[_LENGTH.size : _LENGTH.size + length]
