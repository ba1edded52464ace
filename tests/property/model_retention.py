"""What retention promises: which versions, events and runs go in a pass, told from the definitions alone.

A pass acts on the wall clock as it stands, which may be behind the times of what was written last.
"""

from dataclasses import dataclass
from typing import Any, Final

from tests.property.model import KEEP_ALL, without_zeros
from tests.property.model_arguments import DEFAULT, Answer
from tests.property.model_clock import ClockModel, Schedule
from tests.property.model_held import Event, Item, Version
from tests.property.model_run import ModelRun
from tests.property.model_templates import TemplatesModel

Policy = dict[str, Any]

NO_POLICY: Final[Policy] = KEEP_ALL


@dataclass(frozen=True)
class Going:
    """What goes of a run that stays.

    Attributes:
        versions: By item, identified by its kind and name.
        events: The events.
    """

    versions: dict[tuple[str, str], list[Version]]
    events: list[Event]

    def told(self) -> Answer:
        """Return what a compaction tells of it."""
        versions = [version for gone in self.versions.values() for version in gone]
        size = sum(version.bytes for version in versions) + sum(event.bytes for event in self.events)
        return without_zeros(versions=len(versions), events=len(self.events), bytes=size)


class StoreModel(TemplatesModel):
    """A store with one caller, what its runs hold, and what retention makes of it.

    Attributes:
        default_policy: What acts on runs without a policy of their own.
        clock: What is known of the clock's jumps.
        schedule: When the next pass is scheduled.
        last_compaction: The summary of the last pass but dry runs, without its duration; None before it.
    """

    def __init__(self, *, create_us: int, revision: int, default_policy: Policy = NO_POLICY) -> None:
        """Begin as a new store does."""
        super().__init__(create_us=create_us, revision=revision)
        self.default_policy = default_policy
        self.clock = ClockModel()
        self.schedule = Schedule()
        self.last_compaction: Answer | None = None

    def policy_of(self, run: ModelRun) -> Policy:
        """Return the policy that acts on a run."""
        return self.default_policy if run.policy is None else run.policy

    def preview(self) -> dict[str, Answer]:
        """Return what a pass tells at this moment of each run that it concerns, by id."""
        told = {}
        for run in self.runs.values():
            policy = self.policy_of(run)
            if self._is_expired(run, policy):
                assert run.end_us is not None
                gone = without_zeros(bytes=run.held.bytes) | {"run_deleted": True, "end_time": run.end_us}
            else:
                gone = self.going(run).told()
            if gone:
                told[run.run_id] = {"run_id": run.run_id, "policy": policy, **gone}
                if run.policy is None:
                    told[run.run_id]["is_default_policy"] = True
        return told

    def going(self, run: ModelRun) -> Going:
        """Return what a pass removes at this moment of a run that stays."""
        items = {(kind, name): item for kind, items in run.held.items.items() for name, item in items.items()}
        versions = {key: self._versions_going(run, item) for key, item in items.items()}
        return Going({key: gone for key, gone in versions.items() if gone}, self._events_going(run))

    def start(self, wall_us: int, monotonic_us: int) -> None:
        """Start the server, again or for the first time."""
        self.clock.restart()
        self.clock.note(wall_us, monotonic_us)
        last_us = self.last_compaction["start_time"] if self.last_compaction else None
        self.schedule.start(wall_us, monotonic_us, last_us=last_us)

    def compact(self, *, revision: int) -> None:
        """Do what `preview` tells, and take the store's revision after it. A pass issues the store's time."""
        told = self.preview()
        self.issued_us = max(self.issued_us, self.wall_us)
        for run_id, piece in told.items():
            if piece.get("run_deleted"):
                del self.runs[run_id]
            else:
                self._trim(self.runs[run_id])
        self.revision = revision
        self.last_compaction = {"start_time": self.wall_us, **summary_of(told)}

    def _trim(self, run: ModelRun) -> None:
        """Remove what goes of a run that stays."""
        going = self.going(run)
        for (kind, name), versions in going.versions.items():
            item = run.held.items[kind][name]
            item.versions = [version for version in item.versions if version not in versions]
        run.held.events = [event for event in run.held.events if event not in going.events]

    def _is_expired(self, run: ModelRun, policy: Policy) -> bool:
        """Tell whether a run goes as a whole."""
        if run.run_id == DEFAULT or run.end_us is None or "delete_after" not in policy:
            return False
        return bool(run.end_us + policy["delete_after"] <= self.wall_us)

    def _versions_going(self, run: ModelRun, item: Item) -> list[Version]:
        """Return which versions of an item go: never the last."""
        policy, superseded = self.policy_of(run), item.versions[:-1]
        if "keep_duration" in policy:
            following = item.versions[1:]
            return [
                version
                for version, next_version in zip(superseded, following, strict=True)
                if next_version.write_us + policy["keep_duration"] <= self.wall_us
            ]
        if "keep_latest_n" not in policy:
            return []
        return [
            version for version in superseded if version.number <= item.last_number - policy["keep_latest_n"]
        ]

    def _events_going(self, run: ModelRun) -> list[Event]:
        """Return which events of a run go."""
        policy, events = self.policy_of(run), run.held.events
        if "keep_duration" in policy:
            return [event for event in events if event.append_us + policy["keep_duration"] <= self.wall_us]
        if "keep_latest_n" not in policy:
            return []
        return [
            event
            for event in events
            if sum(other.stream == event.stream and other.sequence > event.sequence for other in events)
            >= policy["keep_latest_n"]
        ]


def summary_of(told: dict[str, Answer]) -> Answer:
    """Return the summary of what a compaction told of each run."""
    trimmed = [piece for piece in told.values() if not piece.get("run_deleted")]
    return without_zeros(
        runs_deleted=len(told) - len(trimmed),
        runs_trimmed=len(trimmed),
        versions=sum(piece.get("versions", 0) for piece in trimmed),
        events=sum(piece.get("events", 0) for piece in trimmed),
        bytes=sum(piece.get("bytes", 0) for piece in told.values()),
    )
