"""Writes a filter as text: one spelling for each tree."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from amiguard_service._filter_tree import (
    And,
    Comparison,
    Condition,
    Filter,
    Has,
    Kind,
    MatchAll,
    Not,
    Or,
    TextPattern,
)

_SPECIAL = re.compile(r'[\\"*]')


def write_filter(condition: Filter) -> str:
    """Returns the text that parses to an equal filter, with no more brackets than it needs."""
    match condition:
        case MatchAll():
            return ""
        case And(inner):
            return " AND ".join(_operand(part, And) for part in inner)
        case Or(inner):
            return " OR ".join(_operand(part, And, Or) for part in inner)
        case Not(part):
            return "NOT " + _operand(part, And, Or, Not)
        case Has():
            return _written_has(condition)
        case Comparison():
            return _written_comparison(condition)


def _operand(condition: Condition, *bracketed: type[Condition]) -> str:
    text = write_filter(condition)
    return f"({text})" if isinstance(condition, bracketed) else text


def _written_has(term: Has) -> str:
    if term.element is None:
        return f"{term.field.name}:*"
    if term.field.kind is Kind.STRING_MAP:
        return f"{term.field.name}.{_quoted(term.element)}:*"
    return f"{term.field.name}:{_quoted(term.element)}"


def _written_comparison(term: Comparison) -> str:
    key = "" if term.key is None else "." + _quoted(term.key)
    match term.value:
        case TextPattern(parts):
            value = '"' + "*".join(_escaped(part) for part in parts) + '"'
        case datetime():
            value = term.value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case _:
            value = str(term.value)
    return f"{term.field.name}{key} {term.operator} {value}"


def _quoted(text: str) -> str:
    return '"' + _escaped(text) + '"'


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
