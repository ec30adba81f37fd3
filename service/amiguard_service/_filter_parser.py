"""Reads the text of a filter into its tree. The language is described in `filters`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from amiguard_service._filter_tree import (
    And,
    Comparison,
    Condition,
    Field,
    Filter,
    Has,
    Kind,
    MatchAll,
    Not,
    Operator,
    Or,
)
from amiguard_service._filter_values import BARE_STAR, Value, convert
from amiguard_service._syntax import TextSyntaxError, byte_offset, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILTER_BYTES: Final = 4_096
"""Room for 100 terms of a common length, and a request line that fits in a log line."""

MAX_FILTER_DEPTH: Final = 32
"""Brackets inside brackets: far more than a person writes, far less than a stack holds."""

MAX_FILTER_TERMS: Final = 100
"""Bounds what one list call can make the database compare for each row."""

_KEYWORDS = frozenset({"AND", "OR", "NOT"})
_COMPARATORS = "'=', '!=', '<', '<=', '>', '>=' or ':'"

_SPACE = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMPARATOR = re.compile(r"!=|<=|>=|[=<>:]")
_CONTROL = r"\x00-\x1f\x7f-\x9f"
_BARE_KEY = re.compile(rf"[^\s{_CONTROL}()\"'<>=!:.,*\\]+")
# A value may hold `:` and `.`, so that ARNs and times need no quotes.
_BARE_VALUE = re.compile(rf"[^\s{_CONTROL}()\"'<>=!,\\]+")
# PostgreSQL's text cannot hold NUL, so no stored value does and none is compared with it.
_QUOTED_BODY = {
    '"': re.compile(r"""(?:[^\\"\0]|\\[\\"'*])*"""),
    "'": re.compile(r"""(?:[^\\'\0]|\\[\\"'*])*"""),
}
_QUOTED_FAULTS = {
    "": "a closing quote",
    "\0": "text without NUL",
    "\\": r"""one of the escapes \\ \" \' \*""",
}


class FilterSyntaxError(TextSyntaxError):
    """A filter does not parse: not the language, an unknown field, or a value of another type."""


def parse_filter(text: str, fields: Mapping[str, Field]) -> Filter:
    """Returns what a filter asks for, MatchAll for a blank text.

    Raises FilterSyntaxError and nothing else, whatever the text.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise FilterSyntaxError(
            byte_offset(text, error.start), expected="UTF-8", got=shown(text, error.start)
        ) from None
    if size > MAX_FILTER_BYTES:
        raise FilterSyntaxError(
            MAX_FILTER_BYTES, expected=f"at most {MAX_FILTER_BYTES} bytes", got=f"{size} bytes"
        )
    return _Parser(text, fields).filter()


class _Parser:
    """One pass over one text; each method reads one rule of the grammar from `_position` on."""

    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self._text = text
        self._fields = fields
        self._position = 0
        self._depth = 0
        self._terms = 0

    def filter(self) -> Filter:
        """`[expression]`."""
        self._take(_SPACE)
        if not self._next:
            return MatchAll()
        expression = self._expression()
        if self._next:
            raise self._refusal(expected="AND, OR, another term or the end")
        return expression

    def _expression(self) -> Condition:
        """`factor {[AND] factor}`, up to a closing bracket or the end: adjacency is AND too."""
        factors = [self._factor()]
        while self._next not in {"", ")"}:
            self._take_keyword("AND")
            factors.append(self._factor())
        return factors[0] if len(factors) == 1 else And(tuple(factors))

    def _factor(self) -> Condition:
        """`term {OR term}`: OR binds tighter than AND."""
        conditions = [self._term()]
        while self._take_keyword("OR"):
            conditions.append(self._term())
        return conditions[0] if len(conditions) == 1 else Or(tuple(conditions))

    def _term(self) -> Condition:
        """`[NOT | -] (composite | restriction)`, and the white space around it."""
        self._take(_SPACE)
        is_negated = self._take_keyword("NOT")
        if is_negated:
            self._take(_SPACE)
        elif self._next == "-":
            is_negated = True
            self._position += 1
        condition = self._composite() if self._next == "(" else self._restriction()
        self._take(_SPACE)
        return Not(condition) if is_negated else condition

    def _composite(self) -> Condition:
        """`( expression )`."""
        if self._depth == MAX_FILTER_DEPTH:
            raise self._refusal(expected=f"at most {MAX_FILTER_DEPTH} nested brackets")
        self._depth += 1
        self._position += 1
        expression = self._expression()
        if not self._next:
            raise self._refusal(expected="AND, OR, another term or ')'")
        self._position += 1
        self._depth -= 1
        return expression

    def _restriction(self) -> Comparison | Has:
        """`field[.key] [comparator value]`."""
        if self._terms == MAX_FILTER_TERMS:
            raise self._refusal(expected=f"at most {MAX_FILTER_TERMS} terms")
        self._terms += 1
        field = self._field()
        key = self._key() if field.kind is Kind.STRING_MAP and self._next == "." else None
        end = self._position
        self._take(_SPACE)
        if _COMPARATOR.match(self._text, self._position):
            restriction = self._compared(field, key)
        elif key is not None:
            self._position = end
            restriction = Has(field, key)
        else:
            raise self._refusal(expected=_COMPARATORS)
        if self._next not in {"", ")", " ", "\t", "\r", "\n"}:
            raise self._refusal(expected="white space, ')' or the end after a term")
        return restriction

    def _field(self) -> Field:
        """The name of a field."""
        start = self._position
        name = self._take(_NAME)
        if name in self._fields:
            return self._fields[name]
        if name not in _KEYWORDS and name.upper() in _KEYWORDS:
            raise self._refusal(expected=f"{name.upper()} in capital letters", at=start)
        raise self._refusal(expected="'(' or a field: " + ", ".join(self._fields), at=start)

    def _key(self) -> str:
        """`.key`, in quotes or not."""
        self._position += 1
        if self._next in _QUOTED_BODY:
            return self._quoted().text
        key = self._take(_BARE_KEY)
        if not key or self._next in {".", "*"}:
            raise self._refusal(
                expected="a key, in quotes if it holds '.' or another special character"
            )
        return key

    def _compared(self, field: Field, key: str | None) -> Comparison | Has:
        """`comparator value`, in the sense that the type of the field gives to both."""
        start = self._position
        comparator = self._take(_COMPARATOR)
        is_collection = field.kind in {Kind.STRING_LIST, Kind.STRING_MAP} and key is None
        if is_collection and comparator != ":":
            hint = "'.' and a key, or ':'" if field.kind is Kind.STRING_MAP else "':'"
            raise self._refusal(expected=f"{hint} after a {field.kind.value}", at=start)
        if field.kind is Kind.ENUM and comparator not in {"=", "!=", ":"}:
            raise self._refusal(expected="'=', '!=' or ':' after an enum", at=start)
        self._take(_SPACE)
        start = self._position
        value = self._value()
        if comparator == ":" and value == BARE_STAR:
            return Has(field, key)
        if is_collection:
            return Has(field, value.text)
        operator = Operator("=" if comparator == ":" else comparator)
        converted, expected = convert(value, field, operator=operator)
        if converted is None:
            raise self._refusal(expected=expected, at=start)
        return Comparison(field, operator, converted, key)

    def _value(self) -> Value:
        """A word or a quoted string."""
        if self._next in _QUOTED_BODY:
            return self._quoted()
        start = self._position
        word = self._take(_BARE_VALUE)
        if not word or word in _KEYWORDS:
            raise self._refusal(
                at=start,
                expected="a value, in quotes if it is a keyword or holds a special character",
            )
        return Value.of_word(word)

    def _quoted(self) -> Value:
        """A string between two quotes of one kind."""
        quote = self._next
        self._position += 1
        body = self._take(_QUOTED_BODY[quote])
        if self._next != quote:
            raise self._refusal(expected=_QUOTED_FAULTS[self._next])
        self._position += 1
        return Value.of_quoted(body)

    @property
    def _next(self) -> str:
        """The next character, empty at the end."""
        return self._text[self._position : self._position + 1]

    def _take(self, pattern: re.Pattern[str]) -> str:
        """What the pattern matches here, which is then behind; empty where it does not match."""
        found = pattern.match(self._text, self._position)
        if found is None:
            return ""
        self._position = found.end()
        return found[0]

    def _take_keyword(self, keyword: str) -> bool:
        """Whether the keyword stood here, as a whole word."""
        found = _NAME.match(self._text, self._position)
        if found is None or found[0] != keyword:
            return False
        self._position = found.end()
        return True

    def _refusal(self, *, expected: str, at: int | None = None) -> FilterSyntaxError:
        """The error for what stands at an index, by default the next character."""
        index = self._position if at is None else at
        return FilterSyntaxError(
            byte_offset(self._text, index), expected=expected, got=shown(self._text, index)
        )
