"""Indexes that lists of findings are read by.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_findings_account_id_list": ("account_id", "update_time", "finding_id"),
    "ix_findings_score_desc": ("score DESC", "finding_id"),
    "ix_findings_occurrence_count_desc": ("occurrence_count DESC", "finding_id"),
    "ix_findings_triage": ("score DESC", "last_launch_time DESC", "finding_id"),
}


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    for name, columns in _INDEXES.items():
        op.create_index(name, "findings", [sa.text(column) for column in columns])


def downgrade() -> None:
    """Brings the schema back to that of the former revision."""
    for name in _INDEXES:
        op.drop_index(name, "findings")
