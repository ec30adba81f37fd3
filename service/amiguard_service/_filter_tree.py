"""What a filter is once it is read: fields, and a small immutable tree of conditions on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSPECIFIED: Final = "UNSPECIFIED"
"""The default of every enum, in the spelling without prefix."""


class Kind(Enum):
    """The type of a field: which operators and which values it takes."""

    STRING = "string"
    ENUM = "enum"
    INTEGER = "integer"
    TIME = "time"
    STRING_LIST = "repeated string"
    STRING_MAP = "map of strings"


@dataclass(frozen=True, slots=True)
class Field:
    """Something a filter can ask about.

    Enums list the values that occur, without `prefix`; a filter may write them with or without it.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    prefix: str = ""


class Operator(StrEnum):
    """How a Comparison compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="

    @property
    def is_ordering(self) -> bool:
        """Whether it asks for more than equality."""
        return self not in {Operator.EQUAL, Operator.NOT_EQUAL}


@dataclass(frozen=True, slots=True)
class TextPattern:
    """Text in which any run of characters may stand between two parts.

    One part is plain text; `("ami-", "")` is what starts with `ami-`. Matching is case-sensitive.
    Between the first and the last part none is empty, so equal patterns are written alike.
    """

    parts: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """Whether it matches one text only."""
        return len(self.parts) == 1

    def matches(self, text: str) -> bool:
        """Whether the whole text fits, in time linear in its length for each part."""
        first, *inner = self.parts
        if not inner:
            return text == first
        last = inner.pop()
        if len(text) < len(first) + len(last):
            return False
        if not (text.startswith(first) and text.endswith(last)):
            return False
        start, stop = len(first), len(text) - len(last)
        for part in inner:
            # The leftmost place leaves most room for the rest, so there is nothing to try again.
            found = text.find(part, start, stop)
            if found < 0:
                return False
            start = found + len(part)
        return True


ComparisonValue: TypeAlias = TextPattern | str | int | datetime
"""By kind of field: a pattern (strings and map values), the name of an enum value, an integer of
64 bits, an aware UTC time. With an ordering operator a pattern is always plain."""


@dataclass(frozen=True, slots=True)
class MatchAll:
    """Everything: what an empty filter asks for."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field operator value`; of a map, the value under `key`.

    `!=` is true exactly where `=` is not. A default (an empty string, an enum's UNSPECIFIED, 0)
    is a value like any other; a time that is not set and a key that is not there equal nothing and
    come neither before nor after anything.
    """

    field: Field
    operator: Operator
    value: ComparisonValue
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Has:
    """`field:element`: a list holds the element, a map the key.

    Without an element: the field has any value but its default.
    """

    field: Field
    element: str | None = None


@dataclass(frozen=True, slots=True)
class Not:
    """True where the condition is not."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class And:
    """True where all of two or more conditions are."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True where any of two or more conditions is."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = And | Or | Not | Comparison | Has
Filter: TypeAlias = MatchAll | Condition


def terms(condition: Filter) -> Iterator[Comparison | Has]:
    """Gives every Comparison and Has of a filter, in the order written."""
    match condition:
        case MatchAll():
            return
        case And(inner) | Or(inner):
            for part in inner:
                yield from terms(part)
        case Not(part):
            yield from terms(part)
        case term:
            yield term
