"""Every parser of what callers send, fuzzed by coverage: whole calls in process, and parsers alone.

The bytes of a request go through the boundary, the servicer and the transaction into a store. What may come
of them is a sound answer, or a refusal with a reason of the contract that a request can be refused for: no
other exception, nothing that hangs, no memory that grows; and the store stays sound. RUNINDEX_FUZZ_SECONDS is
how long it may take, RUNINDEX_FUZZ_SEED repeats it, `python -m tests.trust.wire` does more of it.
"""

import asyncio
import json
import os
import random
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from runindex_server.logs import configure_logs
from tests.support.tally import Tally
from tests.trust.wire.callee import Callee
from tests.trust.wire.fuzzing import fuzz
from tests.trust.wire.seeds import furnished, legal
from tests.trust.wire.targets import all_parsers, make, replay

SECONDS: Final = int(os.environ.get("RUNINDEX_FUZZ_SECONDS", "45"))
SEED: Final = int(os.environ.get("RUNINDEX_FUZZ_SEED", str(random.getrandbits(31))))
RUNS_MAX: Final = 1_000_000
RUNS_MIN: Final = 500
"""So few, that less would be no fuzzing: the legal inputs alone are more than a hundred."""

EDGES_MIN: Final = 1_000
"""So few, that less would mean that coverage is not watched: legal inputs alone reach more."""

CASES: Final = sorted((Path(__file__).parent / "cases").glob("*.json"))
FEW: Final = 20_000
HANG_S: Final = 20.0

needs_atheris = pytest.mark.skipif(find_spec("atheris") is None, reason="there is no atheris to fuzz with")


@needs_atheris
def test_no_bytes_of_a_request_come_to_anything_but_an_answer_or_a_refusal(
    tmp_path: Path, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    results = fuzz(tmp_path, ("calls", "parsers"), seed=SEED, runs=RUNS_MAX, seconds=SECONDS)
    with capsys.disabled():
        sys.stdout.write(f"\nseed {SEED}\n" + "".join(f"{result.summary()}\n" for result in results))
    for result in results:
        tally(f"executions of {result.name}", runs=result.executions, failures=int(result.code != 0))

    assert [result.finding for result in results if result.code] == [], f"seed {SEED}"
    for result in results:
        assert result.executions >= RUNS_MIN
        assert result.edges[1] > EDGES_MIN


@pytest.fixture
def turning() -> Iterator[asyncio.AbstractEventLoop]:
    """Return an event loop for calls without sockets."""
    configure_logs("error", "json")
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_every_method_and_parser_begins_with_what_it_accepts(turning: asyncio.AbstractEventLoop) -> None:
    """Fuzzing that begins with refusals would not get far."""
    beginning = furnished(turning)
    answered = {
        name for name, request in legal(beginning) if not make(Callee(turning, beginning), name, request)
    }
    alone = {
        parser.name: sum(parser.run(data) for data in parser.beginnings) > 0
        for parser in all_parsers(lambda: Callee(turning, beginning))
    }

    assert answered == set(beginning.methods)
    assert all(alone.values()), alone


def test_what_was_once_found_is_not_found_again(turning: asyncio.AbstractEventLoop, tally: Tally) -> None:
    beginning = furnished(turning)
    tally("inputs that were once found", runs=len(CASES))
    assert CASES
    for case in CASES:
        calls = json.loads(case.read_text())["calls"]
        replay(Callee(turning, beginning), [(name, bytes.fromhex(request)) for name, request in calls])


@needs_atheris
@pytest.mark.parametrize("fault", ["value-error", "loop", "index-row", "memory"])
def test_a_fault_that_is_planted_is_found(tmp_path: Path, tally: Tally, fault: str) -> None:
    [result] = fuzz(tmp_path, ("calls",), seed=7, runs=FEW, seconds=0, fault=fault, hang_s=HANG_S)
    tally("faults planted into the parsers", runs=1, failures=int(not result.code))

    told = {
        "value-error": "INTERNAL_ERROR",
        "loop": "in pointer",
        "index-row": "differences in the store",
        "memory": "more than ever before",
    }
    assert result.code, f"{fault} was not found: {result.summary()}"
    assert told[fault] in result.finding
