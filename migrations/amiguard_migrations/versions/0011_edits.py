"""Edits of findings in their history, and the score that was accepted with a risk.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    op.add_column("finding_history", sa.Column("edit", sa.LargeBinary(), nullable=True))
    op.add_column("findings", sa.Column("accepted_score", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    """Brings the schema back to that of the former revision."""
    op.drop_column("findings", "accepted_score")
    op.drop_column("finding_history", "edit")
