"""The machine's refusals: arguments that the contract does not take, and queries that cannot be read."""

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.property import vocabulary as say
from tests.property.machine import MachineFrame, compare, numbers, outcome_of
from tests.property.model_arguments import CHECKS, Refused, Request
from tests.property.model_insights_arguments import INSIGHT_CHECKS
from tests.property.model_templates_arguments import TEMPLATE_CHECKS
from tests.property.wire import field_names
from tests.support.clock import DAY_US, HOUR_US, SECOND_US

METHODS: Final = sorted((*CHECKS, *INSIGHT_CHECKS, *TEMPLATE_CHECKS))
ID_FIELDS: Final = {"run_id", "parent_run_id", "new_run_id"}


class RefusalRules(MachineFrame):
    """Arguments that the contract refuses, alone or two at a time: the first in its order is told."""

    @rule(method=st.sampled_from(METHODS), about=numbers, data=st.data())
    def refuse(self, *, method: str, about: int, data: st.DataObject) -> None:
        request = self.valid_request(method, about)
        fields = sorted(field for field in request if field in say.INVALID_FIELDS)
        at_fault = {data.draw(st.sampled_from(fields), label="field") for _ in range(2)}
        if len(at_fault & ID_FIELDS) == 2 or (len(at_fault) == 2 and "request_id" in at_fault):
            # The contract does not tell which of these comes first.
            at_fault = {min(at_fault)}
        for field in sorted(at_fault):
            request[field] = data.draw(st.sampled_from(say.INVALID_FIELDS[field]), label=field)
        compare(
            method,
            request,
            self.answer_of(method, request),
            outcome_of(lambda: self.model.call(method, request)),
        )

    def valid_request(self, method: str, about: int) -> Request:
        """Return a request with every field that could be at fault, each of them right."""
        right: Request = {
            "run_id": self.run_id(about),
            "parent_run_id": self.run_id(about),
            "view": 0,
            "page_size": 1,
            "skip": 0,
            "states": [1],
            "state": 1,
            "tag": "prod",
            "tags": ["prod"],
            "metadata": {"a": 1.0},
            "error": "broken",
            "policy": {"keep_latest_n": 1},
            "query": "alpha",
            "new_run_id": say.UNKNOWN_ID,
            "name": "t",
            "prefix": "t",
            "retention": {"keep_all": {}},
            "order": 1,
            "interval": 0,
            "idle_for": 1_000,
            "max_depth": 1,
            "max_runs": 1,
        }
        if method in self.model.mutations:
            right["request_id"] = "never used"
        return {field: value for field, value in right.items() if field in field_names(method)}

    @rule(
        method=st.sampled_from(("UpdateRunMetadata", "AddRunTags", "RemoveRunTags", "SetRunRetention")),
        levels=st.sampled_from((0, 20, 21, 30)),
        about=numbers,
    )
    def leave_out_or_nest_deeply(self, *, method: str, levels: int, about: int) -> None:
        request: Request = {"run_id": self.run_id(about)}
        if levels:
            request["metadata"] = say.nested(levels)
        self.call("UpdateRunMetadata" if levels else method, request)

    @rule(
        request=st.sampled_from(
            (
                {"interval": 1},
                {"interval": 2, "end_time": SECOND_US},
                {"interval": 1, "start_time": 0, "tag": "prod"},
                {"interval": 3, "tag": ""},
                {"start_time": 0},
                {"end_time": 0},
                {"interval": 1, "start_time": SECOND_US, "end_time": 0},
                {"interval": 1, "start_time": 0, "end_time": 400 * HOUR_US + 1},
                {"interval": 2, "start_time": -1, "end_time": 399 * DAY_US + 1},
            )
        )
    )
    def misuse_an_interval(self, *, request: Request) -> None:
        self.call("GetRunStats", request)

    @rule(
        text=st.sampled_from(
            (" ", "(", "alpha)", "state:", "state:done", "nope:1", "*", "id:zz", "created>soon")
        )
    )
    def misspell_a_query(self, *, text: str) -> None:
        answer = self.answer_of("SearchRuns", {"query": text})
        assert isinstance(answer, Refused), f"{text!r} was answered: {answer}"
        position = answer.metadata.pop("position", "")
        assert position.isdigit(), answer.metadata
        assert int(position) <= len(text)
        compare("SearchRuns", {"query": text}, answer, Refused("INVALID_QUERY", {"field": "query"}))
