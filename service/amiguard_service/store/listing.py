"""Lists of findings, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from amiguard_service.filters import Filter
from amiguard_service.ordering import TIE_BREAK, OrderKey
from amiguard_service.store.filters_sql import compile_filter, compile_order, compile_position
from amiguard_service.store.findings import complete
from amiguard_service.store.schema import findings, to_micros
from amiguard_service.stored import StoredFinding
from amiguard_service.tokens import Position


def fetch_findings(
    connection: Connection,
    condition: Filter,
    order: Sequence[OrderKey],
    *,
    after: Position | None,
    limit: int,
) -> list[StoredFinding]:
    """Returns findings in an order, from just after a position."""
    statement = (
        select(findings)
        .where(compile_filter(condition, connection.dialect.name))
        .order_by(*compile_order(order))
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(compile_position(order, after))
    return complete(connection, connection.execute(statement).all())


def position_of(finding: StoredFinding, order: Sequence[OrderKey]) -> Position:
    """Returns where a finding stands in an order, for `after`."""
    return tuple(_value_of(finding, key.field) for key in order)


def _value_of(finding: StoredFinding, field: str) -> int | str:
    value = getattr(finding, _ATTRIBUTES.get(field, field))
    if isinstance(value, datetime):
        return to_micros(value)
    return str(value) if field == TIE_BREAK.field else int(value)


_ATTRIBUTES = {TIE_BREAK.field: "finding_id", "likelihood_score": "score"}
