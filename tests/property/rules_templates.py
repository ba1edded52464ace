"""The machine's templates, and runs that are made from them or from other runs."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.property import vocabulary as say
from tests.property.machine import MachineFrame, numbers
from tests.property.model_arguments import DEFAULT, Request
from tests.property.rules_read import page_sizes
from tests.property.rules_write import expectations, identified

names = st.sampled_from((*say.TEMPLATES[:2], *say.TEMPLATES))
many_tags = st.sampled_from((0, 30)).map(
    lambda first: [f"tag {number}" for number in range(first, first + 40)]
)
"""Two such lists are more tags than a run may have."""

drafts = st.fixed_dictionaries(
    {},
    optional={
        "tags": say.tag_lists | say.tag_lists | many_tags,
        "metadata": say.metadata,
        "retention": say.policies,
    },
)
"""What a template gives to a run, or a request beyond that."""

removals = st.dictionaries(st.sampled_from(say.KEYS), st.none(), min_size=1, max_size=3)


class TemplateRules(MachineFrame):
    """Templates and copies."""

    @initialize(contents=st.lists(drafts, min_size=1, max_size=2))
    def begin_with_some_templates(self, *, contents: list[Request]) -> None:
        """And with a run that is made from one, and its copy."""
        for name, draft in zip(say.TEMPLATES, contents, strict=False):
            self.call("PutTemplate", {"name": name, **draft})
        # Which changes nothing.
        self.call("PutTemplate", {"name": say.TEMPLATES[0], **contents[0]})
        self.make("CreateRunFromTemplate", {"name": say.TEMPLATES[0]})
        self.make("CloneRun", {"run_id": list(self.model.runs)[-1]})

    @rule(
        name=names,
        draft=drafts,
        expected=expectations,
        is_identified=identified,
        twice=st.sampled_from((False, False, False, True)),
    )
    def put_a_template(
        self, *, name: str, draft: Request, expected: str, is_identified: bool, twice: bool
    ) -> None:
        """Perhaps twice, which changes nothing the second time."""
        conditions = self.template_conditions(name, expected, is_identified=is_identified)
        self.call("PutTemplate", {"name": name, **draft, **conditions})
        if twice:
            tags = draft.get("tags", [])
            self.call("PutTemplate", {"name": name, **draft, "tags": [*tags, *tags[:1]]})
        self.call("GetTemplate", {"name": name})

    @rule(name=names, key=st.sampled_from(("large", "larger")), value=st.sampled_from(say.LARGE))
    def put_a_large_template(self, *, name: str, key: str, value: Any) -> None:
        """A run that is made of it with another large value passes a bound that each keeps."""
        self.call("PutTemplate", {"name": name, "metadata": {key: value}})
        self.call("CreateRunFromTemplate", {"name": name, "metadata": {"larger": say.LARGE[0]}})

    @rule(number=numbers, expected=expectations, is_identified=identified)
    def delete_a_template(self, *, number: int, expected: str, is_identified: bool) -> None:
        name = self.template_name(number)
        conditions = self.template_conditions(name, expected, is_identified=is_identified)
        self.call("DeleteTemplate", {"name": name, **conditions})
        self.call("GetTemplate", {"name": name})

    @rule(prefix=st.sampled_from(("", "", "t", "t1", "ü", "absent")), page_size=page_sizes)
    def list_templates(self, **request: Any) -> None:
        self.begin_apart("ListTemplates", request)

    @rule(
        number=numbers,
        chosen=st.none() | numbers,
        parent=st.none() | numbers,
        spelling=numbers,
        draft=drafts,
        is_identified=identified,
    )
    def create_from_a_template(
        self,
        *,
        number: int,
        chosen: int | None,
        parent: int | None,
        spelling: int,
        draft: Request,
        is_identified: bool,
    ) -> None:
        request = {"name": self.template_name(number), **draft}
        if chosen is not None:
            request["run_id"] = self.any_id(chosen, spelling)
        if parent is not None:
            request["parent_run_id"] = self.run_id(parent, spelling)
        conditions = self.conditions(DEFAULT, "", identified=is_identified)
        self.make("CreateRunFromTemplate", {**request, **conditions})

    @rule(
        about=numbers,
        spelling=numbers,
        chosen=st.none() | numbers,
        metadata=st.none() | say.metadata | removals,
        is_identified=identified,
    )
    def clone(
        self, *, about: int, spelling: int, chosen: int | None, metadata: Any, is_identified: bool
    ) -> None:
        request: Request = {"run_id": self.run_id(about, spelling)}
        if chosen is not None:
            request["new_run_id"] = self.any_id(chosen, spelling + 1)
        if metadata is not None:
            request["metadata"] = metadata
        self.make("CloneRun", {**request, **self.conditions(DEFAULT, "", identified=is_identified)})

    @rule(about=numbers, value=st.sampled_from(say.LARGE))
    def clone_something_large(self, *, about: int, value: Any) -> None:
        """The merged object may pass a bound."""
        self.call("CloneRun", {"run_id": self.run_id(about), "metadata": {"larger": value}})

    def make(self, method: str, request: Request) -> None:
        """Create a run, and look at what no listing shows of it."""
        there = len(self.model.runs)
        self.call(method, request)
        if len(self.model.runs) > there:
            self.call("GetRunRetention", {"run_id": list(self.model.runs)[-1]})

    def template_name(self, number: int) -> str:
        """Return the name of a template, mostly of one that is there."""
        there = list(self.model.templates)
        if number % 8 == 0 or not there:
            return say.TEMPLATES[number // 8 % len(say.TEMPLATES)]
        return there[number // 8 % len(there)]

    def template_conditions(self, name: str, expected: str, *, is_identified: bool) -> Request:
        """Return the common fields of a mutation of a template."""
        fields = self.conditions(DEFAULT, "", identified=is_identified)
        there = self.model.templates.get(name)
        version = there.version if there else 0
        if expected:
            fields["expected_version"] = {"right": version, "next": version + 1, "zero": 0}[expected]
        return fields
