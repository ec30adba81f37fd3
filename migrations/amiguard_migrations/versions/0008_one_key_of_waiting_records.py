"""Waiting records are keyed as they are looked for, and what is stored of records may be packed.

What is stored plain stays so until it is written again. The former release cannot work with this
schema, because it would read packed values as JSON, and refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from amiguard_migrations.documents import unpack

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")

_TABLE = "waiting_records"
_KEY = ("account_id", "lane", "region", "kind", "event_time", "event_id", "digest")
_FORMER_KEY = ("account_id", "lane", "event_id", "digest")
_FORMER_INDEX = ("account_id", "lane", "region", "kind", "event_time")

_PACKED = {
    "waiting_records": (_KEY, ("body",)),
    "occurrences": (("account_id", "finding_id", "launch_event_id"), ("search", "launch", "pin")),
    "retired_occurrences": (("account_id", "finding_id", "launch_event_id"), ("search", "launch")),
    "pinned_templates": (
        ("account_id", "finding_id", "pin_event_id", "pin_digest"),
        ("search", "pin"),
    ),
}
"""The key of each table with packed values, and the columns of these."""

_ROWS_AT_ONCE = 1_000


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    op.drop_index("ix_waiting_records_line", _TABLE)
    _change_key(_KEY, has_rowid=True)


def downgrade() -> None:
    """Brings the schema back to that of the former revision."""
    for table, (key, columns) in _PACKED.items():
        _unpack(table, key, columns)
    _change_key(_FORMER_KEY, has_rowid=False)
    op.create_index("ix_waiting_records_line", _TABLE, _FORMER_INDEX)


def _change_key(key: Sequence[str], *, has_rowid: bool) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("pk_waiting_records", _TABLE, type_="primary")
        op.create_primary_key("pk_waiting_records", _TABLE, list(key))
        return
    # SQLite changes no key in place.
    op.drop_index("ix_waiting_records_arrival_time", _TABLE)
    op.rename_table(_TABLE, "former_waiting_records")
    op.create_table(
        _TABLE,
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("lane", TEXT, nullable=False),
        sa.Column("event_id", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.Column("arrival_time", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(*key, name="pk_waiting_records"),
        sqlite_with_rowid=has_rowid,
    )
    # As they stand: our connections would sort in memory, which need not be enough for all.
    op.execute(f"INSERT INTO {_TABLE} SELECT * FROM former_waiting_records")  # noqa: S608 - names of our own schema
    op.drop_table("former_waiting_records")
    op.create_index("ix_waiting_records_arrival_time", _TABLE, ["arrival_time"])


def _unpack(name: str, key: Sequence[str], columns: Sequence[str]) -> None:
    """Stores what is packed in a table plain."""
    table = sa.table(name, *(sa.column(column) for column in (*key, *columns)))
    change = (
        sa.update(table)
        .where(*(table.c[column] == sa.bindparam(f"of_{column}") for column in key))
        .values({column: sa.bindparam(f"new_{column}") for column in columns})
    )
    for rows in _pages(table, key):
        plain = [
            {f"of_{column}": getattr(row, column) for column in key}
            | {f"new_{column}": _unpacked(getattr(row, column)) for column in columns}
            for row in rows
        ]
        op.get_bind().execute(change, plain)


def _unpacked(value: bytes | None) -> bytes | None:
    return None if value is None else unpack(bytes(value))


def _pages(table: sa.TableClause, key: Sequence[str]) -> Iterator[Sequence[sa.Row[Any]]]:
    position = sa.tuple_(*(table.c[column] for column in key))
    statement = sa.select(table).order_by(*(table.c[column] for column in key)).limit(_ROWS_AT_ONCE)
    rows = op.get_bind().execute(statement).all()
    while rows:
        yield rows
        last = tuple(getattr(rows[-1], column) for column in key)
        rows = op.get_bind().execute(statement.where(position > last)).all()
