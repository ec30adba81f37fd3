"""Tuning and what it has set aside.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    op.create_table(
        "allowlist_entries",
        sa.Column("entry_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("account_ids", sa.LargeBinary(), nullable=False),
        sa.Column("justification", TEXT, nullable=False),
        sa.Column("expire_time", sa.BigInteger(), nullable=True),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("creator", TEXT, nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.Column("last_match_time", sa.BigInteger(), nullable=True),
        sa.Column("match_count", sa.BigInteger(), nullable=False),
        sa.Column("change_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_allowlist_entries"),
    )
    op.create_table(
        "known_images",
        sa.Column("region", TEXT, nullable=False),
        sa.Column("image_id", TEXT, nullable=False),
        sa.Column("owner_account_id", TEXT, nullable=True),
        sa.Column("owner_alias", TEXT, nullable=True),
        sa.Column("image_name", TEXT, nullable=True),
        sa.Column("register_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("region", "image_id", name="pk_known_images"),
    )
    op.create_table(
        "policy_state",
        sa.Column("only", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("rule_revision", sa.BigInteger(), nullable=False),
        sa.Column("expired_through", sa.BigInteger(), nullable=False),
        sa.Column("audit_count", sa.BigInteger(), nullable=False),
        sa.Column("audit_hash", TEXT, nullable=False),
        sa.Column("pass_scope", TEXT, nullable=True),
        sa.Column("pass_cursor", sa.LargeBinary(), nullable=True),
        sa.Column("pass_done", sa.BigInteger(), nullable=False),
        sa.Column("pass_start_time", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("only", name="pk_policy_state"),
    )
    op.create_table(
        "retired_occurrences",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("finding_id", TEXT, nullable=False),
        sa.Column("launch_event_id", TEXT, nullable=False),
        sa.Column("lane", TEXT, nullable=False),
        sa.Column("search", sa.LargeBinary(), nullable=False),
        sa.Column("launch", sa.LargeBinary(), nullable=False),
        sa.Column("retire_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "finding_id", "launch_event_id", name="pk_retired_occurrences"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_retired_occurrences_lane", "retired_occurrences", ["account_id", "lane"])

    op.create_table(
        "rule_revisions",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("config", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("creator", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_rule_revisions"),
    )
    op.create_table(
        "tuning_changes",
        sa.Column("change_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("change_time", sa.BigInteger(), nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("method", TEXT, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("previous_hash", TEXT, nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("change_id", name="pk_tuning_changes"),
    )
    op.create_index("ix_tuning_changes_change_time", "tuning_changes", ["change_time"])

    op.create_table(
        "tuning_requests",
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("entry_id", TEXT, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_tuning_requests"),
    )
    op.create_index("ix_tuning_requests_create_time", "tuning_requests", ["create_time"])


def downgrade() -> None:
    """Takes the schema back to the former revision."""
    for table in (
        "tuning_requests",
        "tuning_changes",
        "rule_revisions",
        "retired_occurrences",
        "policy_state",
        "known_images",
        "allowlist_entries",
    ):
        op.drop_table(table)
