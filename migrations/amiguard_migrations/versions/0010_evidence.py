"""Every copy of a launch counts, and every kind of search that it follows.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ADDED = (
    ("occurrences", "evidence"),
    ("retired_occurrences", "evidence"),
    ("pinned_templates", "plain_search"),
)


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    for table, column in _ADDED:
        op.add_column(table, sa.Column(column, sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    """Brings the schema back to that of the former revision."""
    for table, column in _ADDED:
        op.drop_column(table, column)
