"""Deleting what has been kept long enough, a few rows at a time.

Every statement finds its rows by an index on the time that decides, and passes over those that
another server is deleting. On SQLite freed pages are used again by what comes next, so the file
stops growing once retention keeps up. It is not made smaller: every kind of vacuuming moves pages
in transactions that writers would wait for. Who wants the room back runs VACUUM with the server
stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Table,
    bindparam,
    delete,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from amiguard_service.store.changes import RETENTION_MARK
from amiguard_service.store.connect import POSTGRESQL
from amiguard_service.store.schema import (
    finding_changes,
    region_coverage,
    rejected_records,
    retention_marks,
    source_coverage,
    to_micros,
    waiting_records,
)
from amiguard_service.store.tuning_schema import tuning_requests

_ROWID: Final = literal_column("rowid", BigInteger)
"""SQLite's number of a row."""

MAX_REJECTIONS: Final = 100_000
"""Rejections kept at most, the newest, so that a forwarder that reads another log fills no disk. If
they are of the size of common records that is 200 MB."""


def delete_waiting(connection: Connection, *, arrived_before: datetime, limit: int) -> int:
    """Deletes searches and launches by their arrival, the oldest first; returns how many."""
    before = to_micros(arrived_before)
    return _delete_older(connection, waiting_records.c.arrival_time, before, limit=limit)


def delete_rejections(connection: Connection, *, arrived_before: datetime, limit: int) -> int:
    """Deletes rejections by their arrival, the oldest first; returns how many."""
    column = rejected_records.c.arrival_time
    return _delete_older(connection, column, arrived_before, limit=limit)


def delete_surplus_rejections(connection: Connection, *, limit: int) -> int:
    """Deletes the oldest of more than MAX_REJECTIONS rejections; returns how many."""
    number = rejected_records.c.rejection_id
    newest = connection.execute(select(func.max(number))).scalar_one()
    if newest is None:
        return 0
    return _delete_older(connection, number, newest - MAX_REJECTIONS + 1, limit=limit)


def delete_changes(connection: Connection, *, made_before: datetime, limit: int) -> int:
    """Deletes entries of the change log, the oldest first, and marks how far; returns how many."""
    table = finding_changes.c
    statement = (
        select(table.change_id, table.change_time)
        .where(table.change_time < made_before)
        # Times never fall along the log. Of one time any may go first: what is left before the
        # mark is refused as if it were gone.
        .order_by(table.change_time)
        .limit(literal_limit(limit))
        .with_for_update(skip_locked=True)
    )
    doomed = connection.execute(statement).all()
    if not doomed:
        return 0
    connection.execute(
        _delete_by_key(finding_changes), [{"key_0": row.change_id} for row in doomed]
    )
    mark = {
        "name": RETENTION_MARK,
        "change_id": max(row.change_id for row in doomed),
        "change_time": max(row.change_time for row in doomed),
    }
    connection.execute(_put_mark(connection.dialect.name), mark)
    return len(doomed)


def delete_coverage(connection: Connection, *, before_day: int, limit: int) -> int:
    """Deletes the counts of days, the oldest first; returns how many rows that were."""
    of_regions = _delete_older(connection, region_coverage.c.day, before_day, limit=limit)
    return of_regions + _delete_older(connection, source_coverage.c.day, before_day, limit=limit)


def delete_requests(connection: Connection, *, made_before: datetime, limit: int) -> int:
    """Deletes outcomes of tuning requests, the oldest first; returns how many."""
    column = tuning_requests.c.create_time
    return _delete_older(connection, column, made_before, limit=limit)


def _delete_older(
    connection: Connection, column: Column[Any], before: int | datetime, *, limit: int
) -> int:
    """Deletes rows by a column, the least first; returns how many.

    Each by its key on PostgreSQL: a join with a list of keys may be planned to read the whole table
    there. SQLite goes through the rows' numbers, in half the time.
    """
    table = column.table
    if connection.dialect.name != POSTGRESQL and table.dialect_options["sqlite"]["with_rowid"]:
        oldest = select(_ROWID).select_from(table).where(column < before).order_by(column)
        doomed = oldest.limit(literal_limit(limit)).scalar_subquery()
        return connection.execute(delete(table).where(_ROWID.in_(doomed))).rowcount
    statement = (
        select(*table.primary_key)
        .where(column < before)
        .order_by(column)
        .limit(literal_limit(limit))
        .with_for_update(skip_locked=True)
    )
    keys = connection.execute(statement).all()
    delete_by_key(connection, table, keys)
    return len(keys)


def delete_by_key(connection: Connection, table: Table, keys: Sequence[Sequence[Any]]) -> None:
    """Deletes the rows of primary keys."""
    if keys:
        given = [{f"key_{n}": value for n, value in enumerate(key)} for key in keys]
        connection.execute(_delete_by_key(table), given)


def literal_limit(limit: int) -> ColumnElement[int]:
    """Returns a limit that stands in the statement itself.

    Of a limit that is a parameter PostgreSQL would come to assume a tenth of the table, and plan
    to read all of it.
    """
    return literal_column(str(int(limit)))


@lru_cache
def _delete_by_key(table: Table) -> Delete:
    columns = enumerate(table.primary_key)
    return delete(table).where(*(column == bindparam(f"key_{n}") for n, column in columns))


@lru_cache
def _put_mark(backend: str) -> Insert:
    make = postgresql.insert if backend == POSTGRESQL else sqlite.insert
    statement, table = make(retention_marks), retention_marks.c
    new = statement.excluded
    greatest = func.greatest if backend == POSTGRESQL else func.max
    return statement.on_conflict_do_update(
        index_elements=[table.name],
        set_={
            "change_id": greatest(table.change_id, new.change_id),
            "change_time": greatest(table.change_time, new.change_time),
        },
    )
