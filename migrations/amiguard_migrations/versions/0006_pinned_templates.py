"""Launch templates that pin an image.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")

_WAITING_PIN = 3
"""A kind of waiting record that the former revision does not know."""


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    op.create_table(
        "pinned_templates",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("finding_id", TEXT, nullable=False),
        sa.Column("pin_event_id", TEXT, nullable=False),
        sa.Column("pin_digest", TEXT, nullable=False),
        sa.Column("template_id", TEXT, nullable=False),
        sa.Column("search", sa.LargeBinary(), nullable=False),
        sa.Column("pin", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "finding_id", "pin_event_id", "pin_digest", name="pk_pinned_templates"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_pinned_templates_template", "pinned_templates", ["account_id", "template_id"]
    )
    op.add_column("occurrences", sa.Column("pin", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    """Takes the schema back to the former revision."""
    waiting = sa.table("waiting_records", sa.column("kind"))
    op.execute(sa.delete(waiting).where(waiting.c.kind == _WAITING_PIN))
    op.drop_column("occurrences", "pin")
    op.drop_table("pinned_templates")
