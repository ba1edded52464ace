"""What RunData promises: the model's runs with what they hold.

In the manner of `model`. JSON in an answer is canonical, a value a dict with `json` or `binary`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from tests.property.model import MUTATIONS, Model
from tests.property.model_arguments import Answer, Request, canonical_json, metadata_depth
from tests.property.model_data_arguments import (
    DATA_CHECKS,
    DATA_MUTATIONS,
    VALUE_BYTES_MAX,
    VALUE_DEPTH_MAX,
    checked_data,
)
from tests.property.model_held import (
    CELL,
    DOCUMENT,
    KEY,
    Content,
    Event,
    Held,
    Item,
    Version,
    content_bytes,
    json_bytes,
)
from tests.property.model_json import NoPlaceError, merged, parts_of, place, with_place, without_place
from tests.property.model_run import ARCHIVED, ModelRun
from tests.property.model_search import Query

OPERATIONS: Final = {
    "PutValue": "put value",
    "DeleteValue": "delete value",
    "AppendEvents": "append events",
    "SetState": "set state",
    "CompareAndSetState": "set state",
    "SetDocument": "set document",
    "MergeDocument": "merge document",
    "DeleteDocument": "delete document",
}
KIND_OF: Final = {
    "PutValue": KEY,
    "GetValue": KEY,
    "DeleteValue": KEY,
    "ListValues": KEY,
    "GetValueHistory": KEY,
    "SetState": CELL,
    "GetState": CELL,
    "CompareAndSetState": CELL,
    "ListStates": CELL,
    "SetDocument": DOCUMENT,
    "GetDocument": DOCUMENT,
    "MergeDocument": DOCUMENT,
    "DeleteDocument": DOCUMENT,
    "ListDocuments": DOCUMENT,
}
"""What a method is about."""

NOT_FOUND: Final = {KEY: "VALUE_NOT_FOUND", CELL: "STATE_NOT_FOUND", DOCUMENT: "DOCUMENT_NOT_FOUND"}
DATA_COLLECTIONS: Final = ("ListValues", "GetValueHistory", "ReadEvents", "ListStates", "ListDocuments")
PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 1_000
POINTER_SHOWN: Final = 128


@dataclass(frozen=True)
class DataCursor:
    """What the model knows of a page token: the life of the run, and how many items were passed.

    Attributes:
        ordinal: Of the run.
        last: The name, the version or the sequence of the last item.
    """

    ordinal: int
    last: Any


class DataModel(Model):
    """A store with one caller, and what its runs hold."""

    mutations = (*MUTATIONS, *DATA_MUTATIONS)

    def page(
        self,
        method: str,
        request: Request,
        *,
        cursor: Any,
        query: Query | None = None,
    ) -> tuple[Answer, Any]:
        """Answer one page of a collection, of runs or of what one holds."""
        if method not in DATA_COLLECTIONS:
            return super().page(method, request, cursor=cursor, query=query)
        args = checked_data(method, request)
        run = self._found(args["run_id"])
        if cursor is not None and cursor.ordinal != run.ordinal:
            self._refuse("INVALID_PAGE_TOKEN", field="page_token")
        found = _collected(run.held, method, args)
        if cursor is not None:
            found = found[_passed(found, method, args, cursor.last) :]
        size = min(args.get("page_size", 0) or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        items = [shown for _, shown in found[:size]]
        answer = self._answer(**{"events" if method == "ReadEvents" else "items": items or None})
        return answer, DataCursor(run.ordinal, found[size - 1][0]) if len(found) > size else None

    def _checked(self, method: str, request: Request) -> Request:
        return checked_data(method, request) if method in DATA_CHECKS else super()._checked(method, request)

    # Reads.

    def _read(self, method: str, args: Request) -> Answer:
        if method not in DATA_CHECKS:
            return super()._read(method, args)
        run = self._found(args["run_id"])
        if method == "CountEvents":
            count = len(_events(run.held, args))
            return self._answer(count=count or None, next_sequence=run.held.next_sequence or None)
        kind = KIND_OF[method]
        name, number = args[kind], args.get("version")
        version = run.held.item(kind, name).version(number)
        pointer = args.get("pointer", "")
        if version is None or (pointer and version.content is None):
            self._refuse_item(NOT_FOUND[kind], run, kind, name)
        if not pointer:
            return self._answer(item=shown_version(kind, name, version))
        assert version.content is not None
        with self._places(run, name, pointer):
            part = place(version.content["json"], parts_of(pointer))
        cut = Version(version.number, version.write_us, {"json": part}, 0)
        return self._answer(item=shown_version(kind, name, cut))

    # Writes.

    def _write(self, method: str, args: Request, made_id: str) -> Answer:
        if method not in DATA_CHECKS:
            return super()._write(method, args, made_id)
        run = self._found(args["run_id"])
        if run.state == ARCHIVED:
            self._refuse("RUN_ARCHIVED", runId=run.run_id, operation=OPERATIONS[method])
        if method == "AppendEvents":
            return self._append(run, args)
        kind = KIND_OF[method]
        name = args[kind]
        current = run.held.item(kind, name).current
        needs_item = method.startswith("Delete") or "pointer" in args
        if needs_item and current is None:
            self._refuse_item(NOT_FOUND[kind], run, kind, name)
        there = 0 if current is None else current.number
        expected = args.get("expected_version", there)
        if expected != there:
            self._refuse(
                "VERSION_MISMATCH",
                runId=run.run_id,
                expectedVersion=str(expected),
                currentVersion=str(there),
            )
        return self._put(run, kind, name, self._content(method, run, args, current))

    def _content(self, method: str, run: ModelRun, args: Request, current: Version | None) -> Content | None:
        """Return what the next version is to hold; None for a deletion."""
        held = None if current is None else current.content
        match method:
            case "PutValue" | "SetState":
                return dict(args["value"])
            case "CompareAndSetState":
                if canonical_json(held) != canonical_json(args.get("expected")):
                    version = 0 if current is None else current.number
                    self._refuse(
                        "VALUE_MISMATCH", runId=run.run_id, cell=args["cell"], currentVersion=str(version)
                    )
                return dict(args["value"])
            case "SetDocument" if "pointer" not in args:
                return {"json": args["value"]}
            case "MergeDocument":
                return self._document(run, merged({} if held is None else held["json"], args["patch"]))
        if "pointer" not in args:
            return None
        assert held is not None
        parts = parts_of(args["pointer"])
        with self._places(run, args["document"], args["pointer"]):
            if method == "SetDocument":
                whole = with_place(held["json"], parts, args["value"])
            else:
                whole = without_place(held["json"], parts)
        return self._document(run, whole)

    def _document(self, run: ModelRun, whole: Any) -> Content:
        """Return the content of a document that was edited, if it keeps the bounds."""
        for limit, found, maximum in (
            ("levels of a document", metadata_depth(whole), VALUE_DEPTH_MAX),
            ("bytes of a document", json_bytes(whole), VALUE_BYTES_MAX),
        ):
            if found > maximum:
                self._refuse("LIMIT_EXCEEDED", runId=run.run_id, limit=limit, maximum=str(maximum))
        return {"json": whole}

    def _put(self, run: ModelRun, kind: str, name: str, content: Content | None) -> Answer:
        """Write the next version of an item."""
        self._write_data(run)
        item = run.held.items[kind].setdefault(name, Item())
        size = 0 if content is None else content_bytes(kind, content)
        item.versions.append(Version(item.last_number + 1, self.issued_us, content, size))
        return self._answer(version=item.last_number, write_time=self.issued_us)

    def _append(self, run: ModelRun, args: Request) -> Answer:
        """Append events."""
        self._write_data(run)
        held = run.held
        first = held.next_sequence
        for draft in args["events"]:
            content, stream = dict(draft["value"]), draft["stream"]
            size = content_bytes(KEY, content)
            held.events.append(Event(held.next_sequence, stream, self.issued_us, content, size))
            held.next_sequence += 1
        return self._answer(first_sequence=first or None, append_time=self.issued_us)

    def _write_data(self, run: ModelRun) -> None:
        """Give a write of data its revision and time; the run's own stay."""
        self.issued_us = max(self.issued_us, self.wall_us)
        self.revision += 1
        run.held.write_us = self.issued_us

    # What both share.

    def _refuse_item(self, reason: str, run: ModelRun, kind: str, name: str, **metadata: str) -> NoReturn:
        """Refuse something for what an item holds."""
        self._refuse(reason, runId=run.run_id, **{kind: name}, **metadata)

    def _places(self, run: ModelRun, document: str, pointer: str) -> "_Places":
        """Return what refuses a place that is not there."""
        return _Places(
            lambda: self._refuse_item(
                "POINTER_NOT_FOUND", run, DOCUMENT, document, pointer=pointer[:POINTER_SHOWN]
            )
        )


class _Places:
    """Turns a place that is not there into a refusal."""

    def __init__(self, refuse: Callable[[], NoReturn]) -> None:
        self._refuse = refuse

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is NoPlaceError:
            self._refuse()


def _events(held: Held, args: Request) -> list[Event]:
    """Return the kept events of a stream, or of the run."""
    return [event for event in held.events if args.get("stream", event.stream) == event.stream]


def _collected(held: Held, method: str, args: Request) -> list[tuple[Any, Answer]]:
    """Return the items of a collection in its order: each with its name, version or sequence."""
    if method == "ReadEvents":
        events = _events(held, args)
        begin = args.get("from_sequence")
        if args.get("backwards"):
            events = [event for event in reversed(events) if begin is None or event.sequence <= begin]
        else:
            events = [event for event in events if event.sequence >= (begin or 0)]
        return [(event.sequence, shown_event(event)) for event in events]
    kind = KIND_OF[method]
    if method == "GetValueHistory":
        versions = reversed(held.item(kind, args["key"]).versions)
        return [(version.number, shown_version(kind, args["key"], version)) for version in versions]
    names = [name for name in held.items[kind] if name.startswith(args.get("prefix", ""))]
    there = [(name, held.item(kind, name).current) for name in sorted(names, key=str.encode)]
    is_bare = bool(args.get("names_only"))
    return [
        (name, shown_version(kind, name, version, is_bare=is_bare))
        for name, version in there
        if version is not None
    ]


def _passed(found: list[tuple[Any, Answer]], method: str, args: Request, last: Any) -> int:
    """Return how many items come not after the last one of the page before."""
    if method.startswith("List"):
        return sum(name.encode() <= last.encode() for name, _ in found)
    is_falling = method == "GetValueHistory" or args.get("backwards")
    return sum(number >= last if is_falling else number <= last for number, _ in found)


def shown_content(kind: str, content: Content) -> Any:
    """Return a content as an answer shows it."""
    shown = {key: value if key == "binary" else canonical_json(value) for key, value in content.items()}
    return shown["json"] if kind == DOCUMENT else shown


def shown_version(kind: str, name: str, version: Version, *, is_bare: bool = False) -> Answer:
    """Return a version as an answer shows it."""
    shown: Answer = {kind: name, "version": version.number, "write_time": version.write_us}
    if version.content is None:
        return {**shown, "deleted": True}
    return shown if is_bare else {**shown, "value": shown_content(kind, version.content)}


def shown_event(event: Event) -> Answer:
    """Return an event as an answer shows it."""
    shown = {
        "stream": event.stream,
        "value": shown_content(KEY, event.content),
        "append_time": event.append_us,
    }
    return {**shown, "sequence": event.sequence} if event.sequence else shown
