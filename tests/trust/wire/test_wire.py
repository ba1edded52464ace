"""Bytes on the wire that no client sends: a server answers good clients all the while, and stays as it was.

RUNINDEX_WIRE_CASES is how many connections are made, RUNINDEX_WIRE_SEED repeats them.
"""

import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.property.machine import MEMORY_DIR
from tests.support.tally import Tally
from tests.trust.wire.attacks import Legal
from tests.trust.wire.attacks_messages import ATTACKS, several_calls
from tests.trust.wire.battering import attack, told
from tests.trust.wire.exchanging import Tried, try_cases
from tests.trust.wire.hosting import hosted

CASES: Final = int(os.environ.get("RUNINDEX_WIRE_CASES", "5000"))
SEED: Final = int(os.environ.get("RUNINDEX_WIRE_SEED", str(random.getrandbits(31))))
FEW: Final = 4 * len(ATTACKS)

EXPECTED: Final = (
    "status 0",
    "status 3",
    "status 8",
    "status 12",
    "status 16",
    "reset",
    "went away",
    "ping answered",
)
"""What cases of all kinds come to: were one of these missing, they would not get as far as they should."""


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """Return a folder in memory, where there is such: what a disk does is another test's matter."""
    with tempfile.TemporaryDirectory(prefix="runindex-wire-", dir=MEMORY_DIR) as folder:
        yield Path(folder)


def test_no_bytes_on_the_wire_end_starve_or_grow_the_server(
    memory_path: Path, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    battery = attack(memory_path, count=CASES, seed=SEED)
    with capsys.disabled():
        sys.stdout.write(f"\n{told(battery)}\n")
    tally(
        "connections with bytes that no client sends", runs=battery.tried.cases, failures=len(battery.wrong())
    )

    assert battery.wrong() == [], f"seed {SEED}"
    assert battery.tried.cases == CASES
    assert [what for what in EXPECTED if not battery.tried.reactions[what]] == []


def test_a_path_that_is_no_text_ends_nothing(memory_path: Path) -> None:
    """gRPC's own loop once ended at such a path, and the process stayed without serving anybody."""
    with hosted(memory_path) as host:
        tried = Tried()
        known = Legal([(b"/\x00\xff\xfe", b"")], host.token.encode())
        asyncio.run(try_cases(host.port, [several_calls(random.Random(0), known)], tried))

        assert host.ask(0) == ""
        assert host.is_alive()


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("exception", "it logged a traceback"),
        ("memory", "its memory grew by"),
        ("descriptors", "descriptors are left"),
        ("end", "the server has ended"),
        ("secret", "its log shows a token"),
        ("wrong-answers", "a good client is"),
    ],
)
def test_a_fault_that_is_planted_into_the_server_is_found(
    memory_path: Path, tally: Tally, fault: str, finding: str
) -> None:
    battery = attack(memory_path, count=FEW, seed=7, fault=fault)
    tally("faults planted into the attacked server", runs=1, failures=int(not battery.wrong()))

    assert any(finding in wrong for wrong in battery.wrong()), battery.wrong()[:3]
