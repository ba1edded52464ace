"""Makes the plan of a query on one snapshot."""

from typing import Final

from runindex_server import limits
from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys, records, terms
from runindex_server.schema.encoding import after_prefix
from runindex_server.schema.run import DEFAULT_RUN_ID, ENDED, RunId
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
    Updated,
)
from runindex_server.search.overlay import OverlayView
from runindex_server.search.plan import (
    EVERYTHING,
    ORDINAL_END,
    Among,
    Between,
    Candidates,
    Either,
    Every,
    Except,
    Having,
    Plan,
    cost,
)

ID_PREFIX_RUNS_MAX: Final = 1_000
"""Runs to which a prefix of an id is expanded; one of more is checked on candidate records."""

_TIME_END_US: Final = 1 << 63
"""Above every create time."""

_ENDED: Final = tuple(map(terms.state, sorted(ENDED)))


class Planner:
    """Makes plans for one snapshot."""

    def __init__(self, txn: ReadTxn, overlay: OverlayView, *, now_us: int) -> None:
        """Take the snapshot, what is pending in it, and from when ages count."""
        self._txn = txn
        self._overlay = overlay
        self._now_us = now_us

    def plan(self, expression: Expression) -> Plan:
        """Return the plan of a query.

        Raises:
            StoreCorrupt: A record is not what was written.
        """
        match expression:
            case And(operands):
                return _every(*map(self.plan, operands))
            case Or(operands):
                return Either(tuple(map(self.plan, operands)))
            case Not(operand):
                return Except(self.plan(operand))
            case State(state):
                return Having((terms.state(state),))
            case Outcome(state):
                return Having((terms.outcome(state),))
            case Tag(tag):
                return _having(terms.tag(tag))
            case Parent(run_id):
                return Having((terms.parent(run_id),))
            case Id(run_id):
                return self._id(run_id)
            case IdPrefix(digits):
                return self._id_prefix(digits)
            case Created(times):
                return self._created(times.at(self._now_us))
            case Updated(times):
                # What was last changed before a time was created before it.
                return Candidates(self._created(Interval(end_us=times.at(self._now_us).end_us)))
            case Duration():
                return Candidates(Having(_ENDED))
            case Text():
                return self._text(expression)

    def _text(self, text: Text) -> Plan:
        """Return the plan of words. That several stand together is left to be checked."""
        *head, last = text.words
        plans = [_having(terms.word(word, path=text.path), are_words=True) for word in head]
        if text.is_prefix:
            plans.append(self._prefix(last, path=text.path))
        else:
            plans.append(_having(terms.word(last, path=text.path), are_words=True))
        return Candidates(_every(*plans)) if head else plans[0]

    def _prefix(self, prefix: str, *, path: str | None) -> Plan:
        """Return the plan of the words that begin so."""
        term_prefix = terms.word_prefix(prefix, path=path)
        # Behind its stem a shortened term does not tell how the word goes on.
        found = self._terms_with(term_prefix[: terms.STEM_BYTES])
        if len(found) > limits.PREFIX_TERMS_MAX:
            return Candidates(EVERYTHING)
        plan = Having(tuple(found), are_words=True)
        return plan if len(term_prefix) <= terms.STEM_BYTES else Candidates(plan)

    def _terms_with(self, prefix: bytes) -> list[bytes]:
        """Return the terms that begin so; when they are more than a prefix may have, some of them."""
        start, end = keys.posting_prefix_range(prefix)
        found = set(self._overlay.terms_in(prefix, after_prefix(prefix))[: limits.PREFIX_TERMS_MAX + 1])
        while len(found) <= limits.PREFIX_TERMS_MAX:
            row = next(self._txn.scan(start, end, limit=1), None)
            if row is None:
                break
            term, _ = keys.split_posting(row[0])
            found.add(term)
            # One seek for each term, however many blocks it is in.
            start = keys.posting_range(term).end
        return sorted(found)

    def _id(self, run_id: RunId) -> Plan:
        """Return the plan of one run, which need not exist."""
        key = keys.run(run_id)
        value = self._txn.get(key)
        return Among(frozenset(() if value is None else (records.ordinal_of(key, value),)))

    def _id_prefix(self, digits: str) -> Plan:
        """Return the plan of the runs whose id begins so. The default run's does not."""
        half_byte = int(digits[-1], 16) if len(digits) % 2 else None
        start, end = keys.run_prefix_range(bytes.fromhex(digits[: len(digits) // 2 * 2]), half_byte=half_byte)
        ordinals = set()
        for count, (key, value) in enumerate(self._txn.scan(start, end)):
            if count == ID_PREFIX_RUNS_MAX:
                return Candidates(EVERYTHING)
            if keys.run_of(key) != DEFAULT_RUN_ID:
                ordinals.add(records.ordinal_of(key, value))
        return Among(frozenset(ordinals))

    def _created(self, interval: Interval) -> Plan:
        """Return the plan of the runs that were created in an interval: ordinals and times grow together."""
        start = 0 if interval.start_us is None else self._first_created_since(interval.start_us)
        end = ORDINAL_END if interval.end_us is None else self._first_created_since(interval.end_us)
        return Between(start, end)

    def _first_created_since(self, us: int) -> int:
        """Return the ordinal of the oldest run that was created at a time or later."""
        start, end = keys.created_since_range(min(max(us, 0), _TIME_END_US))
        return next((keys.ordinal_of(key) for key, _ in self._txn.scan(start, end, limit=1)), ORDINAL_END)


def _every(*plans: Plan) -> Plan:
    """Return the plan of the runs that match each of some plans."""
    return Every(tuple(sorted(plans, key=cost)))


def _having(term: bytes, *, are_words: bool = False) -> Plan:
    """Return the plan of the runs with a term, to be checked when several texts may stand behind it."""
    plan = Having((term,), are_words=are_words)
    return Candidates(plan) if terms.is_shortened(term) else plan
