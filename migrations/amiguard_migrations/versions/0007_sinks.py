"""What is still to be delivered to sinks.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""


def downgrade() -> None:
    """Brings the schema back to that of the former revision."""
