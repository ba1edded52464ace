"""What the words and fields of a query find: from their text to a part of the tree."""

import re
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

from runindex_server.errors import VALUE_SHOWN_CHARS_MAX, InvalidQuery
from runindex_server.schema.document import STATE_NAMES
from runindex_server.schema.run import (
    DEFAULT_RUN_ID,
    DEFAULT_RUN_NAME,
    FINISHED,
    RunId,
    RunState,
    parse_run_id,
)
from runindex_server.schema.spans import parse_span_us
from runindex_server.schema.text import ends_in_word, words
from runindex_server.search.expression import (
    Created,
    Duration,
    Expression,
    Id,
    IdPrefix,
    Interval,
    Or,
    Outcome,
    Parent,
    State,
    Tag,
    Text,
    Times,
    Updated,
)
from runindex_server.search.times import parse_instant_us

METADATA: Final = "meta."
"""The field of a metadata value begins so; the rest of its name is the value's path."""

ID_PREFIX_CHARS_MIN: Final = 8
"""A shorter word is taken for no prefix of an id; too many words would be."""

_HEX_DIGITS: Final = re.compile(r"[0-9a-f]{1,32}")

_STATES: Final = {name: state for state, name in STATE_NAMES.items()}
_OUTCOMES: Final = {STATE_NAMES[state]: state for state in sorted(FINISHED)}


def word(text: str, *, position: int) -> Expression:
    """Return what a bare word finds: runs with it, and runs whose id it is or may begin."""
    expression = pattern(text, position=position)
    named = _named_by(text.removesuffix("*"))
    return expression if named is None else Or((expression, named))


def _named_by(text: str) -> Expression | None:
    """Return what finds the runs whose id a word is or may begin; None when it is neither."""
    run_id = parse_run_id(text)
    if run_id is not None:
        return Id(run_id)
    digits = _id_digits(text) if len(text) >= ID_PREFIX_CHARS_MIN else None
    return None if digits is None else IdPrefix(digits)


def pattern(text: str, *, position: int, path: str | None = None) -> Expression:
    """Return what finds a bare word, or the beginning of one."""
    body = text.removesuffix("*")
    if "*" in body or (body != text and not ends_in_word(body)):
        star = text.index("*")
        raise InvalidQuery("'*' has to end a word; quote it as text", position=position + star)
    return _text(body, position=position, path=path, is_prefix=body != text)


def phrase(text: str, *, position: int, path: str | None = None) -> Expression:
    """Return what finds a quoted text."""
    return _text(text, position=position, path=path, is_prefix=False)


def _text(text: str, *, position: int, path: str | None, is_prefix: bool) -> Expression:
    found = tuple(words(text))
    if not found:
        raise InvalidQuery(f"{shown(text)} holds no letter or digit", position=position)
    return Text(found, is_prefix=is_prefix, path=path)


def _id(text: str, position: int) -> Expression:
    """Return what finds a run by its id, or runs by a prefix of it."""
    if not text.endswith("*"):
        return Id(_run_id(text, position))
    prefix = text.removesuffix("*")
    if not prefix:
        raise InvalidQuery("'*' has to end a prefix of a run id", position=position)
    digits = _id_digits(prefix)
    found: list[Expression] = [] if digits is None else [IdPrefix(digits)]
    if DEFAULT_RUN_NAME.startswith(prefix):
        found.append(Id(DEFAULT_RUN_ID))
    if not found:
        raise InvalidQuery(f"{shown(prefix)} is no prefix of a run id", position=position)
    return found[0] if len(found) == 1 else Or(tuple(found))


def _id_digits(prefix: str) -> str | None:
    """Return the digits of a prefix of a run id, with the hyphens of the canonical text or without any."""
    text = prefix.lower()
    digits = text.replace("-", "")
    if _HEX_DIGITS.fullmatch(digits) is None:
        return None
    is_prefix = text == digits or str(UUID(digits.ljust(32, "0"))).startswith(text)
    return digits if is_prefix else None


def _run_id(text: str, position: int) -> RunId:
    run_id = parse_run_id(text)
    if run_id is None:
        raise InvalidQuery(f"{shown(text)} is no run id", position=position)
    return run_id


def _state(text: str, position: int, *, states: Mapping[str, RunState] = _STATES) -> RunState:
    state = states.get(text.lower())
    if state is None:
        raise InvalidQuery(f"{shown(text)} is none of {', '.join(states)}", position=position)
    return state


def _times(operator: str, text: str, position: int) -> Times:
    age_us, instant_us = parse_span_us(text), parse_instant_us(text)
    if age_us is not None:
        return Times(_interval(operator, age_us), is_age=True)
    if instant_us is not None:
        return Times(_interval(operator, instant_us))
    problem = (
        f"{shown(text)} is no date or instant of RFC 3339, and no age such as '90s', '5m', '1h', '7d', '2w'"
    )
    raise InvalidQuery(problem, position=position)


def _lengths(operator: str, text: str, position: int) -> Interval:
    duration_us = parse_span_us(text)
    if duration_us is None:
        problem = f"{shown(text)} is no duration such as '90s', '5m', '1.5h', '7d', '2w'"
        raise InvalidQuery(problem, position=position)
    return _interval(operator, duration_us)


def _interval(operator: str, us: int) -> Interval:
    """Return what compares so with a number of microseconds."""
    match operator:
        case "<":
            return Interval(end_us=us)
        case "<=":
            return Interval(end_us=us + 1)
        case ">":
            return Interval(start_us=us + 1)
        case _:
            return Interval(start_us=us)


def shown(text: str) -> str:
    """Return a part of the query as a refusal shows it."""
    return repr(text[:VALUE_SHOWN_CHARS_MAX])


VALUED: Final[Mapping[str, Callable[[str, int], Expression]]] = {
    "state": lambda value, position: State(_state(value, position)),
    "outcome": lambda value, position: Outcome(_state(value, position, states=_OUTCOMES)),
    "tag": lambda value, _: Tag(value),
    "parent": lambda value, position: Parent(_run_id(value, position)),
    "id": _id,
}
"""Fields that take `:`, beside `meta.`: from the value and its position to what it finds."""

COMPARED: Final[Mapping[str, Callable[[str, str, int], Expression]]] = {
    "created": lambda operator, value, position: Created(_times(operator, value, position)),
    "updated": lambda operator, value, position: Updated(_times(operator, value, position)),
    "duration": lambda operator, value, position: Duration(_lengths(operator, value, position)),
}
"""Fields that are compared: from the operator, the value and its position to what it finds."""
