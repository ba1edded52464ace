"""Makes the plan of a query: terms are named; prefixes, ids and times are looked up on each snapshot anew."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Final, TypeAlias

from runindex_server import limits
from runindex_server.schema import keys, records, terms
from runindex_server.schema.encoding import after_prefix
from runindex_server.schema.run import DEFAULT_RUN_ID, ENDED, RunId
from runindex_server.search import effort
from runindex_server.search.expression import (
    And,
    Created,
    Duration,
    Expression,
    Id,
    IdPrefix,
    Interval,
    Not,
    Or,
    Outcome,
    Parent,
    State,
    Tag,
    Text,
    Times,
    Updated,
    visible,
)
from runindex_server.search.sources import (
    Among,
    Between,
    Either,
    Every,
    Having,
    Postings,
    Source,
    Unchecked,
)

Plan: TypeAlias = Callable[[Postings], Source]
"""Tells where the runs of a query come from on a snapshot, by its postings."""

PLANS_REMEMBERED: Final = 128
"""Plans that are not made again when their query comes again. As `query.QUERIES_REMEMBERED`."""

ID_PREFIX_RUNS_MAX: Final = 1_000
"""Runs to which a prefix of an id is expanded; one of more is checked on candidate records."""

ORDINAL_END: Final = 1 << 64
"""Above every ordinal."""

_EVERY_RUN: Final[Plan] = partial(Having, terms.EVERY_RUN, keys.posting_range(terms.EVERY_RUN).start)
_TIME_END_US: Final = 1 << 63
"""Above every create time."""

_ENDED: Final = tuple(map(terms.state, sorted(ENDED)))


@lru_cache(PLANS_REMEMBERED)
def plan_of(expression: Expression, *, include_archived: bool) -> Plan:
    """Return the plan of a query. It is the same for all snapshots.

    What is planned raises, on a snapshot, StoreCorrupt when a record is not what was written, and
    TooMuchWork when it takes too long to find out.
    """
    return _plan(visible(expression, include_archived=include_archived))


def _plan(expression: Expression) -> Plan:
    """Return the plan of a part of a query."""
    match expression:
        case Text():
            return _text(expression)
        case And() | Not():
            return _every(expression)
        case Or(operands):
            plans = [_plan(operand) for operand in operands]
            return lambda postings: Either([plan(postings) for plan in plans])
        case State(state):
            return _having(terms.state(state))
        case Outcome(state):
            return _having(terms.outcome(state))
        case Tag(tag):
            return _having(terms.tag(tag))
        case Parent(run_id):
            return _having(terms.parent(run_id))
        case Id(run_id):
            return partial(_with_id, run_id)
        case IdPrefix(digits):
            return partial(_with_id_prefix, digits)
        case Created(times):
            return lambda postings: _existing(_created(times.at(postings.now_us), postings), postings)
        case Updated(times):
            return partial(_updated, times)
        case Duration():
            ended = [_having(term) for term in _ENDED]
            return lambda postings: Unchecked(Either([plan(postings) for plan in ended]))


def _every(expression: Expression) -> Plan:
    """Return the plan of what has to match side by side."""
    operands = list(_side_by_side(expression))
    states = {operand.state for operand in operands if isinstance(operand, State)}
    plans: list[Plan] = []
    excluded: list[Plan] = []
    is_grounded = False
    for operand in operands:
        match operand:
            case Not(State(state)) if states - {state}:
                # A run has one state.
                pass
            case Not(inner):
                excluded.append(_plan(inner))
            case Created(times):
                plans.append(partial(_created_at, times))
            case _:
                plans.append(_plan(operand))
                is_grounded = True
    if not is_grounded:
        # There is nothing else that holds only ordinals of runs.
        plans.append(_EVERY_RUN)
    if len(plans) == 1 and not excluded:
        return plans[0]
    return lambda postings: Every([plan(postings) for plan in plans], [plan(postings) for plan in excluded])


def _having(term: bytes) -> Plan:
    """Return the plan of a term, to be checked when several texts may stand behind it."""
    plan = _exactly(term)
    return (lambda postings: Unchecked(plan(postings))) if terms.is_shortened(term) else plan


def _exactly(term: bytes) -> Plan:
    """Return the plan of a term, whatever stands behind it."""
    return partial(Having, term, keys.posting_range(term).start)


def _text(text: Text) -> Plan:
    """Return the plan of words. That several stand together is left to be checked."""
    *head, last = text.words
    plans = [_word(word, path=text.path) for word in head]
    plans.append(
        partial(_prefix, terms.word_prefix(last, path=text.path))
        if text.is_prefix
        else _word(last, path=text.path)
    )
    if not head:
        return plans[0]
    return lambda postings: Unchecked(Every([plan(postings) for plan in plans], []))


def _word(word: str, *, path: str | None) -> Plan:
    """Return the plan of a whole word."""
    plan = _having(terms.word(word, path=path))
    return lambda postings: _or_partial(plan(postings), postings)


def _or_partial(words: Source, postings: Postings) -> Source:
    """Return where words are, and where they may be because a run has too many to be told."""
    return words if postings.partial is None else Either([words, postings.partial])


def _prefix(term_prefix: bytes, postings: Postings) -> Source:
    """Return where the words are of which the terms begin so."""
    # Behind its stem a shortened term does not tell how the word goes on.
    found = _terms_with(term_prefix[: terms.STEM_BYTES], postings)
    if len(found) > limits.PREFIX_TERMS_MAX:
        return Unchecked(_EVERY_RUN(postings))
    source = _or_partial(Either([_exactly(term)(postings) for term in found]), postings)
    return source if len(term_prefix) <= terms.STEM_BYTES else Unchecked(source)


def _terms_with(prefix: bytes, postings: Postings) -> list[bytes]:
    """Return the terms that begin so; when they are more than a prefix may have, some of them."""
    start, end = keys.posting_prefix_range(prefix)
    found = postings.overlay.terms_in(prefix, after_prefix(prefix))
    while len(found) <= limits.PREFIX_TERMS_MAX:
        postings.work.spend(effort.POSTING)
        row = next(postings.txn.scan(start, end, limit=1), None)
        if row is None:
            break
        term, _ = keys.split_posting(row[0])
        found.add(term)
        # One seek for each term, however many blocks it is in.
        start = keys.posting_range(term).end
    return sorted(found)


def _with_id(run_id: RunId, postings: Postings) -> Source:
    """Return where one run is, which need not exist."""
    key = keys.run(run_id)
    value = postings.txn.get(key)
    return Among([] if value is None else [records.ordinal_of(key, value)])


def _with_id_prefix(digits: str, postings: Postings) -> Source:
    """Return where the runs are whose id begins so. The default run's does not."""
    half_byte = int(digits[-1], 16) if len(digits) % 2 else None
    start, end = keys.run_prefix_range(bytes.fromhex(digits[: len(digits) // 2 * 2]), half_byte=half_byte)
    ordinals = []
    for count, (key, value) in enumerate(postings.txn.scan(start, end)):
        if count == ID_PREFIX_RUNS_MAX:
            return Unchecked(_EVERY_RUN(postings))
        postings.work.spend(effort.POSTING)
        if keys.run_of(key) != DEFAULT_RUN_ID:
            ordinals.append(records.ordinal_of(key, value))
    return Among(ordinals)


def _updated(times: Times, postings: Postings) -> Source:
    """Return where the runs are that may have been changed last at some time."""
    # What was last changed before a time was created before it.
    before = Interval(end_us=times.at(postings.now_us).end_us)
    return Unchecked(_existing(_created(before, postings), postings))


def _existing(ordinals: Source, postings: Postings) -> Source:
    """Return where the runs are of which the ordinals are in a range."""
    return Every([ordinals, _EVERY_RUN(postings)], [])


def _created_at(times: Times, postings: Postings) -> Source:
    """Return the ordinals of the runs that were created at some time."""
    return _created(times.at(postings.now_us), postings)


def _created(interval: Interval, postings: Postings) -> Source:
    """Return the ordinals of an interval of create times: they grow together, but for imported runs."""
    start = 0 if interval.start_us is None else _first_created_since(interval.start_us, postings)
    end = ORDINAL_END if interval.end_us is None else _first_created_since(interval.end_us, postings)
    in_order = Between(start, end)
    imported = postings.imported
    if imported is None:
        return in_order
    return Either([Every([in_order], [imported]), Unchecked(imported)])


def _first_created_since(us: int, postings: Postings) -> int:
    """Return the ordinal of the oldest run that was created at a time or later."""
    start, end = keys.created_since_range(min(max(us, 0), _TIME_END_US))
    rows = postings.txn.scan(start, end, limit=1)
    return next((keys.ordinal_of(key) for key, _ in rows), ORDINAL_END)


def _side_by_side(expression: Expression) -> Iterator[Expression]:
    """Yield the parts of a query of which each has to match."""
    if isinstance(expression, And):
        for operand in expression.operands:
            yield from _side_by_side(operand)
    else:
        yield expression
