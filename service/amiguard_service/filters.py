r"""The filter language of the API: a subset of AIP-160, typed by a table of fields.

    expression  = factor {[AND] factor}          terms side by side mean AND
    factor      = term {OR term}                 OR binds tighter than AND, as AIP-160 has it
    term        = [NOT | -] ( "(" expression ")" | restriction )
    restriction = field comparator value | labels.KEY [comparator value]
    comparator  = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":"

So `a AND b OR c` asks for `a AND (b OR c)`; write brackets where readers may differ.

- Values are words, or strings in `'` or `"` with the escapes `\\`, `\"`, `\'` and `\*`. A word ends
  at white space, a bracket, a quote, a comma, a backslash or one of `= < > !`.
- Text takes every comparator. Order is that of code points. With `=` and `!=` each `*` stands for
  any run of characters (`\*` in quotes for itself); a lone `*` is refused.
- Enums take `=` and `!=`; their values are case-sensitive, with or without the prefix (`OPEN`,
  `STATE_OPEN`). Integers have at most 64 bits. Times are RFC 3339 with an offset.
- Repeated fields take `:` alone: `image_ids:ami-1` asks for that element, and `*` in it is itself,
  so `name_patterns:"ubuntu/*"` finds who searched for just that.
- Of a map, `labels:KEY` and `labels.KEY` ask for the key; `labels.KEY = v` compares text under it.
- On everything else `:` is `=`. `FIELD:*`, unquoted, asks for any value but the default.
- `!=` is true exactly where `=` is not, absent values included.

A filter has at most 4,096 bytes, 100 terms, and 32 brackets inside each other.
Left out of AIP-160: literals without a field, functions, and brackets on the right of a comparator.
"""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from amiguard_service._filter_parser import (
    MAX_FILTER_BYTES,
    MAX_FILTER_DEPTH,
    MAX_FILTER_TERMS,
    FilterSyntaxError,
    parse_filter,
)
from amiguard_service._filter_tree import (
    UNSPECIFIED,
    And,
    Comparison,
    ComparisonValue,
    Condition,
    Field,
    Filter,
    Has,
    Kind,
    MatchAll,
    Not,
    Operator,
    Or,
    TextPattern,
    terms,
)
from amiguard_service._filter_writer import write_filter

__all__ = [
    "FINDING_FIELDS",
    "MAX_FILTER_BYTES",
    "MAX_FILTER_DEPTH",
    "MAX_FILTER_TERMS",
    "UNSPECIFIED",
    "And",
    "Comparison",
    "ComparisonValue",
    "Condition",
    "Field",
    "FieldValue",
    "Filter",
    "FilterSyntaxError",
    "Has",
    "Kind",
    "MatchAll",
    "Not",
    "Operator",
    "Or",
    "TextPattern",
    "evaluate",
    "hide_suppressed",
    "mentions",
    "parse_filter",
    "terms",
    "write_filter",
]

FieldValue: TypeAlias = str | int | datetime | Sequence[str] | Mapping[str, str] | None
"""What a resource has in a field, by its kind: text, the name of an enum value without prefix, an
integer, an aware time, texts, or texts by key. None is the default, of a time that it is not set.
"""

FINDING_FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        field.name: field
        for field in (
            Field("state", Kind.ENUM, ("OPEN", "ACKNOWLEDGED", "CLOSED", "SUPPRESSED"), "STATE_"),
            Field(
                "disposition",
                Kind.ENUM,
                (
                    UNSPECIFIED,
                    "TRUE_POSITIVE",
                    "UNRELATED_LAUNCH",
                    "FALSE_POSITIVE",
                    "RISK_ACCEPTED",
                ),
                "DISPOSITION_",
            ),
            Field("likelihood", Kind.ENUM, ("LOW", "MEDIUM", "HIGH"), "LIKELIHOOD_"),
            Field("likelihood_score", Kind.INTEGER),
            Field("confidence", Kind.INTEGER),
            Field("occurrence_count", Kind.INTEGER),
            Field("account_id", Kind.STRING),
            Field("region", Kind.STRING),
            Field("actor_arn", Kind.STRING),
            Field("client", Kind.STRING),
            Field("assignee", Kind.STRING),
            Field("image_ids", Kind.STRING_LIST),
            Field("name_patterns", Kind.STRING_LIST),
            Field("first_launch_time", Kind.TIME),
            Field("last_launch_time", Kind.TIME),
            Field("create_time", Kind.TIME),
            Field("update_time", Kind.TIME),
            Field("labels", Kind.STRING_MAP),
        )
    }
)
"""What GetFindings and WatchFindings can filter by. `disposition` is UNSPECIFIED until closed."""

_NOT_SUPPRESSED: Final = Comparison(FINDING_FIELDS["state"], Operator.NOT_EQUAL, "SUPPRESSED")

_COMPARE: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = MappingProxyType(
    {
        Operator.EQUAL: operators.eq,
        Operator.NOT_EQUAL: operators.ne,
        Operator.LESS: operators.lt,
        Operator.LESS_OR_EQUAL: operators.le,
        Operator.GREATER: operators.gt,
        Operator.GREATER_OR_EQUAL: operators.ge,
    }
)

_TYPES: Final[Mapping[Kind, tuple[type, FieldValue]]] = MappingProxyType(
    {
        Kind.STRING: (str, ""),
        Kind.ENUM: (str, UNSPECIFIED),
        Kind.INTEGER: (int, 0),
        Kind.TIME: (datetime, None),
        Kind.STRING_LIST: (Sequence, ()),
        Kind.STRING_MAP: (Mapping, MappingProxyType({})),
    }
)
"""By kind of field, the type of its values and its default."""


def mentions(condition: Filter, field_name: str) -> bool:
    """Whether a filter names the field anywhere, negated or not."""
    return any(term.field.name == field_name for term in terms(condition))


def hide_suppressed(condition: Filter) -> Filter:
    """Returns a filter of findings that leaves out what the rule set aside.

    The same one where it speaks of the state.
    """
    if mentions(condition, "state"):
        return condition
    if isinstance(condition, MatchAll):
        return _NOT_SUPPRESSED
    return And((condition, _NOT_SUPPRESSED))


def evaluate(condition: Filter, read: Callable[[str], FieldValue]) -> bool:
    """Whether a filter is true of the resource whose field values `read` gives by name.

    Raises TypeError where `read` gives a value that the kind of the field does not have.
    """
    match condition:
        case MatchAll():
            return True
        case And(inner):
            return all(evaluate(part, read) for part in inner)
        case Or(inner):
            return any(evaluate(part, read) for part in inner)
        case Not(part):
            return not evaluate(part, read)
        case Has():
            return _has(condition, _value_of(condition.field, read))
        case Comparison():
            return _compares(condition, _value_of(condition.field, read))


def _has(term: Has, value: FieldValue) -> bool:
    if term.element is None:
        return bool(value) and (term.field.kind is not Kind.ENUM or value != UNSPECIFIED)
    return isinstance(value, Sequence | Mapping) and term.element in value


def _compares(term: Comparison, value: FieldValue) -> bool:
    if term.key is not None and isinstance(value, Mapping):
        value = value.get(term.key)
    if value is None:
        return term.operator is Operator.NOT_EQUAL
    if not isinstance(term.value, TextPattern):
        return _COMPARE[term.operator](value, term.value)
    if term.operator.is_ordering:
        return _COMPARE[term.operator](value, term.value.parts[0])
    return term.value.matches(str(value)) is (term.operator is Operator.EQUAL)


def _value_of(field: Field, read: Callable[[str], FieldValue]) -> FieldValue:
    """Returns the value of a field, its default for None."""
    wanted, default = _TYPES[field.kind]
    value = read(field.name)
    if value is None:
        return default
    is_text = isinstance(value, str)
    is_naive = isinstance(value, datetime) and value.tzinfo is None
    if not isinstance(value, wanted) or is_naive or (wanted is Sequence and is_text):
        message = (
            f"{field.name}: got {type(value).__name__}, expected a value of {field.kind.value}"
        )
        raise TypeError(message)
    return value
