"""What search sees of a run: the fields in which it looks for words, and the metadata values by their path.

The run's id is none of them: ids are searched by the records' keys. Nor is anything of its data.
"""

from collections.abc import Mapping
from functools import cached_property
from itertools import chain
from typing import Final

from google.protobuf.struct_pb2 import Struct, Value

from runindex_server.schema.run import Run, RunState
from runindex_server.schema.text import boolean_text, number_text, words

Words = tuple[str, ...]
"""The words of one field, in their order. A phrase lies within one of these."""

STATE_NAMES: Final[Mapping[RunState, str]] = {state: state.name.lower() for state in RunState}
"""The name by which a query knows a state."""


class Document:
    """A run as search sees it. Its metadata is parsed when it is first asked for."""

    def __init__(self, run: Run) -> None:
        """Take the run."""
        self.run = run

    @cached_property
    def values(self) -> Mapping[str, list[Words]]:
        """The words of each metadata value, by the keys that lead to it, joined by dots.

        Strings are as they are, numbers and booleans their JSON text, and null is nothing. The elements of a
        list stand under the path of the list.
        """
        values: dict[str, list[Words]] = {}
        for path, text in self._metadata.leaves:
            if text is not None:
                values.setdefault(path, []).append(_words(text))
        return values

    @cached_property
    def fields(self) -> list[Words]:
        """The words of every field: state, error, tags, metadata keys and metadata values."""
        beside = [_words(text) for text in texts_beside_metadata(self.run)]
        return [*beside, *map(_words, self._metadata.keys), *chain.from_iterable(self.values.values())]

    @cached_property
    def _metadata(self) -> "MetadataText":
        return MetadataText(self.run.metadata)


def texts_beside_metadata(run: Run) -> tuple[str, ...]:
    """Return the text of a run's state, error and tags."""
    return (STATE_NAMES[run.state], run.error or "", *run.tags)


class MetadataText:
    """What is searched of a metadata object.

    Attributes:
        keys: Its keys, of all levels.
        leaves: The path and the text of each value, as in `Document.values`. What has no text, as null and an
            empty object, stands there by its path.
    """

    def __init__(self, metadata: bytes) -> None:
        """Read an encoded Struct; empty for none."""
        self.keys: set[str] = set()
        self.leaves: list[tuple[str, str | None]] = []
        if metadata:
            self.add_members(Struct.FromString(metadata), prefix="")

    def add_members(self, struct: Struct, *, prefix: str) -> None:
        """Add the members of an object. As deep as metadata may be, which bounds the recursion."""
        members = struct.fields
        self.keys.update(members)
        # Looked up one by one, which takes two thirds of the time of `items`.
        for key in members:
            self.add_value(members[key], prefix + key)

    def add_value(self, value: Value, path: str) -> None:
        """Add what stands under a path."""
        match value.WhichOneof("kind"):
            case "string_value":
                self.leaves.append((path, value.string_value))
            case "number_value":
                self.leaves.append((path, number_text(value.number_value)))
            case "bool_value":
                self.leaves.append((path, boolean_text(value.bool_value)))
            case "struct_value" if value.struct_value.fields:
                self.add_members(value.struct_value, prefix=f"{path}.")
            case "list_value" if value.list_value.values:
                for element in value.list_value.values:
                    self.add_value(element, path)
            case _:
                self.leaves.append((path, None))


def _words(text: str) -> Words:
    return tuple(words(text))
