"""What a counter that follows from records can look like: its key, and what one run adds to it."""

from collections.abc import Callable, Mapping
from typing import Final

from runindex_server.schema import insight_keys, keys
from runindex_server.schema.counters import SECOND_US
from runindex_server.schema.encoding import split_string
from runindex_server.schema.insight_keys import DAY_US, EVERY_RUN, HOUR_US, Figure
from runindex_server.schema.run import TIME_US_MAX, RunId, RunState

_TAG_AT: Final = len(keys.GLOBAL_NAMESPACE)
_FIGURE_PART_BYTES: Final = len(insight_keys.figure_part(Figure.STATE))
_INTERVAL_SCOPE_BYTES: Final = len(insight_keys.interval_scope(HOUR_US, 0))


def is_counter(key: bytes) -> bool:
    """Tell whether a key is of a form that a counter which follows from records can have."""
    try:
        return _IS_BY_TAG[key[_TAG_AT]](key)
    except ValueError:
        return False


def most_of_one_run(key: bytes) -> int:
    """Return how much one run adds to a counter at most."""
    if not key.startswith(keys.FIGURE.prefix):
        return 1
    return _MOST_OF_FIGURE.get(insight_keys.split_figure_part(key)[0], 1)


def _is_state_count(key: bytes) -> bool:
    return key in map(keys.state_count, RunState)


def _is_child_count(key: bytes) -> bool:
    parent = RunId(key[len(keys.CHILD_COUNT.prefix) : -1])
    return len(parent) == 16 and key == insight_keys.child_count(parent, RunState(key[-1]))


def _is_tag_count(key: bytes) -> bool:
    is_archived, tag = insight_keys.split_tag_count(key)
    return key == insight_keys.tag_count(tag, archived=is_archived)


def _is_error_count(key: bytes) -> bool:
    error, is_archived = insight_keys.split_error_count(key)
    return len(error) == 16 and key == insight_keys.error_count(error, archived=is_archived)


def _is_figure(key: bytes) -> bool:
    scope = key[len(keys.FIGURE.prefix) : -_FIGURE_PART_BYTES]
    return _is_scope(scope) and key == insight_keys.figure(scope, *insight_keys.split_figure_part(key))


def _is_scope(scope: bytes) -> bool:
    if scope == EVERY_RUN:
        return True
    number = int.from_bytes(scope[1:])
    if len(scope) == _INTERVAL_SCOPE_BYTES and any(
        scope == insight_keys.interval_scope(interval_us, number * interval_us)
        for interval_us in (HOUR_US, DAY_US)
    ):
        return True
    tag, _ = split_string(scope[1:])
    return scope == insight_keys.tag_scope(tag.decode())


_IS_BY_TAG: Final[Mapping[int, Callable[[bytes], bool]]] = {
    keys.STATE_COUNT.tag: _is_state_count,
    keys.CHILD_COUNT.tag: _is_child_count,
    keys.TAG_COUNT.tag: _is_tag_count,
    keys.ERROR_COUNT.tag: _is_error_count,
    keys.FIGURE.tag: _is_figure,
}

_MOST_OF_FIGURE: Final[Mapping[Figure, int]] = {
    Figure.SECONDS: TIME_US_MAX // SECOND_US,
    Figure.MICROSECONDS: SECOND_US - 1,
}
"""Of any other it is 1."""
