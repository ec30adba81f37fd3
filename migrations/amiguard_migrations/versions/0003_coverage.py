"""What came in, by account and region and by forwarder.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")

# Rows are counted up all day: room beside each lets PostgreSQL do so without touching an index.
ROOM_TO_GROW = {"fillfactor": 50}


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    op.create_table(
        "region_coverage",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), nullable=False),
        sa.Column("arrival_hours", sa.Integer(), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.Column("search_count", sa.BigInteger(), nullable=False),
        sa.Column("launch_count", sa.BigInteger(), nullable=False),
        sa.Column("unidentified_count", sa.BigInteger(), nullable=False),
        sa.Column("beyond_horizon_count", sa.BigInteger(), nullable=False),
        sa.Column("future_count", sa.BigInteger(), nullable=False),
        sa.Column("within_1_minute", sa.BigInteger(), nullable=False),
        sa.Column("within_5_minutes", sa.BigInteger(), nullable=False),
        sa.Column("within_15_minutes", sa.BigInteger(), nullable=False),
        sa.Column("within_1_hour", sa.BigInteger(), nullable=False),
        sa.Column("within_6_hours", sa.BigInteger(), nullable=False),
        sa.Column("within_24_hours", sa.BigInteger(), nullable=False),
        sa.Column("over_24_hours", sa.BigInteger(), nullable=False),
        sa.Column("last_arrival_time", sa.BigInteger(), nullable=False),
        sa.Column("last_record_time", sa.BigInteger(), nullable=True),
        sa.Column("last_search_time", sa.BigInteger(), nullable=True),
        sa.Column("last_launch_time", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "region", "day", "slot", name="pk_region_coverage"),
        postgresql_with=ROOM_TO_GROW,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_region_coverage_day", "region_coverage", ["day"])

    op.create_table(
        "source_coverage",
        sa.Column("source", TEXT, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), nullable=False),
        sa.Column("arrival_hours", sa.Integer(), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.Column("rejected_count", sa.BigInteger(), nullable=False),
        sa.Column("last_arrival_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "day", "slot", name="pk_source_coverage"),
        postgresql_with=ROOM_TO_GROW,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_source_coverage_day", "source_coverage", ["day"])


def downgrade() -> None:
    """Takes the schema back to the former revision."""
    for table in ("source_coverage", "region_coverage"):
        op.drop_table(table)
