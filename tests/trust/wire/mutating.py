"""Changes the fields of a message: what a mutation of bytes alone seldom does without breaking it."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.support import template_methods
from tests.support.clock import START_US
from tests.trust.wire import seeds

CHANGES_MAX: Final = 4
"""Changes of one mutation at most."""

TEXTS: Final = (
    *("", " ", "\x00", "\x7f", "\n", "\u2028", "\ufeff", "\U0010ffff", "é", "ß", "İ", "ŉ", "日本", "a\u0301"),
    *("default", "DEFAULT", seeds.RUN, seeds.CHILD, seeds.FAILED, seeds.NEW, template_methods.SOURCE),
    *(seeds.RUN.upper(), f"{{{seeds.RUN}}}", f"urn:uuid:{seeds.RUN}", seeds.RUN.replace("-", "")),
    "00000000-0000-0000-0000-000000000000",
    *("k", "c", "d", "s", "t", "old", "a b", "text", "r1", "r2", "it broke", "_strata_x", "_runindex_x"),
    *seeds.QUERIES,
    *seeds.POINTERS,
    *("/-", "/01", "/-1", "/~2", "/" + "9" * 30, "/٣", "a", "//"),
    *("created<9999999999w", "created>0001-01-01", "updated<=2026-02-30", "duration>1e9h", "meta.:x", "a*b"),
    *('"', '"\\', "-" * 40, "(" * 40, "OR OR", "tag:", "id:*", "a:b:c", "state:FAILED", "9" * 200),
    *("x" * length for length in (64, 65, 127, 128, 129, 1_024, 1_025)),
    *("é" * length for length in (32, 33, 64, 65)),
)
NUMBERS: Final = (
    *(0, 1, 2, 3, 4, 5, 6, 7, 10, 99, 100, 127, 128, 399, 400, 401, 999, 1_000, 1_001, 100_000, 100_001),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
    *(999_999_999, 1_000_000_000, 253_402_300_799, 315_576_000_000, 315_576_000_001),
    *(START_US // 1_000_000, START_US // 1_000_000 - 7_200, START_US),
)
FLOATS: Final = (0.0, -0.0, 1.5, -1.0, 1e308, 5e-324, 2.0**53, float("nan"), float("inf"), float("-inf"))
BYTES: Final = (b"", b"\x00", b"\xff\xfe", b"k" * 300)

_BITS: Final[Mapping[int, tuple[bool, int]]] = {
    FieldDescriptor.TYPE_INT32: (True, 32),
    FieldDescriptor.TYPE_SINT32: (True, 32),
    FieldDescriptor.TYPE_SFIXED32: (True, 32),
    FieldDescriptor.TYPE_ENUM: (True, 32),
    FieldDescriptor.TYPE_INT64: (True, 64),
    FieldDescriptor.TYPE_SINT64: (True, 64),
    FieldDescriptor.TYPE_SFIXED64: (True, 64),
    FieldDescriptor.TYPE_UINT32: (False, 32),
    FieldDescriptor.TYPE_FIXED32: (False, 32),
    FieldDescriptor.TYPE_UINT64: (False, 64),
    FieldDescriptor.TYPE_FIXED64: (False, 64),
}
"""Whether a number has a sign, and its bits."""


RUN_IDS: Final = ("default", seeds.RUN, seeds.RUN, seeds.CHILD, seeds.FAILED, template_methods.SOURCE)
MEANINGFUL: Final = 0.85
"""How often a field gets what it is for, where that is one of few texts."""


class Mutator:
    """Changes messages, the same ones in the same way for the same chance."""

    def __init__(self, chance: random.Random, tokens: Sequence[str] = ()) -> None:
        """Take page tokens that the store has made."""
        self._chance = chance
        self._by_field = {
            **dict.fromkeys(("run_id", "parent_run_id", "source_run_id"), RUN_IDS),
            **({"page_token": tuple(tokens)} if tokens else {}),
        }

    def change(self, message: Message) -> None:
        """Change a message in some places."""
        for _ in range(self._chance.randint(1, CHANGES_MAX)):
            parts = list(_parts(message))
            part = self._chance.choice(parts)
            if part.DESCRIPTOR.fields:
                self._change_field(part, self._chance.choice(list(part.DESCRIPTOR.fields)))

    def _change_field(self, part: Message, field: FieldDescriptor) -> None:
        if self._chance.random() < 0.15:
            part.ClearField(field.name)
        elif field.is_repeated and _is_map(field):
            self._change_map(part, field)
        elif field.is_repeated:
            self._change_list(part, field)
        elif field.message_type is not None:
            self._fill(getattr(part, field.name))
        else:
            setattr(part, field.name, self._scalar(field))

    def _fill(self, message: Message) -> None:
        """Make a message present, and perhaps set one of its fields."""
        message.SetInParent()
        fields: Any = message.DESCRIPTOR.fields
        if fields and self._chance.random() < 0.8:
            field = self._chance.choice(fields)
            if not field.is_repeated and field.message_type is None:
                setattr(message, field.name, self._scalar(field))

    def _change_list(self, part: Message, field: FieldDescriptor) -> None:
        held = getattr(part, field.name)
        if len(held) and self._chance.random() < 0.3:
            del held[self._chance.randrange(len(held))]
            return
        for _ in range(self._chance.choice((1, 1, 1, 2, 64, 65))):
            if field.message_type is None:
                held.append(self._scalar(field))
            elif len(held) and self._chance.random() < 0.5:
                held.add().CopyFrom(held[self._chance.randrange(len(held) - 1)] if len(held) > 1 else held[0])
            else:
                self._fill(held.add())

    def _change_map(self, part: Message, field: FieldDescriptor) -> None:
        held: Any = getattr(part, field.name)
        keys = sorted(held)
        if keys and self._chance.random() < 0.3:
            del held[self._chance.choice(keys)]
        else:
            self._fill(held[self._text()])

    def _scalar(self, field: FieldDescriptor) -> Any:
        kind = field.type
        if kind == FieldDescriptor.TYPE_BOOL:
            return self._chance.random() < 0.5
        if kind == FieldDescriptor.TYPE_STRING:
            texts = self._by_field.get(field.name)
            meaningful = texts and self._chance.random() < MEANINGFUL
            return self._chance.choice(texts) if meaningful else self._text()
        if kind == FieldDescriptor.TYPE_BYTES:
            return self._chance.choice(BYTES)
        if kind in _BITS:
            return self._number(*_BITS[kind])
        return self._chance.choice(FLOATS)

    def _number(self, has_sign: bool, bits: int) -> int:  # noqa: FBT001  # A row of the table above.
        number = self._chance.choice(NUMBERS)
        if has_sign:
            half = 1 << bits - 1
            return max(-half, min(half - 1, -number if self._chance.random() < 0.3 else number))
        return int(min(number, (1 << bits) - 1))

    def _text(self) -> str:
        """Return a text, one of those that mean something or made of parts of them."""
        text = self._chance.choice(TEXTS)
        make: Callable[[str], str] = self._chance.choice(
            (
                str,
                str,
                str,
                lambda text: text[: self._chance.randint(0, len(text))],
                lambda text: text + self._chance.choice(TEXTS),
                lambda text: text.replace("a", self._chance.choice(TEXTS)),
                lambda text: text[::-1],
            )
        )
        return make(text)


def _parts(message: Message) -> Any:
    """Yield a message and all that are within it."""
    yield message
    for field, held in message.ListFields():
        if field.message_type is None:
            continue
        if not field.is_repeated:
            yield from _parts(held)
        elif _is_map(field):
            if field.message_type.fields_by_name["value"].message_type is not None:
                for key in sorted(held):
                    yield from _parts(held[key])
        else:
            for each in held:
                yield from _parts(each)


def _is_map(field: FieldDescriptor) -> bool:
    """Tell whether a repeated field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry
