"""The machine's mutations: the life of runs, their fields, and requests that are sent again."""

from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.property import vocabulary as say
from tests.property.machine import MachineFrame, numbers, spelled
from tests.property.model_arguments import DEFAULT, Request, canonical_id
from tests.support.clock import SECOND_US

expectations = st.sampled_from(("", "", "", "right", "right", "next", "zero"))
"""Which `expected_version` a mutation carries."""

identified = st.sampled_from((False, False, True))
"""Whether a mutation carries a request id."""


class LifeRules(MachineFrame):
    """The life of runs, and requests that are sent again."""

    @rule(
        chosen=st.none() | numbers,
        spelling=numbers,
        tags=st.just([]) | say.tag_lists,
        metadata=st.none() | say.metadata,
        is_identified=identified,
    )
    def create(
        self, *, chosen: int | None, spelling: int, tags: list[str], metadata: Any, is_identified: bool
    ) -> None:
        self.call("CreateRun", self._draft(chosen, spelling, tags, metadata, is_identified=is_identified))

    @rule(
        parent=numbers,
        is_parent_known=st.sampled_from((True, True, True, False)),
        chosen=st.none() | numbers,
        spelling=numbers,
        tags=st.just([]) | say.tag_lists,
        metadata=st.none() | say.metadata,
        is_identified=identified,
    )
    def create_child(
        self,
        *,
        parent: int,
        is_parent_known: bool,
        chosen: int | None,
        spelling: int,
        tags: list[str],
        metadata: Any,
        is_identified: bool,
    ) -> None:
        draft = self._draft(chosen, spelling, tags, metadata, is_identified=is_identified)
        parent_run_id = self.run_id(parent, spelling + 1) if is_parent_known else say.UNKNOWN_ID
        self.call("CreateChildRun", {"parent_run_id": parent_run_id, **draft})

    def _draft(
        self, chosen: int | None, spelling: int, tags: list[str], metadata: Any, *, is_identified: bool
    ) -> Request:
        """Return what the two creations have in common."""
        draft: Request = {"tags": tags, **self.conditions(DEFAULT, "", identified=is_identified)}
        if chosen is not None:
            draft["run_id"] = self.any_id(chosen, spelling)
        if metadata is not None:
            draft["metadata"] = metadata
        return draft

    def mutate(
        self, method: str, about: int, spelling: int, expected: str, *, is_identified: bool, **fields: Any
    ) -> None:
        """Send a mutation of a run."""
        run_id = self.run_id(about, spelling)
        conditions = self.conditions(run_id, expected, identified=is_identified)
        self.call(method, {"run_id": run_id, **fields, **conditions})

    @rule(
        method=st.sampled_from(("CloseRun", "FailRun", "CancelRun")),
        about=numbers,
        spelling=numbers,
        expected=expectations,
        is_identified=identified,
        error=st.sampled_from(say.ERRORS),
    )
    def finish(self, *, method: str, error: str, **common: Any) -> None:
        fields = {"error": error} if method == "FailRun" else {}
        self.mutate(method, **common, **fields)

    @rule(
        method=st.sampled_from(("PauseRun", "ResumeRun")),
        about=numbers,
        spelling=numbers,
        expected=expectations,
        is_identified=identified,
    )
    def pause_or_resume(self, *, method: str, **common: Any) -> None:
        self.mutate(method, **common)

    @rule(about=numbers, spelling=numbers, expected=expectations, is_identified=identified)
    def archive(self, **common: Any) -> None:
        self.mutate("ArchiveRun", **common)

    @rule(about=numbers, spelling=numbers, expected=expectations, is_identified=identified)
    def delete(self, **common: Any) -> None:
        self.mutate("DeleteRun", **common)

    @rule(
        about=numbers,
        spelling=numbers,
        expected=expectations,
        is_identified=identified,
        policy=say.policies,
    )
    def set_retention(self, **fields: Any) -> None:
        self.mutate("SetRunRetention", **fields)

    # Requests sent again.

    @precondition(lambda self: self.sent)
    @rule(number=numbers, spelling=numbers)
    def send_again(self, *, number: int, spelling: int) -> None:
        """The same request, its ids perhaps in other spellings: the first answer, whatever happened since."""
        method, request = self.sent[number % len(self.sent)]
        if not self.is_remembered(request["request_id"]):
            return
        again: Request = dict(request)
        for field in request.keys() & {"run_id", "parent_run_id", "new_run_id"}:
            run_id = canonical_id(request[field])
            assert run_id is not None, "only what was not refused is sent again"
            again[field] = spelled(run_id, spelling)
        self.call(method, again)

    @precondition(lambda self: self.sent)
    @rule(number=numbers, field_number=numbers)
    def use_a_request_id_again(self, *, number: int, field_number: int) -> None:
        """Another request under an id that was used, different in one field, or of another method."""
        method, request = self.sent[number % len(self.sent)]
        if not self.is_remembered(request["request_id"]):
            return
        fields = sorted(request.keys() & VARIATIONS.keys())
        if field_number % 4 == 0 or not fields:
            self.call("CreateRun" if method != "CreateRun" else "DeleteRun", _bare(method, request))
            return
        field = fields[field_number // 4 % len(fields)]
        self.call(method, {**request, field: VARIATIONS[field](request[field])})


class WriteRules(LifeRules):
    """All mutations."""

    @initialize(
        drafts=st.lists(
            st.tuples(
                st.booleans(),
                say.tag_lists,
                st.one_of(say.metadata, say.metadata, say.large_metadata),
                say.lives,
                st.sampled_from(say.ERRORS),
            ),
            min_size=2,
            max_size=6,
        )
    )
    def begin_with_some_runs(
        self, *, drafts: list[tuple[bool, list[str], Any, tuple[str, ...], str]]
    ) -> None:
        for number, (is_child, tags, metadata, life, error) in enumerate(drafts):
            draft = {"tags": tags, "metadata": metadata}
            parent = {"parent_run_id": self.run_id(8 * number + 2)} if is_child else {}
            self.call("CreateChildRun" if is_child else "CreateRun", {**draft, **parent})
            run_id = list(self.model.runs)[-1]
            for method in life:
                self.turn(SECOND_US)
                self.call(method, {"run_id": run_id, **({"error": error} if method == "FailRun" else {})})

    @rule(
        about=numbers,
        spelling=numbers,
        expected=expectations,
        is_identified=identified,
        metadata=say.metadata,
        merge=st.booleans(),
    )
    def update_metadata(self, **fields: Any) -> None:
        self.mutate("UpdateRunMetadata", **fields)

    @rule(about=numbers, key=st.sampled_from(("large", "larger")), value=st.sampled_from(say.LARGE))
    def merge_something_large(self, *, about: int, key: str, value: Any) -> None:
        """Two of these pass a bound that each keeps."""
        request = {"run_id": self.run_id(about), "metadata": {key: value}, "merge": True}
        self.call("UpdateRunMetadata", request)

    @rule(
        method=st.sampled_from(("AddRunTags", "RemoveRunTags")),
        about=numbers,
        spelling=numbers,
        expected=expectations,
        is_identified=identified,
        tags=say.tag_lists,
    )
    def change_tags(self, *, method: str, **fields: Any) -> None:
        self.mutate(method, **fields)

    @rule(about=numbers, count=st.sampled_from((62, 64)), first=st.integers(0, 3))
    def add_many_tags(self, *, about: int, count: int, first: int) -> None:
        tags = [f"tag {number}" for number in range(first, first + count)]
        self.call("AddRunTags", {"run_id": self.run_id(about), "tags": tags})

    @rule(about=numbers, tag=st.sampled_from(say.TAGS))
    def remember_that_nothing_changed(self, *, about: int, tag: str) -> None:
        """A call that changed nothing is answered again as it was, although the run has changed since."""
        run_id = self.run_id(about)
        idle = {"run_id": run_id, "tags": [tag], **self.conditions(run_id, "", identified=True)}
        self.call("RemoveRunTags", {"run_id": run_id, "tags": [tag]})
        self.call("RemoveRunTags", idle)
        self.call("AddRunTags", {"run_id": run_id, "tags": [tag]})
        self.call("RemoveRunTags", idle)

    @rule(number=numbers)
    def archive_a_child_and_delete_its_parent(self, *, number: int) -> None:
        children = [run for run in self.model.runs.values() if run.parent not in (None, DEFAULT)]
        if children:
            child = children[number % len(children)]
            self.call("ArchiveRun", {"run_id": child.run_id})
            self.call("DeleteRun", {"run_id": child.parent})


VARIATIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "run_id": lambda _: say.UNKNOWN_ID,
    "parent_run_id": lambda _: say.UNKNOWN_ID,
    "new_run_id": lambda _: say.UNKNOWN_ID,
    "expected_version": lambda version: version + 1,
    "tags": lambda tags: [*tags, "never said before"],
    "metadata": lambda metadata: {**metadata, "never": "said before"},
    "merge": lambda merge: not merge,
    "error": lambda error: error[:-1] + "!",
    "policy": lambda _: {"keep_latest_n": 77},
    "retention": lambda _: {"keep_latest_n": 77},
    "name": lambda _: "never said before",
    "key": lambda _: "never said before",
    "cell": lambda _: "never said before",
    "document": lambda _: "never said before",
    "value": lambda _: {"json": "never said before"},
    "expected": lambda _: {"json": "never said before"},
    "patch": lambda _: "never said before",
    "pointer": lambda _: "/never said before",
    "events": lambda events: [*events, events[0]],
}
"""What makes another request of one, by the field that differs."""


def _bare(method: str, request: Request) -> Request:
    """Return the request of another method: a creation's without a run, else a deletion's."""
    bare = {"request_id": request["request_id"]}
    return {**bare, "run_id": say.UNKNOWN_ID} if method == "CreateRun" else bare
