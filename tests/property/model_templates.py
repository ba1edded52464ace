"""What RunTemplates promises: templates by name, and runs that are made from them or from other runs.

In the manner of `model`.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from tests.property.model import CREATIONS
from tests.property.model_arguments import Answer, Request, canonical_json
from tests.property.model_insights import InsightsModel
from tests.property.model_json import merged
from tests.property.model_run import ModelRun
from tests.property.model_search import Query
from tests.property.model_templates_arguments import (
    TEMPLATE_CHECKS,
    TEMPLATE_MUTATIONS,
    checked_template,
)

ID_CHOSEN: Final = {
    **dict.fromkeys(CREATIONS, "run_id"),
    "CreateRunFromTemplate": "run_id",
    "CloneRun": "new_run_id",
}
"""What creates runs, by the field in which a caller chooses the id."""


@dataclass
class Template:
    """A template."""

    name: str
    create_us: int
    update_us: int
    version: int
    tags: list[str]
    metadata: dict[str, Any]
    policy: dict[str, Any] | None

    def is_like(self, tags: list[str], metadata: dict[str, Any], policy: dict[str, Any] | None) -> bool:
        """Tell whether it holds just this."""
        same_metadata = canonical_json(self.metadata) == canonical_json(metadata)
        return self.tags == tags and same_metadata and self.policy == policy


def shown_template(template: Template) -> Answer:
    """Return a template as an answer shows it."""
    fields = {
        "name": template.name,
        "tags": list(template.tags) or None,
        "retention": template.policy,
        "version": template.version,
        "create_time": template.create_us,
        "update_time": template.update_us,
        "metadata": canonical_json(template.metadata) if template.metadata else None,
    }
    return {key: value for key, value in fields.items() if value is not None}


class TemplatesModel(InsightsModel):
    """A store with one caller, its runs, and templates.

    Attributes:
        templates: By name.
    """

    mutations = (*InsightsModel.mutations, *TEMPLATE_MUTATIONS)

    def __init__(self, *, create_us: int, revision: int) -> None:
        """Begin as a new store does: without one."""
        super().__init__(create_us=create_us, revision=revision)
        self.templates: dict[str, Template] = {}

    def page(
        self, method: str, request: Request, *, cursor: Any, query: Query | None = None
    ) -> tuple[Answer, Any]:
        """Answer one page of a collection."""
        if method != "ListTemplates":
            return super().page(method, request, cursor=cursor, query=query)
        args = checked_template(method, request)
        begin = args.get("prefix", "")
        templates = [one for name, one in self.templates.items() if name.startswith(begin)]
        items = [((one.name.encode(),), shown_template(one)) for one in templates]
        return self._page_of("templates", items, args, cursor)

    def _checked(self, method: str, request: Request) -> Request:
        if method in TEMPLATE_CHECKS:
            return checked_template(method, request)
        return super()._checked(method, request)

    def _read(self, method: str, args: Request) -> Answer:
        if method == "GetTemplate":
            return self._answer(template=shown_template(self._template(args["name"])))
        return super()._read(method, args)

    def _write(self, method: str, args: Request, made_id: str) -> Answer:
        match method:
            case "PutTemplate":
                return self._put_template(args)
            case "DeleteTemplate":
                return self._delete_template(args)
            case "CreateRunFromTemplate":
                return self._create_from(args, made_id)
            case "CloneRun":
                return self._clone(args, made_id)
        return super()._write(method, args, made_id)

    def _put_template(self, args: Request) -> Answer:
        there = self.templates.get(args["name"])
        self._expect(args, 0 if there is None else there.version)
        tags = list(dict.fromkeys(args.get("tags", [])))
        content = tags, deepcopy(args.get("metadata", {})), args.get("retention")
        if there is None or not there.is_like(*content):
            self.issued_us = max(self.issued_us, self.wall_us)
            self.revision += 1
            create_us, version = (there.create_us, there.version) if there else (self.issued_us, 0)
            there = Template(args["name"], create_us, self.issued_us, version + 1, *content)
            self.templates[there.name] = there
        return self._answer(version=there.version, update_time=there.update_us)

    def _delete_template(self, args: Request) -> Answer:
        self._expect(args, self._template(args["name"]).version)
        # No time is issued: nothing is left that would carry it.
        self.revision += 1
        del self.templates[args["name"]]
        return self._answer()

    def _create_from(self, args: Request, made_id: str) -> Answer:
        template = self._template(args["name"])
        run_id, parent = args.get("run_id", made_id), args.get("parent_run_id")
        self._check_place(run_id, parent)
        tags = list(dict.fromkeys([*template.tags, *args.get("tags", [])]))
        metadata = merged(template.metadata, args.get("metadata", {}))
        self._check_limits(run_id, tags, metadata)
        return self._begin(
            self._new_run(run_id, parent), tags, metadata, args.get("retention", template.policy)
        )

    def _clone(self, args: Request, made_id: str) -> Answer:
        source = self._found(args["run_id"])
        run_id = args.get("new_run_id", made_id)
        self._check_place(run_id, None)
        metadata = merged(source.metadata, args.get("metadata", {}))
        self._check_limits(run_id, [], metadata)
        run = self._new_run(run_id, None)
        run.cloned_from = source.run_id
        return self._begin(run, list(source.tags), metadata, source.policy)

    def _begin(
        self, run: ModelRun, tags: list[str], metadata: dict[str, Any], policy: dict[str, Any] | None
    ) -> Answer:
        """Give a new run what it begins with."""
        run.tags, run.metadata, run.policy = tags, deepcopy(metadata), policy
        return self._answer(run_id=run.run_id, create_time=run.create_us)

    def _template(self, name: str) -> Template:
        """Return a template that must exist."""
        if name not in self.templates:
            self._refuse("TEMPLATE_NOT_FOUND", template=name)
        return self.templates[name]

    def _expect(self, args: Request, version: int) -> None:
        """Refuse another version than the expected one."""
        expected = args.get("expected_version", version)
        if expected != version:
            self._refuse(
                "TEMPLATE_VERSION_MISMATCH",
                template=args["name"],
                expectedVersion=str(expected),
                currentVersion=str(version),
            )
