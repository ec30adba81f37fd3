"""The change log, read a page at a time from a cursor.

A cursor is the id of a change: everything up to it is behind the reader. Whoever appends holds a
lock until the commit, so that changes become visible in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, func, select

from amiguard_service.filters import Filter
from amiguard_service.store.errors import StoreError
from amiguard_service.store.filters_sql import compile_filter
from amiguard_service.store.findings import account_of, complete
from amiguard_service.store.rows import encode_rows, rows_of
from amiguard_service.store.schema import finding_changes, findings, retention_marks
from amiguard_service.stored import StoredFinding

RETENTION_MARK: Final = finding_changes.name
"""The name under which retention says how far it has cut the change log."""

_RESOLUTION: Final = timedelta(microseconds=1)


class CursorExpiredError(StoreError):
    """Retention has deleted changes that come after the cursor; `oldest_time` can be started at."""

    def __init__(self, *, oldest_time: datetime) -> None:
        super().__init__(
            f"changes before {oldest_time.isoformat()} are deleted; list the findings again, and "
            "go on from there"
        )
        self.oldest_time = oldest_time


class CursorAheadError(StoreError):
    """The cursor lies ahead of the change log: it is of another database, or of lost changes."""

    def __init__(self) -> None:
        super().__init__(
            "got a cursor ahead of the change log, expected one that this database gave"
        )


class _Mark(NamedTuple):
    """The greatest change that retention has deleted."""

    change_id: int
    change_time: datetime


class ChangedFinding(NamedTuple):
    """A finding as it stands, and the cursor just after its last change in the page."""

    cursor: int
    finding: StoredFinding


class ChangePage(NamedTuple):
    """Changed findings in the order of their last change, and the cursor after the page."""

    changed: list[ChangedFinding]
    cursor: int


def fetch_last_cursor(connection: Connection) -> int:
    """Returns the cursor after everything that is committed."""
    last = connection.execute(select(func.max(finding_changes.c.change_id))).scalar_one()
    if last is not None:
        return int(last)
    mark = _fetch_mark(connection)
    return 0 if mark is None else mark.change_id


def fetch_cursor_at(connection: Connection, time: datetime) -> int:
    """Returns the cursor before the first change at or after a time, or the last one.

    Raises CursorExpiredError where changes of that time or later may be deleted.
    """
    mark = _fetch_mark(connection)
    if mark is not None and time <= mark.change_time:
        raise _expired(mark)
    table = finding_changes.c
    statement = (
        select(table.change_id)
        .where(table.change_time >= time)
        .order_by(table.change_time, table.change_id)
        .limit(1)
    )
    first = connection.execute(statement).scalar_one_or_none()
    return fetch_last_cursor(connection) if first is None else int(first) - 1


def check_cursor(connection: Connection, cursor: int) -> None:
    """Raises CursorExpiredError or CursorAheadError unless reading can go on from a cursor."""
    _refuse_expired(connection, cursor)
    if cursor > fetch_last_cursor(connection):
        raise CursorAheadError


def fetch_page(connection: Connection, condition: Filter, *, after: int, limit: int) -> ChangePage:
    """Returns the findings in the next `limit` changes that fulfil a condition as they stand now.

    Each is there once, whatever the number of its changes; those deleted since are left out.
    Raises CursorExpiredError where changes after the cursor are deleted.
    """
    _refuse_expired(connection, after)
    table = finding_changes.c
    statement = (
        select(table.change_id, table.finding_id)
        .where(table.change_id > after)
        .order_by(table.change_id)
        .limit(limit)
    )
    rows = connection.execute(statement).all()
    if not rows:
        return ChangePage([], after)
    last_change = {row.finding_id: row.change_id for row in rows}
    stored = fetch_matching(connection, condition, last_change)
    changed = [ChangedFinding(last_change[found.finding_id], found) for found in stored]
    return ChangePage(sorted(changed, key=lambda change: change.cursor), rows[-1].change_id)


def fetch_matching(
    connection: Connection, condition: Filter, finding_ids: Iterable[str]
) -> list[StoredFinding]:
    """Returns those of the findings that are stored and fulfil a condition, in no order."""
    keys = [(account_of(i), i) for i in finding_ids]
    backend = connection.dialect.name
    statement = _by_key(backend).where(compile_filter(condition, backend))
    rows = connection.execute(statement, {"rows": encode_rows(keys)}).all()
    return complete(connection, rows)


def _fetch_mark(connection: Connection) -> _Mark | None:
    marks = retention_marks.c
    statement = select(marks.change_id, marks.change_time).where(marks.name == RETENTION_MARK)
    found = connection.execute(statement).one_or_none()
    return None if found is None else _Mark(*found)


def _refuse_expired(connection: Connection, cursor: int) -> None:
    mark = _fetch_mark(connection)
    if mark is not None and cursor < mark.change_id:
        raise _expired(mark)


def _expired(mark: _Mark) -> CursorExpiredError:
    # Changes of the mark's own time may be among the deleted ones.
    return CursorExpiredError(oldest_time=mark.change_time + _RESOLUTION)


@lru_cache
def _by_key(backend: str) -> Select[Any]:
    given = rows_of(("account_id", "finding_id"), backend)
    same = (findings.c.account_id == given.c.account_id) & (
        findings.c.finding_id == given.c.finding_id
    )
    return select(findings).select_from(given.join(findings, same))
