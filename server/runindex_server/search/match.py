"""What a query means: whether one run matches it, by its record alone."""

from runindex_server.schema.document import Document, Words
from runindex_server.search.expression import (
    And,
    Created,
    Duration,
    Expression,
    Id,
    IdPrefix,
    Not,
    Or,
    Outcome,
    Parent,
    State,
    Tag,
    Text,
    Updated,
)


def matches(document: Document, expression: Expression, *, now_us: int) -> bool:
    """Tell whether a run matches a query.

    Args:
        document: The run.
        expression: The query.
        now_us: From when ages count, in microseconds since 1970.
    """
    run = document.run
    match expression:
        case And(operands):
            return all(matches(document, operand, now_us=now_us) for operand in operands)
        case Or(operands):
            return any(matches(document, operand, now_us=now_us) for operand in operands)
        case Not(operand):
            return not matches(document, operand, now_us=now_us)
        case State(state):
            return run.state is state
        case Outcome(state):
            return run.outcome is state
        case Tag(tag):
            return tag in run.tags
        case Parent(run_id):
            return run.parent == run_id
        case Id(run_id):
            return run.run_id == run_id
        case IdPrefix(digits):
            return not run.is_default and run.run_id.hex().startswith(digits)
        case Created(times):
            return run.create_us in times.at(now_us)
        case Updated(times):
            return run.update_us in times.at(now_us)
        case Duration(interval):
            return run.end_us is not None and run.end_us - run.create_us in interval
        case Text(_, _, path):
            fields = document.fields if path is None else document.values.get(path, ())
            return any(_holds(field, expression) for field in fields)


def _holds(field: Words, text: Text) -> bool:
    """Tell whether a field holds the words of a text, standing together."""
    head, last = text.words[:-1], text.words[-1]
    for start, word in enumerate(field[len(head) :]):
        fits = word.startswith(last) if text.is_prefix else word == last
        if fits and field[start : start + len(head)] == head:
            return True
    return False
