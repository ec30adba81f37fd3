"""Waiting records are keyed as they are looked for, and what is stored of records may be packed.

What is stored plain stays so until it is written again. The former release cannot work with this
schema, because it would read packed values as JSON, and refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from amiguard_migrations.plain import store_plain

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")

_TABLE = "waiting_records"
_KEY = ("account_id", "lane", "region", "kind", "event_time", "event_id", "digest")
_FORMER_KEY = ("account_id", "lane", "event_id", "digest")
_FORMER_INDEX = ("account_id", "lane", "region", "kind", "event_time")


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    op.drop_index("ix_waiting_records_line", _TABLE)
    _change_key(_KEY, has_rowid=True)


def downgrade() -> None:
    """Brings the schema back to that of the former revision."""
    store_plain(op.get_bind())
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
