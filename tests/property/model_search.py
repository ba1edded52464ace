"""The model's search: queries as trees, written as text and evaluated on one run, without an index."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import ge, gt, le, lt
from typing import Any, Final, Protocol

COMPARISONS: Final = {"<": lt, "<=": le, ">": gt, ">=": ge}
UNITS_US: Final = {
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ID_PREFIX_CHARS_MIN: Final = 8


class Searched(Protocol):
    """What a query looks at in a run."""

    run_id: str
    tags: list[str]
    metadata: dict[str, Any]
    error: str | None
    parent: str | None
    create_us: int
    update_us: int

    @property
    def state_name(self) -> str:
        """The name by which a query knows its state."""
        ...

    @property
    def outcome_name(self) -> str:
        """The name by which a query knows its outcome; empty for none."""
        ...

    @property
    def duration_us(self) -> int | None:
        """How long it took; None before its end."""
        ...


class Query(Protocol):
    """A part of a query."""

    def text(self) -> str:
        """Return it as a caller writes it."""
        ...

    def matches(self, run: Searched, now_us: int, /) -> bool:
        """Tell whether a run matches it at a time."""
        ...


def words(text: str) -> list[str]:
    """Return the words of a text: runs of letters, digits and underscores, case-folded."""
    return [word.casefold() for word in re.findall(r"\w+", text)]


def holds(text: str, sought: list[str], *, is_prefix: bool = False) -> bool:
    """Tell whether a text holds words that stand together, the last perhaps as a prefix."""
    found = words(text)
    for start in range(len(found) - len(sought) + 1):
        part = found[start : start + len(sought)]
        if part == sought or (is_prefix and part[:-1] == sought[:-1] and part[-1].startswith(sought[-1])):
            return True
    return False


def value_texts(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path and the text of each plain value; members of an array stand under its path."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from value_texts(member, (*path, key))
    elif isinstance(value, list):
        for member in value:
            yield from value_texts(member, path)
    elif isinstance(value, bool):
        yield path, "true" if value else "false"
    elif isinstance(value, float):
        yield path, str(int(value)) if value.is_integer() else repr(value)
    elif value is not None:
        yield path, value


def key_texts(value: Any) -> Iterator[str]:
    """Yield the keys of an object, at every level."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from key_texts(member)


def texts(run: Searched) -> Iterator[str]:
    """Yield every text of a run in which words are sought."""
    yield run.state_name
    yield from run.tags
    yield from key_texts(run.metadata)
    yield from (text for _, text in value_texts(run.metadata))
    yield run.error or ""


@dataclass(frozen=True)
class Words:
    """`word`, `two-parts`, `"a phrase"`, `prefix*`: in any field, or by `meta.a.b:` in one value."""

    sought: str
    is_quoted: bool = False
    is_prefix: bool = False
    path: tuple[str, ...] = ()

    def text(self) -> str:
        """Return it as a caller writes it."""
        field = "".join(["meta.", ".".join(self.path), ":"]) if self.path else ""
        return (
            field + (f'"{self.sought}"' if self.is_quoted else self.sought) + ("*" if self.is_prefix else "")
        )

    def matches(self, run: Searched, _now_us: int) -> bool:
        """Tell whether a run matches it, at any time."""
        sought = words(self.sought)
        if self.path:
            within = [text for path, text in value_texts(run.metadata) if path == self.path]
            return any(holds(text, sought, is_prefix=self.is_prefix) for text in within)
        if not (self.is_quoted or self.is_prefix) and self._is_id(run.run_id):
            return True
        return any(holds(text, sought, is_prefix=self.is_prefix) for text in texts(run))

    def _is_id(self, run_id: str) -> bool:
        """Tell whether the word is a run's id or a long enough prefix of it."""
        return self.sought == run_id or (
            len(self.sought) >= ID_PREFIX_CHARS_MIN and run_id != "default" and run_id.startswith(self.sought)
        )


@dataclass(frozen=True)
class Named:
    """`state:`, `outcome:`, `tag:`, `parent:` and `id:` with an exact value, or an id's prefix."""

    field: str
    value: str

    def text(self) -> str:
        """Return it as a caller writes it."""
        needs_quotes = self.field == "tag" and re.search(r'[\s"]', self.value)
        return f'{self.field}:"{self.value}"' if needs_quotes else f"{self.field}:{self.value}"

    def matches(self, run: Searched, _now_us: int) -> bool:
        """Tell whether a run matches it, at any time."""
        match self.field:
            case "state":
                return run.state_name == self.value
            case "outcome":
                return run.outcome_name == self.value
            case "tag":
                return self.value in run.tags
            case "parent":
                return run.parent == self.value
            case _:
                prefix, star, _ = self.value.partition("*")
                return run.run_id.startswith(prefix) if star else run.run_id == prefix


@dataclass(frozen=True)
class Compared:
    """`created`, `updated` or `duration`, compared with an instant, an age or a length.

    Attributes:
        field: `created`, `updated` or `duration`.
        comparison: Of COMPARISONS.
        amount: Of `unit`; with an empty unit an instant, in microseconds since 1970.
        unit: Of UNITS_US, or empty.
    """

    field: str
    comparison: str
    amount: int
    unit: str

    def text(self) -> str:
        """Return it as a caller writes it."""
        if self.unit:
            return f"{self.field}{self.comparison}{self.amount}{self.unit}"
        instant = EPOCH + timedelta(microseconds=self.amount)
        return f"{self.field}{self.comparison}{instant.isoformat().replace('+00:00', 'Z')}"

    def matches(self, run: Searched, now_us: int) -> bool:
        """Tell whether a run matches it at a time."""
        compare = COMPARISONS[self.comparison]
        bound_us = self.amount * UNITS_US.get(self.unit, 1)
        if self.field == "duration":
            return run.duration_us is not None and compare(run.duration_us, bound_us)
        time_us = run.create_us if self.field == "created" else run.update_us
        return compare(now_us - time_us, bound_us) if self.unit else compare(time_us, bound_us)


@dataclass(frozen=True)
class Not:
    """`-term` or `-(...)`."""

    part: Query

    def text(self) -> str:
        """Return it as a caller writes it."""
        return f"-({self.part.text()})" if isinstance(self.part, All | Either) else f"-{self.part.text()}"

    def matches(self, run: Searched, now_us: int) -> bool:
        """Tell whether a run matches it at a time."""
        return not self.part.matches(run, now_us)


@dataclass(frozen=True)
class All:
    """Terms side by side."""

    parts: tuple[Query, ...]

    def text(self) -> str:
        """Return it as a caller writes it."""
        return " ".join(
            f"({part.text()})" if isinstance(part, Either) else part.text() for part in self.parts
        )

    def matches(self, run: Searched, now_us: int) -> bool:
        """Tell whether a run matches it at a time."""
        return all(part.matches(run, now_us) for part in self.parts)


@dataclass(frozen=True)
class Either:
    """`a OR b`, which binds less tightly than terms side by side."""

    parts: tuple[Query, ...]

    def text(self) -> str:
        """Return it as a caller writes it."""
        return " OR ".join(part.text() for part in self.parts)

    def matches(self, run: Searched, now_us: int) -> bool:
        """Tell whether a run matches it at a time."""
        return any(part.matches(run, now_us) for part in self.parts)


def asks_for_archived(query: Query) -> bool:
    """Tell whether a query has a `state:archived` that is not negated."""
    if isinstance(query, All | Either):
        return any(map(asks_for_archived, query.parts))
    return query == Named("state", "archived")


def queries_about(run: Searched) -> list[Query]:
    """Return queries that a run matches, one for about each way to find it."""
    found: list[Query] = [Named("state", run.state_name), *(Named("tag", tag) for tag in run.tags)]
    if run.outcome_name:
        found.append(Named("outcome", run.outcome_name))
    if run.parent is not None:
        found.append(Named("parent", run.parent))
    places: list[tuple[tuple[str, ...], str]] = [((), text) for text in texts(run)]
    for path, text in [*places, *value_texts(run.metadata)]:
        parts = re.findall(r"\w+", text)
        if not parts or any(not key.isidentifier() for key in path):
            continue
        found.append(Words(parts[-1], path=path))
        found += [
            Words(parts[0][:length], is_prefix=True, path=path) for length in (1, len(parts[0]) // 2 + 1)
        ]
        found.append(Words(" ".join(parts[-3:]), is_quoted=True, path=path))
    return found
