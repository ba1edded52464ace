"""The machine's reads of data: single versions, pages that are walked while data changes, and refusals."""

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.property import vocabulary as say_of_runs
from tests.property import vocabulary_data as say
from tests.property.machine import Walk, compare, numbers
from tests.property.model_arguments import Refused, Request, canonical_id
from tests.property.model_data_arguments import DATA_CHECKS, DATA_MUTATIONS
from tests.property.model_held import CELL, DOCUMENT, KEY
from tests.property.model_run import ModelRun
from tests.property.rules_data import DataRules, holders, kinds
from tests.property.rules_read import flags, page_sizes
from tests.property.wire import field_names

GETS: Final = {KEY: "GetValue", CELL: "GetState", DOCUMENT: "GetDocument"}
LISTS: Final = {KEY: "ListValues", CELL: "ListStates", DOCUMENT: "ListDocuments"}
STEPS_PER_LOOK: Final = 4
"""Steps from one look at all that a run holds to the next."""

VERSIONS: Final = (0, 0, 0, 1, 2, 3)
"""How far back a version is that is asked for; 0 for what is there."""


class DataReadRules(DataRules):
    """Reads of data."""

    @rule(
        kind=kinds,
        about=holders,
        spelling=numbers,
        name=say.names,
        back=st.sampled_from(VERSIONS),
        pointer=st.sampled_from(("", "", *say.POINTERS)),
    )
    def get(self, *, kind: str, about: int, spelling: int, name: str, back: int, pointer: str) -> None:
        request: Request = {"run_id": self.run_id(about, spelling), kind: name}
        if kind == DOCUMENT:
            request["pointer"] = pointer
        if back:
            last = self.item(request["run_id"], kind, name).last_number
            request["version"] = last + 2 - back if last + 2 > back else 2**64 - 1
        self.call(GETS[kind], request)

    @rule(about=holders, spelling=numbers, stream=st.none() | st.sampled_from(say.STREAMS))
    def count_events(self, *, about: int, spelling: int, stream: str | None) -> None:
        self.call("CountEvents", {"run_id": self.run_id(about, spelling), **_stream(stream)})

    # Pages.

    @rule(
        kind=kinds,
        about=holders,
        spelling=numbers,
        prefix=st.sampled_from(say.PREFIXES),
        names_only=flags,
        page_size=page_sizes,
    )
    def list_items(self, *, kind: str, about: int, spelling: int, **fields: Any) -> None:
        self.begin_in_data(LISTS[kind], {"run_id": self.run_id(about, spelling), **fields})

    @rule(about=holders, spelling=numbers, key=say.names, page_size=page_sizes)
    def list_versions(self, *, about: int, spelling: int, **fields: Any) -> None:
        self.begin_in_data("GetValueHistory", {"run_id": self.run_id(about, spelling), **fields})

    @rule(
        about=holders,
        spelling=numbers,
        stream=st.none() | st.sampled_from(say.STREAMS),
        begin=st.none() | st.sampled_from((0, 1, 2, 5, 9, 2**64 - 1)),
        backwards=flags,
        page_size=page_sizes,
    )
    def read_events(
        self, *, about: int, spelling: int, stream: str | None, begin: int | None, **fields: Any
    ) -> None:
        request = {"run_id": self.run_id(about, spelling), **_stream(stream), **fields}
        self.begin_in_data("ReadEvents", request if begin is None else {**request, "from_sequence": begin})

    def begin_in_data(self, method: str, request: Request) -> None:
        """Ask for a first page, and keep what is needed for the next."""
        walk = self.page(method, request)
        if walk is not None:
            self.data_walks.append(walk)

    @precondition(lambda self: self.data_walks)
    @rule(number=numbers, page_size=st.sampled_from((0, 1, 2, 1_000)), to_the_end=flags)
    def turn_a_page_of_data(self, *, number: int, page_size: int, to_the_end: bool) -> None:
        """Go on with any walk; one of a run that was deleted since goes on no more."""
        walk: Walk | None = self.data_walks.pop(number % len(self.data_walks))
        while walk is not None:
            walk = self.page(walk.method, {**walk.request, "page_size": page_size}, walk=walk)
            if walk is not None and not to_the_end:
                self.data_walks.append(walk)
                break

    @precondition(lambda self: self.data_walks)
    @rule(number=numbers, damage=st.sampled_from(("cut", "flipped", "run", "query", "method")))
    def misuse_a_page_token_of_data(self, *, number: int, damage: str) -> None:
        """Refused before the run is looked for, which may be gone."""
        walk = self.data_walks[number % len(self.data_walks)]
        method, request, token = walk.method, dict(walk.request), walk.token
        match damage:
            case "cut":
                token = token[:-1]
            case "flipped":
                token = ("B" if token[0] == "A" else "A") + token[1:]
            case "run":
                others = self.model.runs.keys() - {canonical_id(request["run_id"])}
                request["run_id"] = min(others, default=say_of_runs.UNKNOWN_ID)
            case "query" if method == "ReadEvents":
                request["backwards"] = not request["backwards"]
            case "query" if method == "GetValueHistory":
                request["key"] = request["key"][:-1] or "never said before"
            case "query":
                request["names_only"] = not request["names_only"]
            case "method":
                method, request = "ReadEvents", {"run_id": request["run_id"], "stream": "never said before"}
        answer = self.answer_of(method, {**request, "page_token": token})
        if isinstance(answer, Refused):
            answer.metadata.pop("revision", None)
        compare(method, request, answer, Refused("INVALID_PAGE_TOKEN", {"field": "page_token"}))

    # Refusals.

    @rule(method=st.sampled_from(sorted(DATA_CHECKS)), about=holders, data=st.data())
    def refuse_data(self, *, method: str, about: int, data: st.DataObject) -> None:
        """One field at fault, beside a run id that may be too; or one left out."""
        right: Request = {
            "run_id": self.run_id(about),
            "key": "k",
            "cell": "k",
            "document": "k",
            "prefix": "k",
            "stream": "s",
            "pointer": "/a",
            "version": 1,
            "value": {"json": None},
            "expected": {"json": None},
            "patch": {},
            "events": [{"stream": "s", "value": {"json": None}}],
            "page_size": 1,
        }
        if method in DATA_MUTATIONS:
            right["request_id"] = "never used"
        request = {field: value for field, value in right.items() if field in field_names(method)}
        field = data.draw(st.sampled_from(sorted(request.keys() - {"run_id"})), label="field")
        is_left_out = data.draw(flags, label="left out")
        if is_left_out and field in ("key", "cell", "document", "value", "patch", "events"):
            del request[field]
        else:
            refused = say.INVALID_DATA_FIELDS[field]
            request[field] = refused[data.draw(st.integers(0, len(refused) - 1), label="value")]
        if data.draw(st.sampled_from((False, False, True)), label="no run"):
            request["run_id"] = data.draw(st.sampled_from(say_of_runs.INVALID_FIELDS["run_id"]), label="run")
        self.call(method, request)

    # What holds after every step.

    @invariant()
    def runs_hold_what_the_model_has(self) -> None:
        if self.steps % STEPS_PER_LOOK == 0:
            runs = list(self.model.runs.values())
            self.look_at(runs[self.steps // STEPS_PER_LOOK % len(runs)])

    def look_at(self, run: ModelRun) -> None:
        """Compare all that a run holds."""
        whole = {"run_id": run.run_id, "page_size": 1_000}
        for kind, method in LISTS.items():
            self.page(method, whole)
            for name, item in run.held.items[kind].items():
                if kind == KEY:
                    self.page("GetValueHistory", {**whole, "key": name})
                    continue
                for number in range(1, item.last_number + 2):
                    self.call(GETS[kind], {"run_id": run.run_id, kind: name, "version": number})
        self.page("ReadEvents", whole)
        for stream in (None, *sorted({event.stream for event in run.held.events})):
            self.call("CountEvents", {"run_id": run.run_id, **_stream(stream)})


def _stream(stream: str | None) -> Request:
    """Return the field that names a stream, or none."""
    return {} if stream is None else {"stream": stream}
