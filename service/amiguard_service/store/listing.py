"""Lists of findings, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select, text, true

from amiguard_service.filters import Filter
from amiguard_service.ordering import TIE_BREAK, OrderKey
from amiguard_service.store.connect import POSTGRESQL
from amiguard_service.store.filters_sql import (
    Route,
    compile_filter,
    compile_lead,
    compile_order,
    compile_stretches,
    leads,
    walked_with,
)
from amiguard_service.store.findings import complete
from amiguard_service.store.schema import findings, to_micros
from amiguard_service.stored import StoredFinding
from amiguard_service.tokens import Position

FEW: Final = 5_000
"""So many findings are sorted as quickly as one of so many among a million is met on a walk."""


def fetch_findings(
    connection: Connection,
    condition: Filter,
    order: Sequence[OrderKey],
    *,
    after: Position | None,
    limit: int,
) -> list[StoredFinding]:
    """Returns findings in an order, from just after a position."""
    backend = connection.dialect.name
    route = _choose(connection, condition, order)
    if route.lead is None and backend == POSTGRESQL:
        # It takes what it knows of the values for the truth, and would sort all rather than walk.
        connection.execute(text("SET LOCAL enable_sort = off"))
    fulfilled = compile_filter(condition, backend, route=route)
    statement = select(findings).order_by(*compile_order(order, route))
    stretches = [true()] if after is None else compile_stretches(order, after, route)
    rows: list[Row[Any]] = []
    for stretch in stretches:
        if len(rows) < limit:
            # The stretch first: of two bounds of a field SQLite begins at the first.
            some = statement.where(stretch, fulfilled).limit(limit - len(rows))
            rows += connection.execute(some)
    return complete(connection, rows)


def _choose(connection: Connection, condition: Filter, order: Sequence[OrderKey]) -> Route:
    """Returns the quickest route: by the rarest term if it is rare enough, else along the order."""
    counts = []
    for term in leads(condition):
        some = compile_lead(term, connection.dialect.name).limit(FEW).subquery()
        counts.append(
            (connection.execute(select(func.count()).select_from(some)).scalar_one(), term)
        )
    rarest = min(counts, key=lambda counted: counted[0], default=None)
    if rarest is not None and rarest[0] < FEW:
        return Route(lead=rarest[1])
    return Route(walked=walked_with(order))


def position_of(finding: StoredFinding, order: Sequence[OrderKey]) -> Position:
    """Returns where a finding stands in an order, for `after`."""
    return tuple(_value_of(finding, key.field) for key in order)


def _value_of(finding: StoredFinding, field: str) -> int | str:
    value = getattr(finding, _ATTRIBUTES.get(field, field))
    if isinstance(value, datetime):
        return to_micros(value)
    return str(value) if field == TIE_BREAK.field else int(value)


_ATTRIBUTES = {TIE_BREAK.field: "finding_id", "likelihood_score": "score"}
