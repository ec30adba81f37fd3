"""The history of findings, and how far retention has cut what grows.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    op.create_table(
        "finding_history",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("finding_id", TEXT, nullable=False),
        sa.Column("change_number", sa.BigInteger(), nullable=False),
        sa.Column("change_time", sa.BigInteger(), nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("state_before", TEXT, nullable=True),
        sa.Column("state_after", TEXT, nullable=False),
        sa.Column("disposition", TEXT, nullable=True),
        sa.Column("accept_until_time", sa.BigInteger(), nullable=True),
        sa.Column("assignee", TEXT, nullable=False),
        sa.Column("comment", TEXT, nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "finding_id", "change_number", name="pk_finding_history"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "retention_marks",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=False),
        sa.Column("change_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_retention_marks"),
    )


def downgrade() -> None:
    """Takes the schema back to the former revision."""
    for table in ("retention_marks", "finding_history"):
        op.drop_table(table)
