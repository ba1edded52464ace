"""What callers ask for: all methods on few runs, so that they meet, in the model's form.

What a caller has seen only steers it: to mostly possible calls, and to versions that mostly hold.
"""

import random
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from tests.property.model_arguments import DEFAULT, Answer, Request
from tests.property.model_data import KIND_OF
from tests.property.model_run import ACTIVE, ARCHIVED, PAUSED
from tests.property.model_search import All, Either, Named, Not, Query, Words
from tests.property.vocabulary import SPELLINGS, UNKNOWN_ID

RUN_IDS: Final = tuple(str(UUID(int=0xC0FFEE << 104 | 4 << 76 | 8 << 60 | number)) for number in range(10))
"""The ids that callers choose, and choose again after a deletion."""

TAGS: Final = ("prod", "a b", "ünï", "gpt-4o", "eu")
WORDS: Final = ("alpha", "beta", "gpt-4o", "Straße", "m99")
METADATA_KEYS: Final = ("model", "a", "note")
NAMES: Final = ("k", "k1", "a/~b")
STREAMS: Final = ("s", "s1")
POINTERS: Final = ("/a", "/b", "/a/0", "/b/-")
POLICIES: Final[tuple[Request, ...]] = (
    {"keep_all": {}},
    {"keep_latest_n": 3},
    {"delete_after": 86_400 * 10**9},
)
ERRORS: Final = ("out of memory", "E42: timeout")
_QUERIES: Final[tuple[Query, ...]] = (
    *(Words(word) for word in WORDS),
    *(Named("tag", tag) for tag in TAGS),
    *(Named("state", state) for state in ("active", "paused", "failed", "archived")),
    Named("outcome", "failed"),
    Named("parent", DEFAULT),
    Named("id", RUN_IDS[0]),
    Words("al", is_prefix=True),
    Words("gpt-4o", path=("model",)),
    All((Words("alpha"), Named("tag", "prod"))),
    Either((Words("beta"), Named("tag", "eu"))),
    Not(Named("state", "active")),
    All((Not(Words("alpha")), Named("state", "active"))),
)
QUERIES: Final = {query.text(): query for query in _QUERIES}
"""What is searched for, by its text. Without ages: the time of a read is not told."""

UNIDENTIFIED: Final = frozenset(
    ("AddRunTags", "RemoveRunTags", "UpdateRunMetadata", "SetRunRetention", "DeleteRun")
)
"""What is also sent without a request id while processes are killed: what these leave is told again."""

LIFECYCLE: Final = {
    ACTIVE: ("PauseRun", "PauseRun", "CloseRun", "FailRun", "CancelRun"),
    PAUSED: ("ResumeRun", "ResumeRun", "CancelRun"),
}
MADE_MAX: Final = 3
SINGLE_READS: Final = ("GetRun", "GetRun", "RunExists", "GetRunTags", "GetParentRun", "GetRunRetention")
DATA_WRITES: Final = ("PutValue", "DeleteValue", "AppendEvents", "SetState", "CompareAndSetState")
DOCUMENT_WRITES: Final = ("SetDocument", "MergeDocument", "DeleteDocument")
DATA_READS: Final = (
    *("GetValue", "ListValues", "GetValueHistory", "ReadEvents", "CountEvents"),
    *("GetState", "ListStates", "GetDocument", "ListDocuments"),
)


@dataclass
class Seen:
    """What a caller has seen of a run: its version, 0 for none, and its state."""

    version: int = 0
    state: int = 0


@dataclass
class Mix:
    """The calls of one caller.

    Attributes:
        seed: Of the load.
        caller: The caller's number.
        is_calm: Whether nothing is killed yet, so that every write may go without a request id.
    """

    seed: str
    caller: int
    is_calm: bool = True
    _seen: dict[str, Seen] = field(default_factory=dict)
    _made: list[str] = field(default_factory=list)
    _walks: list[tuple[str, Request]] = field(default_factory=list)
    _sent: list[tuple[str, Request]] = field(default_factory=list)
    _requests: int = 0
    _common: int = 0

    def __post_init__(self) -> None:
        """Begin."""
        self._random = random.Random(f"{self.seed} {self.caller}")

    def next(self) -> tuple[str, Request]:
        """Return the next call."""
        number = self._random.random()
        if number < 0.04:
            return self._common_call()
        if number < 0.06 and self._sent:
            return self._again()
        if len(self._made) > MADE_MAX:
            return self._write("DeleteRun", self._made.pop(0), self._random)
        if number < 0.45:
            return self._any_write()
        return self._any_read()

    def note(self, method: str, request: Request, answer: Any) -> None:
        """Take note of an answer, as its message."""
        run_id = request.get("run_id", "")
        if hasattr(answer, "run"):
            self._note_run(answer.run, is_made="run_id" not in request)
        elif method == "DeleteRun":
            self._seen.pop(run_id, None)
        elif hasattr(answer, "update_time"):
            self._seen.setdefault(run_id, Seen()).version = answer.version
        if getattr(answer, "next_page_token", ""):
            self._walks.append((method, {**request, "page_token": answer.next_page_token}))
        if "request_id" in request:
            self._sent = [*self._sent[-20:], (method, request)]

    def note_refusal(self, request: Request, status: bytes) -> None:
        """Take note of a refusal, by the bytes of its status."""
        run_id = request.get("run_id", "")
        if b"RUN_ALREADY_EXISTS" in status:
            self._seen[run_id] = Seen(1)
        elif b"RUN_ARCHIVED" in status:
            self._seen[run_id] = Seen(1, ARCHIVED)
        else:
            self._seen.pop(run_id, None)

    def _note_run(self, run: Any, *, is_made: bool) -> None:
        if run.version:
            self._seen[run.run_id] = Seen(run.version, run.state)
        if is_made and run.run_id not in self._made:
            self._made.append(run.run_id)

    # Writes.

    def _any_write(self) -> tuple[str, Request]:
        chance = self._random
        run_id = self._run_id()
        seen = self._seen.get(run_id, Seen())
        if not seen.version and chance.random() < 0.5:
            return self._creation(run_id, chance)
        if chance.random() < (0.4 if seen.state == ARCHIVED else 0.06):
            return self._write("DeleteRun", run_id, chance)
        number = chance.random()
        if number < 0.12:
            return self._write(chance.choice(LIFECYCLE.get(seen.state, LIFECYCLE[ACTIVE])), run_id, chance)
        if number < 0.13:
            return self._write("ArchiveRun", run_id, chance)
        if number < 0.5:
            methods = ("AddRunTags", "RemoveRunTags", "UpdateRunMetadata", "SetRunRetention")
            return self._write(chance.choices(methods, (4, 3, 4, 1))[0], run_id, chance)
        # Nothing ever ends the default run: what it holds would only grow.
        holder = RUN_IDS[0] if run_id == DEFAULT else run_id
        return self._write(chance.choice((*DATA_WRITES, *DOCUMENT_WRITES)), holder, chance)

    def _creation(self, run_id: str, chance: random.Random) -> tuple[str, Request]:
        request: Request = {"tags": chance.sample(TAGS, chance.randrange(3)), "metadata": metadata(chance)}
        if run_id != DEFAULT and chance.random() < 0.9:
            request["run_id"] = run_id
        if chance.random() < 0.4:
            request["parent_run_id"] = self._run_id()
            return "CreateChildRun", self._identified("CreateChildRun", request, chance)
        return "CreateRun", self._identified("CreateRun", request, chance)

    def _write(self, method: str, run_id: str, chance: random.Random) -> tuple[str, Request]:
        request: Request = {"run_id": run_id, **fields_of(method, chance)}
        seen = self._seen.get(run_id)
        if seen is not None and method not in KIND_OF and method != "AppendEvents" and chance.random() < 0.3:
            request["expected_version"] = max(0, seen.version - (chance.random() < 0.1))
        return method, self._identified(method, request, chance)

    def _identified(self, method: str, request: Request, chance: random.Random) -> Request:
        """Return a request with an id, or without where its outcome need not be asked for."""
        if (self.is_calm or method in UNIDENTIFIED) and chance.random() < 0.4:
            return request
        self._requests += 1
        return {**request, "request_id": f"{self.caller}-{self._requests}"}

    def _common_call(self) -> tuple[str, Request]:
        """Return a write that all callers send, with one request id, about when the others do."""
        chance = random.Random(f"{self.seed} common {self._common}")
        method = chance.choice(
            ("CreateRun", "AddRunTags", "RemoveRunTags", "AppendEvents", "PutValue", "DeleteRun")
        )
        request: Request = {"run_id": chance.choice(RUN_IDS), "request_id": f"common-{self._common}"}
        if method == "CreateRun":
            request["tags"] = [chance.choice(TAGS)]
            if chance.random() < 0.5:
                del request["run_id"]
        else:
            request.update(fields_of(method, chance))
        if self._random.random() < 0.1:
            request["run_id"] = UNKNOWN_ID
            method = "PauseRun"
            request = {field: request[field] for field in ("run_id", "request_id")}
        self._common += 1
        return method, request

    def _again(self) -> tuple[str, Request]:
        """Return a request that was answered: it is answered so again, or refused when it differs."""
        method, request = self._random.choice(self._sent)
        if self._random.random() < 0.2:
            return "PauseRun", {"run_id": self._run_id(), "request_id": request["request_id"]}
        return method, request

    # Reads.

    def _any_read(self) -> tuple[str, Request]:
        chance = self._random
        number = chance.random()
        if number < 0.1 and self._walks:
            method, request = self._walks.pop(chance.randrange(len(self._walks)))
            del self._walks[:-10]
            return method, {name: value for name, value in request.items() if name != "skip"}
        if number < 0.4:
            request = {"run_id": self._spelled()}
            method = chance.choice(SINGLE_READS)
            return method, {**request, "view": chance.randrange(4)} if method == "GetRun" else request
        if number < 0.75:
            return self._data_read(chance.choice(DATA_READS), chance)
        return self._collection(chance)

    def _data_read(self, method: str, chance: random.Random) -> tuple[str, Request]:
        request: Request = {"run_id": self._spelled()}
        if method in ("ReadEvents", "CountEvents"):
            if chance.random() < 0.5:
                request["stream"] = chance.choice(STREAMS)
            if method == "ReadEvents":
                request |= {"backwards": chance.random() < 0.5, "page_size": chance.choice((1, 3, 20))}
        elif method.startswith("List"):
            request |= {"prefix": chance.choice(("", "k")), "page_size": chance.choice((1, 2, 20))}
        else:
            request[KIND_OF[method]] = chance.choice(NAMES)
            if method == "GetValueHistory":
                request["page_size"] = chance.choice((1, 3, 20))
            elif method == "GetDocument" and chance.random() < 0.3:
                request["pointer"] = chance.choice(POINTERS)
            elif chance.random() < 0.2:
                request["version"] = chance.randrange(1, 6)
        return method, request

    def _collection(self, chance: random.Random) -> tuple[str, Request]:
        is_with_archived = {"include_archived": chance.random() < 0.5}
        page = {"page_size": chance.choice((1, 2, 3, 5, 50)), "view": chance.choice((1, 2, 2, 3))}
        match chance.randrange(8):
            case 0:
                skip = {"skip": chance.choice((0, 0, 2))}
                return "ListRuns", {**skip, **page, **is_with_archived}
            case 1:
                states = chance.sample(range(1, 7), chance.randrange(3))
                return "CountRuns", {"states": states, **is_with_archived}
            case 2:
                return "QueryRunsByState", {"state": chance.randrange(1, 7), **page}
            case 3:
                return "QueryRunsByTag", {"tag": chance.choice(TAGS), **page, **is_with_archived}
            case 4:
                return "GetChildRuns", {"run_id": self._run_id(), **page, **is_with_archived}
            case 5:
                return "GetRunHistory", {"run_id": self._run_id(), "page_size": chance.choice((2, 20))}
            case 6:
                return "ListTags", {"page_size": chance.choice((2, 20)), **is_with_archived}
            case _:
                return "SearchRuns", {"query": chance.choice(list(QUERIES)), **page, **is_with_archived}

    def _run_id(self) -> str:
        number = self._random.random()
        if number < 0.05:
            return DEFAULT
        if number < 0.1 and self._made:
            return self._random.choice(self._made)
        return UNKNOWN_ID if number > 0.98 else self._random.choice(RUN_IDS)

    def _spelled(self) -> str:
        """Return a run id, seldom as others write it."""
        run_id = self._run_id()
        is_plain = run_id == DEFAULT or self._random.random() < 0.9
        return run_id if is_plain else self._random.choice(SPELLINGS)(run_id)


def metadata(chance: random.Random) -> dict[str, Any]:
    """Return some metadata."""
    return {key: chance.choice(WORDS) for key in chance.sample(METADATA_KEYS, chance.randrange(3))}


def content(chance: random.Random) -> dict[str, Any]:
    """Return a value, one of few."""
    return chance.choice(({"json": None}, {"json": "text"}, {"json": {"a": [1.0]}}, {"binary": b"\x00\xff"}))


def fields_of(method: str, chance: random.Random) -> Request:
    """Return what a write carries beside its run."""
    match method:
        case "AddRunTags" | "RemoveRunTags":
            return {"tags": chance.sample(TAGS, chance.randrange(1, 3))}
        case "UpdateRunMetadata":
            return {"metadata": metadata(chance), "merge": chance.random() < 0.5}
        case "SetRunRetention":
            return {"policy": chance.choice(POLICIES)}
        case "FailRun":
            return {"error": chance.choice(ERRORS)}
        case "AppendEvents":
            count = chance.randrange(1, 4)
            return {"events": [{"stream": chance.choice(STREAMS), "value": content(chance)}] * count}
        case "MergeDocument":
            return {"document": chance.choice(NAMES), "patch": {"a": [float(chance.randrange(3))], "b": []}}
        case "SetDocument" if chance.random() < 0.5:
            return {"document": chance.choice(NAMES), "pointer": chance.choice(POINTERS), "value": "text"}
        case "SetDocument":
            return {"document": chance.choice(NAMES), "value": {"a": [chance.choice(WORDS)], "b": []}}
        case "PutValue" | "SetState" | "CompareAndSetState":
            fields = {KIND_OF[method]: chance.choice(NAMES), "value": content(chance)}
            if method == "CompareAndSetState" and chance.random() < 0.7:
                fields["expected"] = content(chance)
            return fields
        case "DeleteValue" | "DeleteDocument":
            return {KIND_OF[method]: chance.choice(NAMES)}
    return {}


def read_all(runs: list[Answer]) -> list[tuple[str, Request]]:
    """Return the reads that show all that some runs are and hold."""
    reads: list[tuple[str, Request]] = []
    for run in runs:
        whole = {"run_id": run["run_id"], "page_size": 1_000}
        reads += [(method, {"run_id": run["run_id"]}) for method in ("GetRun", "GetRunRetention")]
        reads += [
            (method, whole)
            for method in ("GetRunHistory", "ListValues", "ListStates", "ListDocuments", "ReadEvents")
        ]
        reads += [("GetValueHistory", {**whole, "key": name}) for name in NAMES]
    return reads
