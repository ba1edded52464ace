"""A run as the model has it, and as an answer shows it."""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.property.model_arguments import Answer, canonical_json
from tests.property.model_held import Held

ACTIVE, PAUSED, COMPLETED, FAILED, CANCELLED, ARCHIVED = range(1, 7)
STATES: Final = (ACTIVE, PAUSED, COMPLETED, FAILED, CANCELLED, ARCHIVED)
STATE_NAMES: Final = ("", "ACTIVE", "PAUSED", "COMPLETED", "FAILED", "CANCELLED", "ARCHIVED")
FINISHED: Final = (COMPLETED, FAILED, CANCELLED)
ID_ONLY, BASIC = 1, 2
MINUTE_US: Final = 60_000_000
LAST_US: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999, beyond which the wire has no times."""


@dataclass(frozen=True)
class Transition:
    """A change of a run's state.

    Attributes:
        from_state: The state before it; 0 for the creation.
    """

    from_state: int
    to_state: int
    time_us: int
    version: int


@dataclass
class ModelRun:
    """One run.

    Attributes:
        ordinal: Its place in the order of creation.
        policy: Its own; None until one is set, be it `keep_all`.
        held: Its data.
        cloned_from: The id of the run that it is a copy of.
        transitions: Oldest first, its creation among them.
    """

    ordinal: int
    run_id: str
    create_us: int
    update_us: int
    revision: int
    state: int = ACTIVE
    version: int = 1
    end_us: int | None = None
    error: str | None = None
    tags: list[str] = field(default_factory=list)
    parent: str | None = None
    outcome: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] | None = None
    held: Held = field(default_factory=Held)
    cloned_from: str | None = None
    transitions: list[Transition] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Note its creation."""
        self.transitions.append(Transition(0, self.state, self.create_us, self.version))

    @property
    def state_name(self) -> str:
        """The name by which a query knows its state."""
        return STATE_NAMES[self.state].lower()

    @property
    def outcome_name(self) -> str:
        """The name by which a query knows its outcome; empty for none."""
        return STATE_NAMES[self.outcome or 0].lower()

    @property
    def duration_us(self) -> int | None:
        """How long it took; None before its end."""
        return None if self.end_us is None else self.end_us - self.create_us

    @property
    def expire_us(self) -> int | None:
        """When retention deletes it by its own policy; None for never, and after the year 9999."""
        delete_after_us = (self.policy or {}).get("delete_after")
        if self.end_us is None or delete_after_us is None:
            return None
        expire_us: int = self.end_us + delete_after_us
        return expire_us if expire_us <= LAST_US else None

    @property
    def activity_us(self) -> int:
        """Its last change, or the last write of its data, rounded down to the minute."""
        last_us = max(self.update_us, self.held.write_us)
        return last_us - last_us % MINUTE_US


def shown(run: ModelRun, view: int) -> Answer:
    """Return a run as an answer shows it."""
    if view == ID_ONLY:
        return {"run_id": run.run_id}
    fields = {
        "run_id": run.run_id,
        "state": run.state,
        "version": run.version,
        "create_time": run.create_us,
        "update_time": run.update_us,
        "end_time": run.end_us,
        "duration": run.duration_us,
        "error": run.error,
        "tags": list(run.tags) or None,
        "parent_run_id": run.parent,
        "outcome": run.outcome,
        "revision": run.revision,
        "activity_time": run.activity_us,
        "expire_time": run.expire_us,
        "cloned_from": run.cloned_from,
        "metadata": canonical_json(run.metadata) if run.metadata and view != BASIC else None,
    }
    return {key: value for key, value in fields.items() if value is not None}
