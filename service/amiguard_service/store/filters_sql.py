"""Filters and orders of findings, compiled to SQL."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    false,
    func,
    not_,
    or_,
    select,
    true,
    tuple_,
)

from amiguard_core.findings import HIGH_FROM, MEDIUM_FROM, Likelihood
from amiguard_service.filters import (
    UNSPECIFIED,
    And,
    Comparison,
    Filter,
    Has,
    Kind,
    MatchAll,
    Not,
    Operator,
    Or,
    TextPattern,
)
from amiguard_service.ordering import TIE_BREAK, OrderKey
from amiguard_service.store.engines import POSTGRESQL
from amiguard_service.store.schema import (
    Instant,
    finding_images,
    finding_labels,
    finding_patterns,
    findings,
    from_micros,
)
from amiguard_service.tokens import Position

Condition = ColumnElement[bool]

_COLUMNS: Mapping[str, str] = {
    "likelihood_score": "score",
    TIE_BREAK.field: "finding_id",
}
"""Fields whose column has another name."""

_LISTS: Mapping[str, tuple[Table, str]] = {
    "image_ids": (finding_images, "image_id"),
    "name_patterns": (finding_patterns, "pattern"),
    "labels": (finding_labels, "key"),
}
_BANDS = {
    Likelihood.LOW: (0, MEDIUM_FROM),
    Likelihood.MEDIUM: (MEDIUM_FROM, HIGH_FROM),
    Likelihood.HIGH: (HIGH_FROM, 101),
}
_COMPARE: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}


def column_of(field: str) -> ColumnElement[Any]:
    """Returns the column behind a field of filters and orders."""
    return findings.c[_COLUMNS.get(field, field)]


def compile_filter(condition: Filter, backend: str) -> Condition:
    """Returns a filter as a condition on the table of findings."""
    match condition:
        case MatchAll():
            return true()
        case And(inner):
            return and_(*(compile_filter(part, backend) for part in inner))
        case Or(inner):
            return or_(*(compile_filter(part, backend) for part in inner))
        case Not(part):
            return not_(compile_filter(part, backend))
        case Has():
            return _compile_has(condition)
        case Comparison():
            return _compile_comparison(condition, backend)


def compile_position(keys: Sequence[OrderKey], position: Position) -> Condition:
    """Returns what rows after a position fulfil: the values of the last row seen, key by key."""
    later: Condition = false()
    for key, value in reversed(list(zip(keys, position, strict=True))):
        column = column_of(key.field)
        bound = _as_stored(key.field, value)
        ahead = column < bound if key.descending else column > bound
        later = or_(ahead, and_(column == bound, later))
    # The same bound on the first key alone lets an index start there.
    first, value = column_of(keys[0].field), _as_stored(keys[0].field, position[0])
    return and_(first <= value if keys[0].descending else first >= value, later)


def compile_order(keys: Sequence[OrderKey]) -> list[ColumnElement[Any]]:
    """Returns an order as the terms of ORDER BY."""
    columns = [(column_of(key.field), key.descending) for key in keys]
    return [column.desc() if descending else column.asc() for column, descending in columns]


def _as_stored(field: str, value: int | str | None) -> Any:
    if isinstance(column_of(field).type, Instant) and isinstance(value, int):
        return from_micros(value)
    return value


def _compile_has(term: Has) -> Condition:
    name = term.field.name
    if name in _LISTS:
        table, column = _LISTS[name]
        # The list of images has an entry without a name for launches that name none.
        wanted = table.c[column] != "" if term.element is None else table.c[column] == term.element
        return _child(table, wanted)
    match term.field.kind:
        case Kind.ENUM if name == "disposition":
            return findings.c.disposition.is_not(None)
        case Kind.STRING:
            return column_of(name) != ""
        case Kind.INTEGER:
            return column_of(name) != 0
        case _:
            return true()


def _compile_comparison(term: Comparison, backend: str) -> Condition:
    name, value = term.field.name, term.value
    if term.key is not None:
        return _compile_label(term, backend)
    if name == "likelihood":
        low, high = _BANDS[Likelihood(str(value))] if value != UNSPECIFIED else (0, 0)
        # A third of all findings is in a band: SQLite must not sort them all by an index on it.
        score = findings.c.score + 0 if backend != POSTGRESQL else findings.c.score
        inside = and_(score >= low, score < high)
        return inside if term.operator is Operator.EQUAL else not_(inside)
    if name == "disposition":
        column: ColumnElement[Any] = func.coalesce(findings.c.disposition, UNSPECIFIED)
    else:
        column = column_of(name)
    return _compare(column, term.operator, value, backend)


def _compile_label(term: Comparison, backend: str) -> Condition:
    """A key that is not there equals nothing, and is ordered nowhere."""
    labels = finding_labels.c
    negated = term.operator is Operator.NOT_EQUAL
    wanted = Operator.EQUAL if negated else term.operator
    found = _child(
        finding_labels,
        and_(labels.key == term.key, _compare(labels.value, wanted, term.value, backend)),
    )
    return not_(found) if negated else found


def _compare(
    column: ColumnElement[Any],
    comparison: Operator,
    value: Any,
    backend: str,
) -> Condition:
    if not isinstance(value, TextPattern) or value.is_plain:
        plain = value.parts[0] if isinstance(value, TextPattern) else value
        compared: Condition = _COMPARE[comparison](column, plain)
        return compared
    fits = _fits(column, value, backend)
    return fits if comparison is Operator.EQUAL else not_(fits)


def _fits(column: ColumnElement[Any], pattern: TextPattern, backend: str) -> Condition:
    if backend == POSTGRESQL:
        escaped = (_escape(part, "\\%_", "\\{}") for part in pattern.parts)
        return column.like("%".join(escaped), escape="\\")
    # SQLite's LIKE takes capitals and small letters for the same.
    return column.op("GLOB")("*".join(_escape(part, "*?[", "[{}]") for part in pattern.parts))


def _escape(text: str, special: str, form: str) -> str:
    return "".join(form.format(char) if char in special else char for char in text)


def _child(table: Table, condition: Condition) -> Condition:
    """Returns what findings fulfil that have a row fulfilling the condition in another table.

    As a set to look up in: what a list is asked for (an image, a label) few findings have, and a
    search from row to row would go through all the others in the order of the list.
    """
    of_child = select(table.c.account_id, table.c.finding_id).where(condition)
    return tuple_(findings.c.account_id, findings.c.finding_id).in_(of_child)
