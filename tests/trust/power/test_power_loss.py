"""Power loss: whatever was not flushed is lost in any combination, and no promise is broken.

A real server creates a store and serves twelve clients at once; all that it writes and flushes is recorded,
with what the clients asked for and were told. At each moment of that the power is lost: of what was not
flushed nothing is left, all, all but one page or name, some, some torn at 512 bytes. The product opens each
state, and must find every acknowledged write, nothing that nobody asked for, every page sound, and whatever
follows from records as it follows; deletions under way must come to their end.
"""

import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.support.tally import Tally
from tests.trust.power.campaign import rounds
from tests.trust.power.disk import PAGE_BYTES, Disk
from tests.trust.power.recorder import record
from tests.trust.power.stage import DATA_FILE
from tests.trust.power.trace import Event, Kind, read_log

STATES: Final = 20_000
ROUNDS_MAX: Final = 10

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc for the recorder")


def test_no_loss_of_power_breaks_a_promise(tally: Tally) -> None:
    for each in rounds(STATES, rounds_max=ROUNDS_MAX):
        print(f"seed {each.seed}: {each.explored.summary()}")  # noqa: T201  # Shown when it fails, or asked for.
        total, counts = each.total, each.total.counts
        check_breadth(list(read_log(each.recording.log)))

    tally("distinct states of the disk", runs=len(total.digests), failures=len(total.failures))
    assert total.failures == []
    assert len(total.digests) >= STATES
    # Every different state was opened, and its pages were verified or are those of one that was.
    assert counts.opened >= len(total.digests)
    assert counts.opened == counts.begun_anew + counts.pages_verified + counts.pages_same
    assert counts.begun_anew > 0
    assert counts.committed > 50
    assert counts.resumed > 20


def check_breadth(events: list[Event]) -> None:
    """Check that a recording has what the test is about: groups of several writes, and work behind them."""
    groups, acknowledged = [], 0
    for event in events:
        if event.kind is Kind.WRITTEN:
            groups.append(acknowledged)
            acknowledged = 0
        acknowledged += event.kind is Kind.ACKNOWLEDGED
    assert max(groups) >= 3
    # Merging and erasing commit by themselves.
    assert groups.count(0) > 5


def test_a_recording_replayed_to_its_end_is_what_the_server_left(shim: Path, work: Path) -> None:
    """Were a write missed, the replayed file would differ from the real one."""
    recording = record(work / "one", shim, calls=100, seed=7)
    disk = Disk()
    for event in read_log(recording.log):
        if event.kind < Kind.BEGUN:
            disk.apply(event)
    tree = disk.tree(disk.pending)

    real = {str(path.relative_to(recording.folder)) for path in recording.folder.rglob("*")}
    assert set(tree) == real
    node = tree[DATA_FILE]
    assert node is not None
    file = disk.overlay(node, disk.pending)
    pages = b"".join(file.page(number) for number in range(-(-file.size // PAGE_BYTES)))
    assert pages[: file.size] == (recording.folder / DATA_FILE).read_bytes()
    # When nobody waits for an answer any more, nothing is left to chance.
    assert [piece for piece in disk.pending if piece.node == node] == []
