"""Findings and what they are made of.

A migration leaves the former release working: add, fill, switch and remove are four releases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PARTITION_COUNT = 16


def upgrade() -> None:
    """Brings the schema of the former revision to this one."""
    op.create_table(
        "finding_changes",
        sa.Column("change_id", SERIAL, nullable=False),
        sa.Column("change_time", sa.BigInteger(), nullable=False),
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("finding_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("change_id", name="pk_finding_changes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_finding_changes_change_time", "finding_changes", ["change_time"])

    op.create_table(
        "finding_images",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("finding_id", TEXT, nullable=False),
        sa.Column("image_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "finding_id", "image_id", name="pk_finding_images"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_finding_images_image_id", "finding_images", ["image_id"])

    op.create_table(
        "finding_labels",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("finding_id", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "finding_id", "key", name="pk_finding_labels"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_finding_labels_key_value", "finding_labels", ["key", "value"])

    op.create_table(
        "finding_patterns",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("finding_id", TEXT, nullable=False),
        sa.Column("pattern", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "finding_id", "pattern", name="pk_finding_patterns"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_finding_patterns_pattern", "finding_patterns", ["pattern"])

    op.create_table(
        "findings",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("finding_id", TEXT, nullable=False),
        sa.Column("lane", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("actor_arn", TEXT, nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("reasons", sa.LargeBinary(), nullable=False),
        sa.Column("steps", sa.LargeBinary(), nullable=False),
        sa.Column("client", TEXT, nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("confidence", sa.SmallInteger(), nullable=False),
        sa.Column("occurrence_count", sa.BigInteger(), nullable=False),
        sa.Column("unsuppressed_count", sa.BigInteger(), nullable=False),
        sa.Column("first_launch_time", sa.BigInteger(), nullable=False),
        sa.Column("last_launch_time", sa.BigInteger(), nullable=False),
        sa.Column("last_launch_event_id", TEXT, nullable=False),
        sa.Column("rule_revision", sa.BigInteger(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("disposition", TEXT, nullable=True),
        sa.Column("suppression", TEXT, nullable=True),
        sa.Column("assignee", TEXT, nullable=False),
        sa.Column("accept_until_time", sa.BigInteger(), nullable=True),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.Column("change_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "finding_id", name="pk_findings"),
    )
    op.create_index("ix_findings_lane", "findings", ["account_id", "lane"])
    for column in ("actor_arn", "client", "assignee"):
        op.create_index(
            f"ix_findings_{column}_list", "findings", [column, "update_time", "finding_id"]
        )
    op.create_index("ix_findings_create_time_finding_id", "findings", ["create_time", "finding_id"])
    op.create_index(
        "ix_findings_last_launch_time_finding_id", "findings", ["last_launch_time", "finding_id"]
    )
    op.create_index(
        "ix_findings_occurrence_count_finding_id", "findings", ["occurrence_count", "finding_id"]
    )
    op.create_index("ix_findings_score_finding_id", "findings", ["score", "finding_id"])
    op.create_index("ix_findings_update_time_finding_id", "findings", ["update_time", "finding_id"])

    op.create_table(
        "occurrences",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("finding_id", TEXT, nullable=False),
        sa.Column("launch_event_id", TEXT, nullable=False),
        sa.Column("launch_time", sa.BigInteger(), nullable=False),
        sa.Column("search_event_id", TEXT, nullable=False),
        sa.Column("search_time", sa.BigInteger(), nullable=False),
        sa.Column("confidence", sa.SmallInteger(), nullable=False),
        sa.Column("suppression", TEXT, nullable=True),
        sa.Column("search", sa.LargeBinary(), nullable=False),
        sa.Column("launch", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "finding_id", "launch_event_id", name="pk_occurrences"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_occurrences_recency",
        "occurrences",
        ["account_id", "finding_id", "launch_time", "launch_event_id"],
    )

    op.create_table(
        "rejected_records",
        sa.Column("rejection_id", SERIAL, nullable=False),
        sa.Column("arrival_time", sa.BigInteger(), nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("raw_length", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rejection_id", name="pk_rejected_records"),
    )
    op.create_index("ix_rejected_records_arrival_time", "rejected_records", ["arrival_time"])

    op.create_table(
        "server_keys",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_server_keys"),
    )
    op.create_table(
        "waiting_records",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("lane", TEXT, nullable=False),
        sa.Column("event_id", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("region", TEXT, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.Column("arrival_time", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "lane", "event_id", "digest", name="pk_waiting_records"
        ),
        postgresql_partition_by="HASH (account_id, lane)",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_waiting_records_arrival_time", "waiting_records", ["arrival_time"])
    if op.get_bind().dialect.name == "postgresql":
        for part in range(PARTITION_COUNT):
            op.execute(
                f"CREATE TABLE waiting_records_part_{part} PARTITION OF waiting_records "
                f"FOR VALUES WITH (MODULUS {PARTITION_COUNT}, REMAINDER {part})"
            )
    op.create_index(
        "ix_waiting_records_line",
        "waiting_records",
        ["account_id", "lane", "region", "kind", "event_time"],
    )


def downgrade() -> None:
    """Takes the schema back to the former revision."""
    for table in (
        "waiting_records",
        "server_keys",
        "rejected_records",
        "occurrences",
        "findings",
        "finding_patterns",
        "finding_labels",
        "finding_images",
        "finding_changes",
    ):
        op.drop_table(table)
