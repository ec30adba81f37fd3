"""What is stored of records is packed as frames of Zstandard.

Nothing is written anew: what former revisions stored, plain or packed, stays until it is written
again, and is read. The former release cannot read frames, and refuses the schema.
"""

from __future__ import annotations

from alembic import op

from amiguard_migrations.plain import store_plain

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Changes nothing but what may be stored from now on."""


def downgrade() -> None:
    """Brings the schema back to that of the former revision."""
    store_plain(op.get_bind())
