"""The machine's retention: policies, compactions, their previews, defaults that change, clocks that jump."""

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.property import vocabulary as say_of_runs
from tests.property import vocabulary_data as say
from tests.property.machine import compare, numbers, outcome_of
from tests.property.model import KEEP_ALL
from tests.property.model_arguments import DEFAULT, Answer, Refused, canonical_id
from tests.property.model_retention import Policy, summary_of
from tests.property.model_run import STATES, ModelRun
from tests.property.rules_data import holders
from tests.property.rules_data_read import DataReadRules
from tests.property.rules_world import WorldRules
from tests.property.rules_write import expectations, identified
from tests.property.wire import compact, drifts, status
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US

AMOUNTS: Final = ("versions", "events", "bytes")
NEAR_US: Final = 400 * DAY_US
"""How far ahead the machine waits for something to be due."""


class RetentionRules(DataReadRules, WorldRules):
    """Retention, enforced on demand and on a schedule."""

    retention_interval_s = 600

    @initialize(
        policy=say.default_policies,
        lives=st.lists(
            st.tuples(say_of_runs.lives, say.names, st.lists(say.contents, max_size=4)),
            min_size=1,
            max_size=4,
        ),
    )
    def begin_with_some_runs(
        self, *, policy: Policy, lives: list[tuple[tuple[str, ...], str, list[Any]]]
    ) -> None:
        """Which hold something, and some have ended, under a store-wide policy."""
        for life, name, contents in lives:
            self.call("CreateRun", {})
            run_id = list(self.model.runs)[-1]
            for number, content in enumerate(contents):
                self.call("PutValue", {"run_id": run_id, "key": name, "value": content})
                self.call("SetState", {"run_id": run_id, "cell": name, "value": content})
                draft = {"stream": say.STREAMS[number % 2], "value": content}
                self.call("AppendEvents", {"run_id": run_id, "events": [draft]})
            for method in life:
                self.turn(SECOND_US)
                error = {"error": "broken"} if method == "FailRun" else {}
                self.call(method, {"run_id": run_id, **error})
        self.serve_with(policy)

    @rule(policy=say.default_policies)
    def restart_with_another_default_policy(self, *, policy: Policy) -> None:
        self.serve_with(policy)

    def serve_with(self, policy: Policy) -> None:
        """Start the server again with a store-wide policy."""
        self.channel.close()
        self.server.stop()
        self.server = self.start_server(policy)
        self.connect()
        self.note_start()
        self.model.default_policy = policy

    @rule(
        about=holders,
        expected=expectations,
        is_identified=identified,
        policy=say.retention,
        is_enforced=st.booleans(),
    )
    def set_a_near_policy(
        self, *, about: int, expected: str, is_identified: bool, policy: Policy, is_enforced: bool
    ) -> None:
        run_id = self.run_id(about)
        conditions = self.conditions(run_id, expected, identified=is_identified)
        self.call("SetRunRetention", {"run_id": run_id, "policy": policy, **conditions})
        if is_enforced:
            self.enforce(trust_clock=True)

    @rule(
        about=holders,
        policy=st.sampled_from((None, KEEP_ALL)) | say.retention,
        comes_first=st.booleans(),
        names=st.lists(say.names, min_size=1, max_size=3),
        contents=st.lists(say.contents, min_size=1, max_size=5),
        pause_us=st.sampled_from((0, 1, HOUR_US // 2)),
        wait_us=st.sampled_from((0, 1, HOUR_US, DAY_US)),
    )
    def fill_and_trim(
        self,
        *,
        about: int,
        policy: Policy | None,
        comes_first: bool,
        names: list[str],
        contents: list[Any],
        pause_us: int,
        wait_us: int,
    ) -> None:
        """A policy, its own or the default, that is there before the data or comes after it."""
        run_id = self.run_id(about)
        retention = {"run_id": run_id, "policy": policy}
        if policy is not None and comes_first:
            self.call("SetRunRetention", retention)
        self.fill(run_id, names, contents, pause_us)
        if policy is not None and not comes_first:
            self.call("SetRunRetention", retention)
        self.turn(wait_us)
        self.preview_and_enforce()

    @rule(
        about=holders,
        policy=say.durations,
        names=st.lists(say.names, min_size=1, max_size=2),
        contents=st.lists(say.contents, min_size=2, max_size=4),
        pause_us=st.sampled_from((0, 1, MINUTE_US)),
        number=numbers,
    )
    def fill_and_wait(
        self,
        *,
        about: int,
        policy: Policy,
        names: list[str],
        contents: list[Any],
        pause_us: int,
        number: int,
    ) -> None:
        """Until a microsecond before something is due, and then to that microsecond."""
        run_id = self.run_id(about)
        self.fill(run_id, names, contents, pause_us)
        if "delete_after" in policy:
            self.call("CancelRun", {"run_id": run_id})
        self.call("SetRunRetention", {"run_id": run_id, "policy": policy})
        run = self.model.runs.get(canonical_id(run_id) or "")
        times = [at_us for at_us in self.due_times(run) if at_us > self.model.wall_us] if run else []
        for near_us in (-1, 0) if times else ():
            self.turn(times[number % len(times)] + near_us - self.model.wall_us)
            self.enforce(trust_clock=True)

    @rule(
        number=numbers,
        contents=st.lists(say.contents, min_size=2, max_size=3),
        is_expired=st.booleans(),
        runs_jobs=st.booleans(),
    )
    def live_again(self, *, number: int, contents: list[Any], is_expired: bool, runs_jobs: bool) -> None:
        """A run that is created again holds nothing, and pages of the one before do not go on in it."""
        run_id = say_of_runs.CHOSEN_IDS[number % len(say_of_runs.CHOSEN_IDS)]
        self.call("CreateRun", {"run_id": run_id})
        self.fill(run_id, ["k", "k1"], contents, 0)
        whole = {"run_id": run_id, "page_size": 1}
        walks = [
            self.page("ListValues", whole),
            self.page("GetValueHistory", {**whole, "key": "k"}),
            self.page("ReadEvents", whole),
        ]
        if is_expired:
            self.call("CancelRun", {"run_id": run_id})
            self.call("SetRunRetention", {"run_id": run_id, "policy": {"delete_after": 1_000}})
            self.turn(SECOND_US)
            self.enforce(trust_clock=True)
        else:
            self.call("DeleteRun", {"run_id": run_id})
        self.call("CreateRun", {"run_id": run_id})
        self.look_at(self.model.runs[run_id])
        if runs_jobs:
            self.run_jobs(waited_us=0)
        self.fill(run_id, ["k", "k1"], contents, 0)
        for walk in walks:
            if walk is not None:
                self.page(walk.method, walk.request, walk=walk)

    def fill(self, run_id: str, names: list[str], contents: list[Any], pause_us: int) -> None:
        """Write versions of keys and documents, and events."""
        for number, content in enumerate(contents):
            name = names[number % len(names)]
            self.call("PutValue", {"run_id": run_id, "key": name, "value": content})
            document = content.get("json")
            self.call("SetDocument", {"run_id": run_id, "document": name, "value": document})
            drafts = [{"stream": stream, "value": content} for stream in say.STREAMS[: number % 3 + 1]]
            self.call("AppendEvents", {"run_id": run_id, "events": drafts})
            self.turn(pause_us)

    # The clock.

    @rule(
        stride_us=st.sampled_from((HOUR_US - 1, HOUR_US, HOUR_US + 1, 3 * HOUR_US, 3 * DAY_US)),
        noted_by=st.sampled_from(("", "jobs", "start", "pass")),
        waits=st.lists(st.sampled_from((1, HOUR_US - 1, HOUR_US, DAY_US)), max_size=2),
        back_us=st.sampled_from((0, 0, 1, HOUR_US, 3 * DAY_US)),
    )
    def jump_ahead(self, *, stride_us: int, noted_by: str, waits: list[int], back_us: int) -> None:
        """The wall clock is set forward while no time passes; then some does, and it may be put right."""
        self.clock.set(self.clock.now_us() + stride_us)
        self.turn(0)
        if noted_by == "jobs":
            self.run_jobs(waited_us=0)
        if noted_by == "start":
            self.restart(rewound_us=0)
        for wait_us in (0, *waits):
            if noted_by == "pass":
                self.enforce(trust_clock=False)
            self.turn(wait_us)
        self.turn(-back_us)
        self.enforce(trust_clock=False)

    @rule(number=numbers, near_us=st.sampled_from((-1, 0, 0, 1)))
    def wait_until_something_is_due(self, *, number: int, near_us: int) -> None:
        """To the very microsecond; then retention is enforced."""
        times = [at_us for run in self.model.runs.values() for at_us in self.due_times(run)]
        times = sorted(at_us for at_us in times if 0 < at_us - self.model.wall_us < NEAR_US)
        if times:
            self.turn(times[number % len(times)] + near_us - self.model.wall_us)
            self.enforce(trust_clock=number % 4 == 0)

    def due_times(self, run: ModelRun) -> list[int]:
        """Return when something of a run becomes due by the policy as it is."""
        policy = self.model.policy_of(run)
        if "keep_duration" in policy:
            superseded = [version.write_us for item in run.held.all_items() for version in item.versions[1:]]
            appended = [event.append_us for event in run.held.events]
            return [at_us + policy["keep_duration"] for at_us in superseded + appended]
        if "delete_after" in policy and run.end_us is not None and run.run_id != DEFAULT:
            return [run.end_us + policy["delete_after"]]
        return []

    # Compactions.

    @rule(dry_run=st.sampled_from((True, False, False)), trust_clock=st.sampled_from((False, False, True)))
    def compact(self, *, dry_run: bool, trust_clock: bool) -> None:
        if dry_run and trust_clock:
            self.refused(Refused("INVALID_FIELD", {"field": "trust_clock"}), dry_run=True, trust_clock=True)
        elif dry_run:
            self.preview()
        else:
            self.enforce(trust_clock=trust_clock)

    @rule()
    def preview_and_enforce(self) -> None:
        """A dry run tells what the pass after it does."""
        told = self.preview()
        assert self.enforce(trust_clock=True) == told

    def preview(self) -> dict[str, Answer]:
        """Ask for a dry run, and return what it told of each run."""
        told, revision = self.told(dry_run=True)
        assert revision == self.model.revision, "a dry run writes nothing"
        return told

    def enforce(self, *, trust_clock: bool) -> dict[str, Answer]:
        """Ask for a pass, and return what it told of each run."""
        ahead_us = self.begin_pass(trust_clock=trust_clock)
        if ahead_us:
            self.refused(Refused("CLOCK_JUMPED", {"aheadSeconds": str(ahead_us // 10**6)}))
            return {}
        told, revision = self.told(dry_run=False, trust_clock=trust_clock)
        self.end_pass(told, revision)
        return told

    def note_jobs(self) -> None:
        """Let the model know that the background jobs have run, a scheduled pass among them."""
        super().note_jobs()
        if self.model.schedule.is_due(self.clock.monotonic_us()) and not self.begin_pass(trust_clock=False):
            answer = self.answer_of("GetRun", {"run_id": DEFAULT})
            assert not isinstance(answer, Refused)
            self.end_pass(self.model.preview(), answer["revision"])

    def begin_pass(self, *, trust_clock: bool) -> int:
        """Let the model know of a pass that is to be taken; return how long the clock is not trusted."""
        wall_us, monotonic_us = self.clock.now_us(), self.clock.monotonic_us()
        self.model.clock.note(wall_us, monotonic_us, trust=trust_clock)
        self.model.schedule.go_on(monotonic_us)
        return self.model.clock.ahead_us(wall_us, monotonic_us)

    def end_pass(self, told: dict[str, Answer], revision: int) -> None:
        """Let the model do what a pass has done, and look at what is left."""
        removed = sum(1 + piece.get("versions", 0) + piece.get("events", 0) for piece in told.values())
        assert bool(told) == (revision > self.model.revision), f"{told} made a revision, {revision}, or none"
        assert revision <= self.model.revision + removed
        self.model.compact(revision=revision)
        for run_id in told.keys() & self.model.runs.keys():
            self.look_at(self.model.runs[run_id])

    def refused(self, expected: Refused, **request: bool) -> None:
        """Ask for a compaction that is refused."""
        answer = outcome_of(lambda: {"pieces": compact(self.stub, **request)})
        compare("Compact", request, answer, expected)

    def told(self, **request: bool) -> tuple[dict[str, Answer], int]:
        """Ask for a compaction, and return what it told of each run, compared, and its last revision."""
        expected = self.model.preview()
        answer = compact(self.stub, **request)
        *pieces, last = answer
        summary, revisions = last["summary"], [piece["revision"] for piece in answer]
        assert revisions == sorted(revisions)
        assert revisions[0] >= self.model.revision
        assert summary.pop("duration") == 0, "no time passed"
        told = joined([piece["run"] for piece in pieces])
        expected_summary = {"start_time": self.model.wall_us, **summary_of(told)}
        if request.get("dry_run"):
            expected_summary["dry_run"] = True
        assert told == expected, f"Compact {request}\n  server: {told}\n  model:  {expected}"
        assert summary == expected_summary, f"{told}\n  {summary} is not {expected_summary}"
        return told, revisions[-1]

    # Status, and the whole store.

    @rule()
    def ask_for_the_status(self) -> None:
        told = status(self.stub)
        retention = told.get("retention", {})
        if "last" in retention:
            assert retention["last"].pop("duration") == 0
        wall_us, policy = self.model.wall_us, self.model.default_policy
        ahead_us = self.model.clock.ahead_us(wall_us, self.clock.monotonic_us())
        expected = {
            "default_policy": None if policy == KEEP_ALL else policy,
            "last": self.model.last_compaction,
            "next_time": self.model.schedule.next_time_us(wall_us, self.clock.monotonic_us()),
            "clock_jump": {"ahead": ahead_us, "resume_time": wall_us + ahead_us} if ahead_us else None,
        }
        assert retention == {field: value for field, value in expected.items() if value is not None}
        assert told["revision"] == self.model.revision
        counts = {row["state"]: row.get("count", 0) for row in told["runs"]}
        assert counts == {
            state: sum(run.state == state for run in self.model.runs.values()) for state in STATES
        }

    @rule()
    def verify(self) -> None:
        """Everything follows from the records, as the server itself sees it."""
        found = drifts(self.stub)
        assert not found, f"drifts: {found}"


def joined(pieces: list[Answer]) -> dict[str, Answer]:
    """Return what a compaction told of each run, its pieces added up; those of one run follow each other."""
    told: dict[str, Answer] = {}
    for piece in pieces:
        run_id = piece["run_id"]
        if run_id not in told:
            told[run_id] = dict(piece)
            continue
        assert run_id == list(told)[-1], f"pieces of {run_id} lie apart"
        for field in AMOUNTS:
            if field in piece:
                told[run_id][field] = told[run_id].get(field, 0) + piece[field]
    return told
