"""${message}.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Takes the schema back to the former revision."""
    ${downgrades if downgrades else "pass"}
