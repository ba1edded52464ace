"""RunTemplates' calls for templates, in the contract's order, each a function of one transaction.

Arguments have been checked; each function lists its refusals in the order in which they are decided.
StoreCorrupt, when a row is damaged, and for mutations RequestIdReused, are understood.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from runindex_server.data.listing import cut_page
from runindex_server.errors import TemplateNotFound, TemplateVersionMismatch
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.runs.mutation import Conditions, recall, remember
from runindex_server.schema import insight_keys
from runindex_server.schema.answers import NO_RUN, Answer
from runindex_server.schema.run import RetentionPolicy
from runindex_server.schema.templates import Template, decode_template, encode_template

EncodeTemplate = Callable[[Template], bytes]
"""Returns a template in the form in which it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateDraft:
    """A template that is to be written.

    Attributes:
        tags: Without duplicates.
        metadata: The encoding of an object; empty for none.
        retention: The policy of the runs; None for none of their own.
    """

    name: str
    tags: tuple[str, ...] = ()
    metadata: bytes = b""
    retention: RetentionPolicy | None = None

    def is_as(self, template: Template) -> bool:
        """Tell whether a template of this name is like that already."""
        content = template.tags, template.metadata, template.retention
        return content == (self.tags, self.metadata, self.retention)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of the templates.

    Attributes:
        size: Templates at most; 1 to limits.PAGE_SIZE_MAX.
        after: The name with which the page before ended; None for the first page.
    """

    size: int
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of templates.

    Attributes:
        templates: As they are sent.
        last: The name with which it ends; None when nothing follows.
    """

    templates: list[bytes] = field(repr=False)
    last: str | None


def put_template(txn: WriteTxn, draft: TemplateDraft, conditions: Conditions) -> Answer:
    """Create a template, or replace it whole.

    Raises:
        TemplateVersionMismatch: Its version, 0 when there is none, is not the expected one.
    """
    answered = recall(txn, conditions.request)
    if answered is not None:
        return answered
    old = _find(txn, draft.name)
    _check_version(draft.name, 0 if old is None else old.version, conditions)
    new = old if old is not None and draft.is_as(old) else _write(txn, old, draft)
    answer = Answer(run_id=NO_RUN, version=new.version, revision=txn.revision, update_us=new.update_us)
    remember(txn, conditions.request, answer)
    return answer


def get_template(txn: ReadTxn | WriteTxn, name: str) -> Template:
    """Return a template. Read-only.

    Raises:
        TemplateNotFound: There is none of this name.
    """
    template = _find(txn, name)
    if template is None:
        raise TemplateNotFound(name)
    return template


def list_templates(txn: ReadTxn, prefix: str, page: PageRequest, encode: EncodeTemplate) -> Page:
    """Return a page of the templates whose names begin so, in the order of the names' bytes. Read-only."""

    def rows() -> Iterator[tuple[bytes, bytes]]:
        for key, value in txn.scan(*insight_keys.templates_range(prefix, after=page.after)):
            template = decode_template(key, value)
            yield template.name.encode(), encode(template)

    templates, last = cut_page(rows(), page.size)
    return Page(templates, None if last is None else last.decode())


def delete_template(txn: WriteTxn, name: str, conditions: Conditions) -> Answer:
    """Delete a template.

    Raises:
        TemplateNotFound: There is none of this name.
        TemplateVersionMismatch: Its version is not the expected one.
    """
    answered = recall(txn, conditions.request)
    if answered is not None:
        return answered
    _check_version(name, get_template(txn, name).version, conditions)
    txn.delete(insight_keys.template(name))
    answer = Answer(run_id=NO_RUN, version=0, revision=txn.next_revision(), update_us=0)
    remember(txn, conditions.request, answer)
    return answer


def _find(txn: ReadTxn | WriteTxn, name: str) -> Template | None:
    """Return a template; None when there is none of this name. Read-only."""
    key = insight_keys.template(name)
    value = txn.get(key)
    return None if value is None else decode_template(key, value)


def _write(txn: WriteTxn, old: Template | None, draft: TemplateDraft) -> Template:
    """Write a template in the place of what is there, if anything is, and return it."""
    txn.next_revision()
    now_us = txn.issue_time_us()
    new = Template(
        name=draft.name,
        tags=draft.tags,
        metadata=draft.metadata,
        retention=draft.retention,
        version=1 if old is None else old.version + 1,
        create_us=now_us if old is None else old.create_us,
        update_us=now_us,
    )
    key = insight_keys.template(draft.name)
    put = txn.insert if old is None else txn.put
    put(key, encode_template(key, new))
    return new


def _check_version(name: str, version: int, conditions: Conditions) -> None:
    """Refuse a version that is not the expected one.

    Raises:
        TemplateVersionMismatch: It is not.
    """
    expected = conditions.expected_version
    if expected is not None and expected != version:
        raise TemplateVersionMismatch(name, expected_version=expected, current_version=version)
