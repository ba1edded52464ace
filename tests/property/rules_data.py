"""The machine's writes of data: versions of keys, cells and documents, and events."""

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.property import vocabulary_data as say
from tests.property.machine import MachineFrame, numbers
from tests.property.model_arguments import Request, canonical_id
from tests.property.model_data import KIND_OF
from tests.property.model_held import CELL, DOCUMENT, KEY, KINDS, Item
from tests.property.rules_write import expectations, identified
from tests.support.clock import SECOND_US

holders = st.integers(0, 31)
"""Choose a run, as `numbers` do, but one of few, so that data gathers."""

kinds = st.sampled_from(KINDS)
WRITES: Final = {KEY: "PutValue", CELL: "SetState", DOCUMENT: "SetDocument"}
DELETES: Final = {KEY: "DeleteValue", DOCUMENT: "DeleteDocument"}


class DataRules(MachineFrame):
    """Writes of data."""

    def item(self, run_id: str, kind: str, name: str) -> Item:
        """Return an item as the model has it; one that was never written when the run is not there."""
        run = self.model.runs.get(canonical_id(run_id) or "")
        return run.held.item(kind, name) if run else Item()

    def write(  # What all writes have in common.
        self,
        method: str,
        about: int,
        spelling: int,
        name: str,
        expected: str,
        *,
        is_identified: bool,
        **fields: Any,
    ) -> None:
        """Send a write of an item."""
        run_id, kind = self.run_id(about, spelling), KIND_OF[method]
        conditions = self.conditions(run_id, "", identified=is_identified)
        if expected:
            current = self.item(run_id, kind, name).current
            there = 0 if current is None else current.number
            conditions["expected_version"] = {"right": there, "next": there + 1, "zero": 0}[expected]
        self.call(method, {"run_id": run_id, kind: name, **fields, **conditions})

    @rule(
        kind=kinds,
        about=holders,
        spelling=numbers,
        name=say.names,
        expected=expectations,
        is_identified=identified,
        content=say.contents,
        document=say.documents,
    )
    def put(self, *, kind: str, content: Any, document: Any, **common: Any) -> None:
        self.write(WRITES[kind], **common, value=document if kind == DOCUMENT else content)

    @rule(kind=kinds, about=holders, name=say.names, content=say.large_contents)
    def put_something_large(self, *, kind: str, about: int, name: str, content: Any) -> None:
        if kind == DOCUMENT:
            content = content.get("json")
        request: Request = {"run_id": self.run_id(about), kind: name, "value": content}
        self.call(WRITES[kind], request)

    @rule(
        kind=kinds,
        about=holders,
        name=say.names,
        contents=st.lists(say.contents, min_size=2, max_size=6),
        pause_us=st.sampled_from((0, 1, SECOND_US)),
        ends=st.booleans(),
    )
    def put_many_times(
        self, *, kind: str, about: int, name: str, contents: list[Any], pause_us: int, ends: bool
    ) -> None:
        """Versions upon versions, perhaps with a deletion at the end."""
        run_id = self.run_id(about)
        for content in contents:
            value = content.get("json") if kind == DOCUMENT else content
            self.call(WRITES[kind], {"run_id": run_id, kind: name, "value": value})
            self.turn(pause_us)
        if ends and kind in DELETES:
            self.call(DELETES[kind], {"run_id": run_id, kind: name})

    @rule(
        method=st.sampled_from(("DeleteValue", "DeleteDocument")),
        about=holders,
        spelling=numbers,
        name=say.names,
        expected=expectations,
        is_identified=identified,
    )
    def delete_an_item(self, *, method: str, **common: Any) -> None:
        self.write(method, **common)

    @rule(
        about=holders,
        spelling=numbers,
        name=say.names,
        is_identified=identified,
        expected=st.sampled_from(("right", "right", "none", "other")),
        other=say.contents,
        value=say.contents,
    )
    def compare_and_set(
        self,
        *,
        about: int,
        spelling: int,
        name: str,
        is_identified: bool,
        expected: str,
        other: Any,
        value: Any,
    ) -> None:
        run_id = self.run_id(about, spelling)
        request: Request = {"run_id": run_id, "cell": name, "value": value}
        current = self.item(run_id, CELL, name).current
        if expected == "right" and current is not None:
            request["expected"] = current.content
        if expected == "other":
            request["expected"] = other
        self.call("CompareAndSetState", {**request, **self.conditions(run_id, "", identified=is_identified)})

    @rule(
        about=holders,
        spelling=numbers,
        drafts=st.lists(say.drafts, min_size=1, max_size=5),
        is_identified=identified,
    )
    def append(self, *, about: int, spelling: int, drafts: list[Any], is_identified: bool) -> None:
        run_id = self.run_id(about, spelling)
        conditions = self.conditions(run_id, "", identified=is_identified)
        self.call("AppendEvents", {"run_id": run_id, "events": drafts, **conditions})

    # Places in documents.

    @rule(
        about=holders,
        spelling=numbers,
        name=st.sampled_from(say.NAMES[:3]),
        expected=expectations,
        is_identified=identified,
        pointers=st.lists(st.sampled_from(say.POINTERS), min_size=1, max_size=4),
        value=say.json_values,
        is_deletion=st.booleans(),
    )
    def edit_a_document(self, *, pointers: list[str], value: Any, is_deletion: bool, **common: Any) -> None:
        """A place, or several one after the other."""
        for pointer in pointers:
            if is_deletion:
                self.write("DeleteDocument", **common, pointer=pointer)
            else:
                self.write("SetDocument", **common, pointer=pointer, value=value)

    @rule(
        about=holders,
        spelling=numbers,
        name=say.names,
        expected=expectations,
        is_identified=identified,
        patch=say.patches,
    )
    def merge_into_a_document(self, **fields: Any) -> None:
        self.write("MergeDocument", **fields)

    @rule(
        about=holders,
        name=st.sampled_from(say.NAMES[:3]),
        patches=st.lists(say.large_json, min_size=1, max_size=2),
        pointer=st.sampled_from(("/a", "/a" * 19, "/a" * 20)),
    )
    def pass_a_bound_of_documents(self, *, about: int, name: str, patches: list[Any], pointer: str) -> None:
        """What is added keeps the bounds, and the whole may not."""
        run_id = self.run_id(about)
        for patch in patches:
            self.call("MergeDocument", {"run_id": run_id, "document": name, "patch": patch})
        place = {"run_id": run_id, "document": name, "pointer": pointer}
        self.call("SetDocument", {**place, "value": [[]]})
