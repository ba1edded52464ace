"""Attacks a server with batches of cases, looks after it, and tells what was found."""

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.trust.wire.attacks import CONTENT_MARKER, Legal, cases
from tests.trust.wire.attacks_messages import ATTACKS
from tests.trust.wire.exchanging import Tried, try_cases
from tests.trust.wire.hosting import Host, hosted
from tests.trust.wire.seeds import furnished, legal

BATCH: Final = 250
"""Cases between two calls of the good client."""

WARM_BATCHES: Final = 2
"""Batches until the server holds what it holds of memory while it is attacked."""

GROWTH_MIB_MAX: Final = 64
"""How much more memory the server may hold in the end than then."""

WARM_MIB_MAX: Final = 128
"""How much more memory the server may ever hold than before anybody attacked it."""

CLOSE_S: Final = 60.0
"""How long the server may take to give up the descriptors of connections that are closed."""

LOOK_S: Final = 0.05

OF_GRPC_ITSELF: Final = re.compile(
    r"^Traceback \(most recent call last\):\n"
    r'(?:  File "src/python/grpcio/.*\n)+grpc\._cython\.cygrpc\.ExecuteBatchError: .*\n',
    re.MULTILINE,
)
"""What gRPC prints when a call is gone that it wants to refuse by itself: nothing of it is the product's."""


@dataclass(slots=True)
class Battery:
    """What came of an attack.

    Attributes:
        tried: The cases, and what the server did.
        findings: What may not be, told.
        figures: What is worth telling.
    """

    tried: Tried = field(default_factory=Tried)
    findings: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def wrong(self) -> list[str]:
        """Return all that was found."""
        return [*self.findings, *self.tried.problems]


def attack(folder: Path, *, count: int, seed: int, fault: str = "none") -> Battery:
    """Start a server, attack it with so many cases, and look at it.

    Args:
        folder: Empty.
        count: Cases.
        seed: Of the cases.
        fault: To be planted into the server, or `none`.
    """
    battery = Battery()
    began_s = time.monotonic()
    with hosted(folder, fault) as host:
        descriptors, memory_kib = host.descriptors(), host.memory_kib()
        known, by_batch = _legal(host.token), list[int]()
        for first in range(0, count, BATCH):
            some = cases(ATTACKS, known, seed=seed, first=first, count=min(BATCH, count - first))
            asyncio.run(try_cases(host.port, some, battery.tried))
            if not host.is_alive():
                battery.findings.append(f"the server has ended within the cases from {first} of seed {seed}")
                break
            if problem := host.ask(first):
                battery.findings.append(f"after the cases from {first} of seed {seed}: {problem}")
                break
            by_batch.append(round((host.memory_kib() - memory_kib) / 1_024))
        if battery.findings:
            battery.findings.append(
                f"the server ended with {host.code()} and logged {host.logged()[-3_000:]}"
            )
        battery.figures = {
            "seed": seed,
            "cases": battery.tried.cases,
            "reactions": dict(battery.tried.reactions.most_common()),
            "memory grew by MiB, batch by batch": by_batch,
        }
        if not battery.findings:
            _look_after(host, battery, descriptors=descriptors, by_batch=by_batch)
    battery.figures["seconds"] = round(time.monotonic() - began_s, 1)
    return battery


def _legal(token: str) -> Legal:
    """Return legal requests of all methods, and a token."""
    loop = asyncio.new_event_loop()
    try:
        callee = furnished(loop)
        calls = [
            (f"/runindex.v1.{name.replace('.', '/')}".encode(), request)
            for name, request in legal(callee)
            # It sends the whole store.
            if name != "Maintenance.Backup"
        ]
    finally:
        loop.close()
    return Legal(calls, token.encode())


def _look_after(host: Host, battery: Battery, *, descriptors: int, by_batch: list[int]) -> None:
    """Look at a server that was attacked: memory, descriptors, its store, its end, its logs."""
    deadline = time.monotonic() + CLOSE_S
    while host.descriptors() > descriptors and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    left = host.descriptors() - descriptors
    grown_mib = by_batch[-1] - by_batch[min(WARM_BATCHES, len(by_batch)) - 1]
    drifts = host.drifts()
    code = host.stop()
    logs = host.logged(), host.audited()
    battery.figures |= {
        "memory grew by MiB, when warm": grown_mib,
        "descriptors left": left,
        "lines logged": logs[0].count("\n"),
        "tracebacks of gRPC itself": len(OF_GRPC_ITSELF.findall(logs[0])),
    }
    found = {
        f"{left} descriptors are left": left > 0,
        f"its memory grew by MiB {by_batch}": grown_mib > GROWTH_MIB_MAX or max(by_batch) > WARM_MIB_MAX,
        f"its store is not sound: {drifts[:5]}": bool(drifts),
        f"it ended with {code}": code != 0,
        f"it logged a traceback: {logs[0][-3_000:]}": "Traceback" in OF_GRPC_ITSELF.sub("", logs[0]),
        "its log shows a token": any(host.token in log for log in logs),
        f"its log shows what a caller sent: {logs[0][-3_000:]}": CONTENT_MARKER.decode() in logs[0],
    }
    battery.findings += [problem for problem, is_so in found.items() if is_so]


def told(battery: Battery) -> str:
    """Return the figures as text."""
    return json.dumps(battery.figures, indent=2)
