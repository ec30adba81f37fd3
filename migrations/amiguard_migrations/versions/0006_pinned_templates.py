"""Launch templates that pin an image.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""


def downgrade() -> None:
    """Brings the schema back to that of the former revision."""
