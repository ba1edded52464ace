"""What RunIndex promises, as a dict of runs: the plain reference with which the machine compares a server.

Written from the contract alone; it knows no gRPC, no store and no module of the server. Requests and answers
are dicts by the contract's field names, with unset fields left out: times and durations in microseconds,
metadata in an answer as canonical JSON.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from tests.property.model_arguments import (
    DEFAULT,
    Answer,
    Refused,
    Request,
    canonical_json,
    checked,
    metadata_bytes,
    metadata_nodes,
)
from tests.property.model_json import merged
from tests.property.model_run import (
    ACTIVE,
    ARCHIVED,
    CANCELLED,
    COMPLETED,
    FAILED,
    FINISHED,
    PAUSED,
    STATE_NAMES,
    STATES,
    ModelRun,
    Transition,
    shown,
)
from tests.property.model_search import Query, asks_for_archived

NEXT_STATES: Final = {
    ACTIVE: (COMPLETED, FAILED, CANCELLED, PAUSED, ARCHIVED),
    PAUSED: (ACTIVE, CANCELLED, ARCHIVED),
    COMPLETED: (ARCHIVED,),
    FAILED: (ARCHIVED,),
    CANCELLED: (ARCHIVED,),
    ARCHIVED: (),
}
LIFECYCLE: Final = {
    "CloseRun": COMPLETED,
    "PauseRun": PAUSED,
    "ResumeRun": ACTIVE,
    "FailRun": FAILED,
    "CancelRun": CANCELLED,
    "ArchiveRun": ARCHIVED,
}
OPERATIONS: Final = {
    "CloseRun": "close",
    "PauseRun": "pause",
    "ResumeRun": "resume",
    "FailRun": "fail",
    "CancelRun": "cancel",
    "ArchiveRun": "archive",
    "DeleteRun": "delete",
    "SetRunRetention": "set delete_after",
    "UpdateRunMetadata": "update metadata",
    "AddRunTags": "add tags",
    "RemoveRunTags": "remove tags",
}
FROZEN: Final = ("UpdateRunMetadata", "AddRunTags", "RemoveRunTags")
CREATIONS: Final = ("CreateRun", "CreateChildRun")
MUTATIONS: Final = (*CREATIONS, *OPERATIONS)
KEEP_ALL: Final[dict[str, Any]] = {"keep_all": {}}
TAGS_MAX: Final = 64
METADATA_BYTES_MAX: Final = 64 * 1024
METADATA_NODES_MAX: Final = 5_000


@dataclass(frozen=True)
class Cursor:
    """What the model knows of a page token: its query, and the run before which the next page goes on."""

    ordinal: int
    now_us: int


class Model:
    """A store with one caller.

    Attributes:
        mutations: The methods that write.
        runs: All runs by id.
        wall_us: The wall clock; the machine moves it.
        issued_us: The last time that the store issued.
    """

    mutations: tuple[str, ...] = MUTATIONS

    def __init__(self, *, create_us: int, revision: int) -> None:
        """Begin as a new store does: with the default run."""
        self.wall_us = self.issued_us = create_us
        self.revision = revision
        self.ordinal = 1
        self.runs = {DEFAULT: ModelRun(1, DEFAULT, create_us, create_us, revision)}
        self.remembered: dict[str, tuple[str, str, Answer, int]] = {}

    def call(self, method: str, request: Request, *, made_id: str = "") -> Answer:
        """Answer a call that is no page.

        Args:
            method: Of the 24, or what a heir knows beside them.
            request: As it is sent.
            made_id: The id that the server made, for a creation without one.

        Raises:
            Refused: The contract refuses it.
        """
        args = self._checked(method, request)
        if method not in self.mutations:
            return self._read(method, args)
        request_id = args.pop("request_id", None)
        if request_id in self.remembered:
            was_method, was_args, answer, _ = self.remembered[request_id]
            if (was_method, was_args) != (method, canonical_json(args)):
                self._refuse("REQUEST_ID_REUSED", field="request_id", requestId=request_id)
            return deepcopy(answer)
        kept = canonical_json(args)
        answer = self._write(method, args, made_id)
        if request_id is not None:
            # Remembering is a write, and carries the store's time.
            self.issued_us = max(self.issued_us, self.wall_us)
            self.remembered[request_id] = (method, kept, deepcopy(answer), self.issued_us)
        return answer

    def page(
        self, method: str, request: Request, *, cursor: Any, query: Query | None = None
    ) -> tuple[Answer, Any]:
        """Answer one page of a collection, and tell where the next begins.

        Args:
            method: Of the five collections.
            request: As it is sent, without its token.
            cursor: Of the page before; None for the first.
            query: What the text of a search means.

        Raises:
            Refused: The contract refuses it.
        """
        args = checked(method, request)
        now_us = self.wall_us if cursor is None else cursor.now_us
        below = [run for run in self._newest_first() if cursor is None or run.ordinal < cursor.ordinal]
        found = [run for run in below if self._is_listed(method, args, run, query, now_us)]
        found = found[args.get("skip", 0) :]
        size = min(args.get("page_size", 0) or (10 if method == "SearchRuns" else 100), 1_000)
        runs = found[:size]
        answer: Answer = {"revision": self.revision}
        if runs:
            answer["runs"] = [shown(run, args.get("view", 0)) for run in runs]
        return answer, Cursor(runs[-1].ordinal, now_us) if len(found) > size else None

    def _checked(self, method: str, request: Request) -> Request:
        """Return a request in canonical form."""
        return checked(method, request)

    # Reads.

    def _read(self, method: str, args: Request) -> Answer:
        """Answer a read of one run, or a count."""
        if method == "CountRuns":
            return self._count(args)
        if method == "RunExists":
            return self._answer(exists=args["run_id"] in self.runs or None)
        run = self._found(args["run_id"])
        match method:
            case "GetRun":
                return self._answer(run=shown(run, args.get("view", 0)))
            case "GetRunTags":
                return self._answer(tags=list(run.tags) or None)
            case "GetParentRun":
                return self._answer(parent_run_id=run.parent)
            case _:
                return self._answer(policy=dict(run.policy or KEEP_ALL))

    def _count(self, args: Request) -> Answer:
        """Count runs by state."""
        asked = [state for state in STATES if self._is_of_states(args, state)]
        counts = {state: sum(run.state == state for run in self.runs.values()) for state in asked}
        rows = [
            {"state": state, "count": count} if count else {"state": state} for state, count in counts.items()
        ]
        return self._answer(count=sum(counts.values()) or None, by_state=rows)

    def _newest_first(self) -> list[ModelRun]:
        """Return all runs in the order of every collection."""
        return sorted(self.runs.values(), key=lambda run: -run.ordinal)

    @staticmethod
    def _is_of_states(args: Request, state: int) -> bool:
        """Tell whether the common filter of states lets a state through."""
        if args.get("states"):
            return state in args["states"]
        return state != ARCHIVED or bool(args.get("include_archived"))

    def _is_listed(self, method: str, args: Request, run: ModelRun, query: Query | None, now_us: int) -> bool:
        """Tell whether a collection holds a run."""
        if method == "QueryRunsByState":
            return bool(run.state == args["state"])
        if query is not None:
            hidden = (
                run.state == ARCHIVED and not args.get("include_archived") and not asks_for_archived(query)
            )
            return not hidden and query.matches(run, now_us)
        if not self._is_of_states(args, run.state):
            return False
        if method == "QueryRunsByTag":
            return args["tag"] in run.tags
        return method == "ListRuns" or run.parent == args["run_id"]

    # Writes.

    def _write(self, method: str, args: Request, made_id: str) -> Answer:
        """Answer a mutation that was not answered before."""
        return self._create(args, made_id) if method in CREATIONS else self._mutate(method, args)

    def _create(self, args: Request, made_id: str) -> Answer:
        """Create a root or a child."""
        run_id = args.get("run_id", made_id)
        parent = args.get("parent_run_id")
        self._check_place(run_id, parent)
        run = self._new_run(run_id, parent)
        run.tags = list(dict.fromkeys(args.get("tags", [])))
        run.metadata = deepcopy(args.get("metadata", {}))
        return self._answer(run=shown(run, 0))

    def _check_place(self, run_id: str, parent: str | None) -> None:
        """Refuse an id that is taken, and a parent that is not there."""
        if run_id in self.runs:
            self._refuse("RUN_ALREADY_EXISTS", runId=run_id)
        if parent is not None and parent not in self.runs:
            self._refuse("PARENT_RUN_NOT_FOUND", parentRunId=parent)

    def _new_run(self, run_id: str, parent: str | None) -> ModelRun:
        """Return a run that is there from now on, and empty."""
        self.issued_us = max(self.issued_us + 1, self.wall_us)
        self.revision += 1
        self.ordinal += 1
        run = ModelRun(self.ordinal, run_id, self.issued_us, self.issued_us, self.revision, parent=parent)
        self.runs[run_id] = run
        return run

    def _mutate(self, method: str, args: Request) -> Answer:
        """Apply a change of a run that exists."""
        run = self._found(args["run_id"])
        protected = method in LIFECYCLE or method == "DeleteRun" or "delete_after" in args.get("policy", ())
        if run.run_id == DEFAULT and protected:
            self._refuse("DEFAULT_RUN_PROTECTED", runId=DEFAULT, operation=OPERATIONS[method])
        if method in FROZEN and run.state == ARCHIVED:
            self._refuse("RUN_ARCHIVED", runId=run.run_id, operation=OPERATIONS[method])
        expected = args.get("expected_version", run.version)
        if expected != run.version:
            self._refuse(
                "VERSION_MISMATCH",
                runId=run.run_id,
                expectedVersion=str(expected),
                currentVersion=str(run.version),
            )
        if method == "DeleteRun":
            return self._delete(run)
        if method in LIFECYCLE:
            self._move(run, LIFECYCLE[method], args)
        elif not self._apply(method, run, args):
            return self._answer(version=run.version, update_time=run.update_us)
        else:
            self._touch(run)
        return self._answer(version=run.version, update_time=run.update_us)

    def _touch(self, run: ModelRun) -> None:
        """Give a changed run its next version, revision and time."""
        self.issued_us = max(self.issued_us, self.wall_us)
        self.revision += 1
        run.version += 1
        run.revision, run.update_us = self.revision, self.issued_us

    def _move(self, run: ModelRun, state: int, args: Request) -> None:
        """Make a transition."""
        if state not in NEXT_STATES[run.state]:
            self._refuse(
                "INVALID_STATE_TRANSITION",
                runId=run.run_id,
                fromState="RUN_STATE_" + STATE_NAMES[run.state],
                toState="RUN_STATE_" + STATE_NAMES[state],
                allowedStates=",".join(
                    "RUN_STATE_" + STATE_NAMES[one] for one in sorted(NEXT_STATES[run.state])
                ),
            )
        self._touch(run)
        run.transitions.append(Transition(run.state, state, run.update_us, run.version))
        run.state = state
        run.error = args.get("error", run.error)
        if state in FINISHED:
            run.outcome = state
        if run.end_us is None and state in (*FINISHED, ARCHIVED):
            run.end_us = run.update_us

    def _delete(self, run: ModelRun) -> Answer:
        """Remove a run. Its children stay, and are counted."""
        self.issued_us = max(self.issued_us, self.wall_us)
        self.revision += 1
        orphaned = sum(other.parent == run.run_id for other in self.runs.values())
        del self.runs[run.run_id]
        return self._answer(receipt=without_zeros(**run.held.counts(), orphaned_children=orphaned))

    def _apply(self, method: str, run: ModelRun, args: Request) -> bool:
        """Change tags, metadata or retention, and tell whether that changed anything."""
        match method:
            case "AddRunTags":
                tags = list(dict.fromkeys([*run.tags, *args["tags"]]))
                self._check_limits(run.run_id, tags, {})
                changed, run.tags = tags != run.tags, tags
            case "RemoveRunTags":
                tags = [tag for tag in run.tags if tag not in args["tags"]]
                changed, run.tags = tags != run.tags, tags
            case "UpdateRunMetadata":
                patch = args["metadata"]
                metadata = merged(run.metadata, patch) if args.get("merge") else deepcopy(patch)
                self._check_limits(run.run_id, [], metadata)
                changed = canonical_json(metadata) != canonical_json(run.metadata)
                run.metadata = metadata
            case _:
                # Said explicitly, `keep_all` exempts a run from the default policy, and changes nothing else.
                changed, run.policy = args["policy"] != (run.policy or KEEP_ALL), args["policy"]
        return changed

    def _check_limits(self, run_id: str, tags: list[str], metadata: dict[str, Any]) -> None:
        """Refuse more than a run may have."""
        for limit, found, maximum in (
            ("tags", len(tags), TAGS_MAX),
            ("bytes of metadata", metadata_bytes(metadata), METADATA_BYTES_MAX),
            ("values of metadata", metadata_nodes(metadata), METADATA_NODES_MAX),
        ):
            if found > maximum:
                self._refuse("LIMIT_EXCEEDED", runId=run_id, limit=limit, maximum=str(maximum))

    # What both share.

    def _found(self, run_id: str) -> ModelRun:
        """Return a run that must exist."""
        if run_id not in self.runs:
            self._refuse("RUN_NOT_FOUND", runId=run_id)
        return self.runs[run_id]

    def _answer(self, **fields: Any) -> Answer:
        """Return an answer: the fields that are set, and the store's revision."""
        return {
            **{key: value for key, value in fields.items() if value is not None},
            "revision": self.revision,
        }

    def _refuse(self, reason: str, **metadata: str) -> NoReturn:
        """Refuse something for what the store holds."""
        raise Refused(reason, {**metadata, "revision": str(self.revision)})


def without_zeros(**numbers: int) -> Answer:
    """Return the numbers that an answer shows: those other than 0."""
    return {name: number for name, number in numbers.items() if number}
