"""The way down for packed documents: stored plain, they are what every revision reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from amiguard_migrations.documents import unpack

_KEYS: Final = {
    "waiting_records": (
        "account_id",
        "lane",
        "region",
        "kind",
        "event_time",
        "event_id",
        "digest",
    ),
    "occurrences": ("account_id", "finding_id", "launch_event_id"),
    "retired_occurrences": ("account_id", "finding_id", "launch_event_id"),
    "pinned_templates": ("account_id", "finding_id", "pin_event_id", "pin_digest"),
}
_DOCUMENTS: Final = {
    "waiting_records": ("body",),
    "occurrences": ("search", "launch", "pin"),
    "retired_occurrences": ("search", "launch"),
    "pinned_templates": ("search", "pin"),
}
"""What is packed since revision 0008, by table."""

_ROWS_AT_ONCE: Final = 1_000


def store_plain(connection: sa.Connection) -> None:
    """Stores every packed document plain, in tables as they are since revision 0008."""
    for name, key in _KEYS.items():
        documents = _DOCUMENTS[name]
        table = sa.table(name, *(sa.column(column) for column in (*key, *documents)))
        change = (
            sa.update(table)
            .where(*(table.c[column] == sa.bindparam(f"of_{column}") for column in key))
            .values({column: sa.bindparam(f"new_{column}") for column in documents})
        )
        for rows in _pages(connection, table, key):
            plain = [
                {f"of_{column}": getattr(row, column) for column in key}
                | {f"new_{column}": _unpacked(getattr(row, column)) for column in documents}
                for row in rows
            ]
            connection.execute(change, plain)


def _unpacked(value: bytes | None) -> bytes | None:
    return None if value is None else unpack(bytes(value))


def _pages(
    connection: sa.Connection, table: sa.TableClause, key: Sequence[str]
) -> Iterator[Sequence[sa.Row[Any]]]:
    position = sa.tuple_(*(table.c[column] for column in key))
    statement = sa.select(table).order_by(*(table.c[column] for column in key)).limit(_ROWS_AT_ONCE)
    rows = connection.execute(statement).all()
    while rows:
        yield rows
        last = tuple(getattr(rows[-1], column) for column in key)
        rows = connection.execute(statement.where(position > last)).all()
