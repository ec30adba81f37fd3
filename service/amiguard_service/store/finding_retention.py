"""Findings that have been kept long enough, and how they go with all that hangs on them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from amiguard_service.store.retention import delete_by_key, literal_limit
from amiguard_service.store.schema import (
    finding_history,
    finding_images,
    finding_labels,
    finding_patterns,
    findings,
    occurrences,
    pinned_templates,
)
from amiguard_service.store.tuning_schema import retired_occurrences

_CHILDREN = (
    finding_history,
    finding_images,
    finding_labels,
    finding_patterns,
    occurrences,
    pinned_templates,
)
"""What goes with a finding. Retired occurrences go before, because its row does not count them."""


class DueFinding(NamedTuple):
    """A finding that has been kept long enough."""

    account_id: str
    finding_id: str
    lane: str
    occurrence_count: int


def fetch_due_findings(
    connection: Connection, *, unchanged_since: datetime, now: datetime, limit: int
) -> list[DueFinding]:
    """Returns findings that nothing has happened to since a time, the oldest first.

    A finding whose risk is accepted stays until the acceptance ends.
    """
    table = findings.c
    statement = (
        select(table.account_id, table.finding_id, table.lane, table.occurrence_count)
        .where(table.update_time < unchanged_since, _is_not_accepted(now))
        .order_by(table.update_time, table.finding_id)
        .limit(literal_limit(limit))
    )
    return [DueFinding(*row) for row in connection.execute(statement)]


def delete_findings(
    connection: Connection,
    due: Iterable[DueFinding],
    *,
    unchanged_since: datetime,
    now: datetime,
    limit: int,
) -> int:
    """Deletes findings with all that hangs on them, within so many rows; returns how many.

    The caller holds the locks of their lanes, so that no occurrence is added meanwhile. A finding
    with more occurrences than that loses the oldest of them, and counts those it has left. One
    that has changed by now stays.
    """
    deleted, room = 0, limit
    for chosen in sorted(due, key=lambda finding: finding.finding_id):
        finding = _lock_due(connection, chosen, unchanged_since=unchanged_since, now=now)
        if finding is None:
            continue
        room -= _delete_retired(connection, finding, room)
        if room <= 0:
            break
        if finding.occurrence_count > room:
            # It waits for a transaction of its own, unless this is the one.
            if room == limit:
                _shorten(connection, finding, limit)
            break
        for table in (*_CHILDREN, findings):
            connection.execute(delete(table).where(*_of(table, finding)))
        room -= finding.occurrence_count + 1
        deleted += 1
    return deleted


def _lock_due(
    connection: Connection, chosen: DueFinding, *, unchanged_since: datetime, now: datetime
) -> DueFinding | None:
    """Returns a finding as it stands, locked until the transaction ends; None where it may stay."""
    table = findings.c
    statement = (
        select(table.account_id, table.finding_id, table.lane, table.occurrence_count)
        .where(*_of(findings, chosen), table.update_time < unchanged_since, _is_not_accepted(now))
        .with_for_update()
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else DueFinding(*row)


def _is_not_accepted(now: datetime) -> ColumnElement[bool]:
    until = findings.c.accept_until_time
    return or_(until.is_(None), until < now)


def _delete_retired(connection: Connection, finding: DueFinding, limit: int) -> int:
    """Deletes some of a finding's retired occurrences; returns how many."""
    statement = (
        select(*retired_occurrences.primary_key)
        .where(*_of(retired_occurrences, finding))
        .limit(literal_limit(limit))
    )
    keys = connection.execute(statement).all()
    delete_by_key(connection, retired_occurrences, keys)
    return len(keys)


def _shorten(connection: Connection, finding: DueFinding, count: int) -> None:
    """Deletes a finding's oldest occurrences, and makes its row say what is left."""
    table = occurrences.c
    oldest = connection.execute(
        select(*occurrences.primary_key, table.suppression)
        .where(*_of(occurrences, finding))
        .order_by(table.launch_time, table.launch_event_id)
        .limit(literal_limit(count))
    ).all()
    delete_by_key(connection, occurrences, [row[:-1] for row in oldest])
    connection.execute(
        _DELETE_PIN, [{f"key_{n}": value for n, value in enumerate(row[:-1])} for row in oldest]
    )
    first = select(func.min(table.launch_time)).where(*_of(occurrences, finding)).scalar_subquery()
    row = findings.c
    connection.execute(
        update(findings)
        .where(*_of(findings, finding))
        .values(
            occurrence_count=row.occurrence_count - len(oldest),
            unsuppressed_count=row.unsuppressed_count
            - sum(one.suppression is None for one in oldest),
            first_launch_time=first,
        )
    )


_DELETE_PIN = delete(pinned_templates).where(
    pinned_templates.c.account_id == bindparam("key_0"),
    pinned_templates.c.finding_id == bindparam("key_1"),
    pinned_templates.c.pin_event_id == bindparam("key_2"),
)


def _of(table: Table, finding: DueFinding) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.account_id == finding.account_id, table.c.finding_id == finding.finding_id
