r"""Reads a search query: text to a tree.

    query  = all ("OR" all)*
    all    = term+
    term   = "-" term | "(" query ")" | word | quoted | field
    field  = name ":" value | name ("<" | "<=" | ">" | ">=") value

White space stands between terms; what they mean is told in the contract, at SearchRuns. Beyond that:

- A word and a bare value end at white space, a parenthesis or a quotation mark; that of `tag:` as told there.
- In quotes `\"` is a quotation mark and `\\` a backslash; any other backslash stands for itself.
- `*` stands at the end of a word only; a word that holds one elsewhere has to be quoted.
- A word with a `:`, `<` or `>` is read as a field, and one with a `=` behind a field's name, to be refused.
- Names of fields are as written, states in either case; a metadata path is compared exactly.
"""

import re
from functools import lru_cache
from typing import Final, NoReturn

from runindex_server import limits
from runindex_server.errors import InvalidQuery
from runindex_server.schema.run import parse_run_id
from runindex_server.search.expression import And, Expression, Not, Or
from runindex_server.search.fields import COMPARED, METADATA, VALUED, pattern, phrase, shown, word

QUERIES_REMEMBERED: Final = 128
"""Queries that are not read again when they come again. At most some 100 KB each, mostly less than 1 KB."""

_WHITE_SPACE: Final = re.compile(r"\s*")
_OR: Final = re.compile(r'OR(?=[\s()"]|\Z)')
_DANGLING: Final = re.compile(r'-+(?=[\s)]|\Z|OR(?:[\s()"]|\Z))')
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\]?+)*+)"')
_ESCAPE: Final = re.compile(r'\\(["\\])')
_BARE: Final = re.compile(r'[^\s()"]*')
_FIELD: Final = re.compile(r'([^\s()":<>]*)(<=|>=|[:<>])')


@lru_cache(QUERIES_REMEMBERED)
def parse_query(text: str) -> Expression:
    """Return the tree of a query.

    Raises:
        InvalidQuery: It cannot be read; the position is that of the part at fault, in code points.
    """
    return _Parser(text).parse()


class _Parser:
    """One query, and how far it has been read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> Expression:
        """Read the whole query."""
        self._skip_white_space()
        if self._at == len(self._text):
            raise InvalidQuery("it has no term", position=0)
        expression = self._either(depth=0, opener=0)
        if self._at < len(self._text):
            raise InvalidQuery("a ')' has no '('", position=self._at)
        return expression

    def _either(self, *, depth: int, opener: int) -> Expression:
        """Read what `OR` joins; `opener` is where it begins."""
        operands = [self._all(depth=depth, opener=opener)]
        while self._match(_OR):
            operator = self._at
            self._at += len("OR")
            operands.append(self._all(depth=depth, opener=operator))
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _all(self, *, depth: int, opener: int) -> Expression:
        """Read terms side by side; `opener` is what needs them."""
        operands = []
        self._skip_white_space()
        while not self._is_at_end():
            operands.append(self._term(depth=depth))
            self._skip_white_space()
        if not operands:
            self._refuse_empty(opener)
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _is_at_end(self) -> bool:
        """Tell whether no further term stands side by side with those read."""
        return self._peek() in {"", ")"} or self._match(_OR) != ""

    def _refuse_empty(self, opener: int) -> NoReturn:
        """Refuse that no term stands where one has to."""
        if self._match(_OR):
            raise InvalidQuery("'OR' has no term before it", position=self._at)
        if self._text.startswith("OR", opener):
            raise InvalidQuery("'OR' has no term behind it", position=opener)
        if self._text.startswith("(", opener):
            raise InvalidQuery("parentheses hold no term", position=opener)
        raise InvalidQuery("a ')' has no '('", position=self._at)

    def _term(self, *, depth: int) -> Expression:
        """Read one term."""
        start = self._at
        first = self._peek()
        if first in {"-", "("} and depth == limits.QUERY_DEPTH_MAX:
            problem = f"more than {limits.QUERY_DEPTH_MAX} parentheses and negations stand inside each other"
            raise InvalidQuery(problem, position=start)
        match first:
            case "-":
                if self._match(_DANGLING):
                    raise InvalidQuery("'-' has no term behind it", position=start)
                self._at += 1
                return Not(self._term(depth=depth + 1))
            case "(":
                self._at += 1
                inside = self._either(depth=depth + 1, opener=start)
                if self._peek() != ")":
                    raise InvalidQuery("a '(' has no ')'", position=start)
                self._at += 1
                return inside
            case '"':
                return phrase(self._quoted(), position=start)
            case _:
                return self._word_or_field()

    def _word_or_field(self) -> Expression:
        """Read a word, or a field and its value."""
        start = self._at
        whole = self._match(_BARE)
        field = _FIELD.match(self._text, start)
        # A word that is an id may have the form `urn:uuid:...`.
        if field is None or parse_run_id(whole) is not None:
            name, equals, _ = whole.partition("=")
            if equals and _is_field(name):
                self._refuse_operator(name, "=", position=start + len(name))
            return word(self._bare(), position=start)
        name, operator = field.groups()
        if not _is_field(name):
            problem = f"{shown(name)} is no field; quote a word that holds ':', '<' or '>'"
            raise InvalidQuery(problem, position=start)
        if (operator == ":") == (name in COMPARED):
            self._refuse_operator(name, operator, position=field.start(2))
        self._at = field.end()
        return self._field(name, operator)

    def _refuse_operator(self, name: str, operator: str, *, position: int) -> NoReturn:
        """Refuse what stands between a field and its value."""
        ways = "'<', '<=', '>' or '>='" if name in COMPARED else "':'"
        raise InvalidQuery(f"{shown(name)} takes {ways}, not '{operator}'", position=position)

    def _field(self, name: str, operator: str) -> Expression:
        """Read the value of a field."""
        start = self._at
        is_quoted = self._peek() == '"'
        value = self._quoted() if is_quoted else self._bare_tag() if name == "tag" else self._bare()
        if not value:
            raise InvalidQuery(f"{shown(name)} has no value", position=start)
        if name in COMPARED:
            return COMPARED[name](operator, value, start)
        if name in VALUED:
            return VALUED[name](value, start)
        read = phrase if is_quoted else pattern
        return read(value, position=start, path=name.removeprefix(METADATA))

    def _quoted(self) -> str:
        """Read a quoted text and return what it holds."""
        start = self._at
        match = _QUOTED.match(self._text, start)
        if match is None:
            raise InvalidQuery("a quotation mark is not closed", position=start)
        self._at = match.end()
        if self._peek() not in {"", ")"} and not self._peek().isspace():
            raise InvalidQuery("white space has to follow a quoted text", position=self._at)
        return _ESCAPE.sub(r"\1", match[1])

    def _bare(self) -> str:
        """Read up to what ends a word."""
        value = self._match(_BARE)
        self._at += len(value)
        if self._peek() == '"':
            raise InvalidQuery("a quotation mark stands inside a word", position=self._at)
        return value

    def _bare_tag(self) -> str:
        """Read up to white space, or to a `)` without its `(`."""
        start = self._at
        open_count = 0
        while (char := self._peek()) and not char.isspace():
            open_count += (char == "(") - (char == ")")
            if open_count < 0:
                break
            self._at += 1
        return self._text[start : self._at]

    def _skip_white_space(self) -> None:
        self._at += len(self._match(_WHITE_SPACE))

    def _match(self, pattern: re.Pattern[str]) -> str:
        """Return what of the rest a pattern matches, which may be nothing."""
        match = pattern.match(self._text, self._at)
        return "" if match is None else match[0]

    def _peek(self) -> str:
        """Return the next character; nothing at the end."""
        return self._text[self._at : self._at + 1]


def _is_field(name: str) -> bool:
    """Tell whether a name is that of a field."""
    return name in VALUED or name in COMPARED or name.startswith(METADATA)
