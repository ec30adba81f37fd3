"""What is still to be delivered to sinks.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    op.create_table(
        "sinks",
        sa.Column("sink_id", TEXT, nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=False),
        sa.Column("change_time", sa.BigInteger(), nullable=False),
        sa.Column("failure_count", sa.BigInteger(), nullable=False),
        sa.Column("resume_time", sa.BigInteger(), nullable=True),
        sa.Column("delivered_count", sa.BigInteger(), nullable=False),
        sa.Column("last_delivery_time", sa.BigInteger(), nullable=True),
        sa.Column("last_error_time", sa.BigInteger(), nullable=True),
        sa.Column("last_error", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("sink_id", name="pk_sinks"),
    )
    op.create_table(
        "sink_deliveries",
        sa.Column("sink_id", TEXT, nullable=False),
        sa.Column("finding_id", TEXT, nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=False),
        sa.Column("take_up_time", sa.BigInteger(), nullable=False),
        sa.Column("attempt_count", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_time", sa.BigInteger(), nullable=True),
        sa.Column("last_attempt_time", sa.BigInteger(), nullable=True),
        sa.Column("last_error", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("sink_id", "finding_id", name="pk_sink_deliveries"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_sink_deliveries_next", "sink_deliveries", ["sink_id", "next_attempt_time"])


def downgrade() -> None:
    """Brings the schema back to that of the former revision."""
    op.drop_table("sink_deliveries")
    op.drop_table("sinks")
