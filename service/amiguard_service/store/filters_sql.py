"""Filters and orders of findings, compiled to SQL."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    String,
    Table,
    and_,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
)

from amiguard_core.findings import HIGH_FROM, MEDIUM_FROM, Likelihood
from amiguard_core.score_steps import MAX_SCORE
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
from amiguard_service.ordering import DEFAULT_ORDER, ORDER_FIELDS, TIE_BREAK, OrderKey
from amiguard_service.store.connect import POSTGRESQL
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

_LAST_BEFORE_SURROGATES: Final = 0xD7FF

_LEADING: Final = frozenset({"account_id", "actor_arn", "assignee", "client"})
"""Fields with an index that goes on in the order in which lists come by default."""

_INDEXED: Final = frozenset({*_LEADING, *ORDER_FIELDS})

_LISTS: Mapping[str, tuple[Table, str]] = {
    "image_ids": (finding_images, "image_id"),
    "name_patterns": (finding_patterns, "pattern"),
    "labels": (finding_labels, "key"),
}
_BANDS = {
    Likelihood.LOW: (0, MEDIUM_FROM),
    Likelihood.MEDIUM: (MEDIUM_FROM, HIGH_FROM),
    Likelihood.HIGH: (HIGH_FROM, MAX_SCORE + 1),
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


@dataclass(frozen=True, slots=True)
class Route:
    """What the rows of a list are found by, so that no statistics are needed to choose.

    Where there is a `lead`, a term that few findings fulfil, by that; else by an index in the order
    of the list, and the fields in `walked` may help with it. No other index is of use.
    """

    lead: Filter | None = None
    walked: frozenset[str] = frozenset()

    def hides(self, term: Comparison) -> bool:
        """Says whether the database should see no index behind a term."""
        return term is not self.lead and term.field.name not in self.walked


ANY_ROUTE: Final = Route(walked=frozenset({*_INDEXED, "likelihood"}))
"""The database chooses."""


def walked_with(order: Sequence[OrderKey]) -> frozenset[str]:
    """Returns the fields that help with a walk in an order."""
    if not order:
        return frozenset()
    first = order[0].field
    if first == DEFAULT_ORDER[0].field:
        return _LEADING | {first}
    return frozenset({first, "likelihood"} if first == "likelihood_score" else {first})


def compile_filter(condition: Filter, backend: str, *, route: Route = ANY_ROUTE) -> Condition:
    """Returns a filter as a condition on the table of findings."""
    match condition:
        case MatchAll():
            return true()
        case And(inner) | Or(inner):
            join = and_ if isinstance(condition, And) else or_
            return join(*(compile_filter(part, backend, route=route) for part in inner))
        case Not(part):
            return not_(compile_filter(part, backend, route=route))
        case Has():
            return _compile_has(condition, backend, is_lead=condition is route.lead)
        case Comparison(key=str()):
            return _compile_label(condition, backend, is_lead=condition is route.lead)
        case Comparison():
            return _compile_comparison(condition, backend, hide=route.hides(condition))


def leads(condition: Filter) -> list[Comparison | Has]:
    """Returns the terms that every finding of a list fulfils, and that an index knows."""
    match condition:
        case And(inner):
            return [term for part in inner for term in leads(part)]
        case Has() if condition.field.name in _LISTS and condition.element is not None:
            return [condition]
        case Comparison(operator=Operator.EQUAL):
            is_indexed = condition.key is not None or condition.field.name in _LEADING
            value = condition.value
            begins = value.parts[0] if isinstance(value, TextPattern) else value
            return [condition] if is_indexed and begins else []
        case _:
            return []


def compile_lead(term: Comparison | Has, backend: str) -> Select[Any]:
    """Returns the ids of the findings that fulfil one of `leads`."""
    match term:
        case Has():
            table, wanted = _of_list(term)
        case Comparison(key=str()):
            table, wanted = _of_label(term, Operator.EQUAL, backend)
        case _:
            table, wanted = findings, _compile_comparison(term, backend, hide=False)
    return select(table.c.finding_id).where(wanted)


def compile_stretches(
    keys: Sequence[OrderKey], position: Position, route: Route
) -> list[Condition]:
    """Returns what rows after a position fulfil, as conditions to go through one after another.

    Rows that share all but the last key with the position come first, those that differ in the
    first key last: each condition is a stretch of an index in this order.
    """
    stretches: list[Condition] = []
    for length in range(len(keys), 0, -1):
        *same, (key, value) = zip(keys[:length], position[:length], strict=True)
        column, bound = _ordering(key, route), _as_stored(key.field, value)
        ahead = column < bound if key.descending else column > bound
        equal = (_ordering(k, route) == _as_stored(k.field, v) for k, v in same)
        stretches.append(and_(*equal, ahead))
    return stretches


def compile_order(keys: Sequence[OrderKey], route: Route) -> list[ColumnElement[Any]]:
    """Returns an order as the terms of ORDER BY."""
    columns = [(_ordering(key, route), key.descending) for key in keys]
    return [column.desc() if descending else column.asc() for column, descending in columns]


def _ordering(key: OrderKey, route: Route) -> ColumnElement[Any]:
    column = column_of(key.field)
    return column if route.lead is None else _hidden(column)


def _as_stored(field: str, value: int | str | None) -> Any:
    if isinstance(column_of(field).type, Instant) and isinstance(value, int):
        return from_micros(value)
    return value


def _hidden(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Returns a column as a term in which the database sees no index."""
    if isinstance(column.type, String):
        return column.concat("")
    return type_coerce(type_coerce(column, BigInteger) + 0, column.type)


def _of_list(term: Has) -> tuple[Table, Condition]:
    table, column = _LISTS[term.field.name]
    # The list of images has an entry without a name for launches that name none.
    if term.element is None:
        return table, table.c[column] != ""
    return table, table.c[column] == term.element


def _compile_has(term: Has, backend: str, *, is_lead: bool) -> Condition:
    name = term.field.name
    if name in _LISTS:
        return _having(*_of_list(term), backend, is_lead=is_lead)
    match term.field.kind:
        case Kind.ENUM if name == "disposition":
            return findings.c.disposition.is_not(None)
        case Kind.STRING:
            return column_of(name) != ""
        case Kind.INTEGER:
            return column_of(name) != 0
        case _:
            return true()


def _compile_comparison(term: Comparison, backend: str, *, hide: bool) -> Condition:
    name, value = term.field.name, term.value
    column: ColumnElement[Any]
    if name == "likelihood":
        low, high = _BANDS[Likelihood(str(value))] if value != UNSPECIFIED else (0, 0)
        score = _hidden(findings.c.score) if hide else findings.c.score
        inside = and_(score >= low, score < high)
        # Each a range, so that an index can pass the band over.
        outside = [score < low] if low > 0 else []
        if high <= MAX_SCORE:
            outside.append(score >= high)
        return inside if term.operator is Operator.EQUAL else or_(*outside)
    if name == "disposition":
        column = func.coalesce(findings.c.disposition, UNSPECIFIED)
    elif hide and name in _INDEXED:
        column = _hidden(column_of(name))
    else:
        column = column_of(name)
    return _compare(column, term.operator, value, backend)


def _compile_label(term: Comparison, backend: str, *, is_lead: bool) -> Condition:
    """A key that is not there equals nothing, and is ordered nowhere."""
    negated = term.operator is Operator.NOT_EQUAL
    wanted = Operator.EQUAL if negated else term.operator
    found = _having(*_of_label(term, wanted, backend), backend, is_lead=is_lead)
    return not_(found) if negated else found


def _of_label(term: Comparison, wanted: Operator, backend: str) -> tuple[Table, Condition]:
    labels = finding_labels.c
    compared = _compare(labels.value, wanted, term.value, backend)
    return finding_labels, and_(labels.key == term.key, compared)


def _compare(
    column: ColumnElement[Any],
    comparison: Operator,
    value: Any,
    backend: str,
) -> Condition:
    if not isinstance(value, TextPattern) or value.is_plain:
        plain = value.parts[0] if isinstance(value, TextPattern) else value
        if isinstance(plain, int):
            # As it is, not as the column: numbers that no column holds are compared, too.
            plain = literal(plain, BigInteger)
        compared: Condition = _COMPARE[comparison](column, plain)
        return compared
    fits = _fits(column, value, backend)
    return fits if comparison is Operator.EQUAL else not_(fits)


def _fits(column: ColumnElement[Any], pattern: TextPattern, backend: str) -> Condition:
    if backend == POSTGRESQL:
        escaped = (_escape(part, "\\%_", "\\{}") for part in pattern.parts)
        fits: Condition = column.like("%".join(escaped), escape="\\")
    else:
        # SQLite's LIKE takes capitals and small letters for the same.
        parts = (_escape(part, "*?[", "[{}]") for part in pattern.parts)
        fits = column.op("GLOB")("*".join(parts))
    begins = pattern.parts[0]
    if not begins or ord(begins[-1]) >= _LAST_BEFORE_SURROGATES:
        return fits
    # Said again as a range, which an index takes whatever the parameters are.
    return and_(column >= begins, column < begins[:-1] + chr(ord(begins[-1]) + 1), fits)


def _escape(text: str, special: str, form: str) -> str:
    return "".join(form.format(char) if char in special else char for char in text)


def _having(table: Table, condition: Condition, backend: str, *, is_lead: bool) -> Condition:
    """Returns what findings fulfil that have a row fulfilling the condition in another table."""
    if is_lead:
        # As a set that is made once: the list begins with it.
        of_child = select(table.c.account_id, table.c.finding_id).where(condition)
        return tuple_(findings.c.account_id, findings.c.finding_id).in_(of_child)
    of_finding = and_(
        table.c.account_id == findings.c.account_id, table.c.finding_id == findings.c.finding_id
    )
    found = select(literal(1)).select_from(table).where(of_finding, condition)
    # PostgreSQL would make a set of it; with an offset it looks each finding up.
    return (found.offset(0) if backend == POSTGRESQL else found).correlate(findings).exists()
