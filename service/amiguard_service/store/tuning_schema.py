"""The tables of tuning: what is in force, who put it there, and what it has set aside."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, Table

from amiguard_service.store.schema import Instant, PackedDocument, Text, metadata

policy_state = Table(
    "policy_state",
    metadata,
    Column("only", SmallInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("rule_revision", BigInteger, nullable=False),
    Column("expired_through", Instant, nullable=False),
    Column("audit_count", BigInteger, nullable=False),
    Column("audit_hash", Text, nullable=False),
    Column("pass_scope", Text),
    Column("pass_cursor", LargeBinary),
    Column("pass_done", BigInteger, nullable=False),
    Column("pass_start_time", Instant),
)
"""The one row that says which policy is in force, and how far the pass that applies it has come.

`version` rises with every change of the policy. The audit's head stands here, so that a missing
last row shows. A pass is under way while `pass_scope` is set."""

rule_revisions = Table(
    "rule_revisions",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("config", LargeBinary, nullable=False),
    Column("create_time", Instant, nullable=False),
    Column("creator", Text, nullable=False),
)
"""Every rule configuration that was ever in force."""

allowlist_entries = Table(
    "allowlist_entries",
    metadata,
    Column("entry_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("account_ids", LargeBinary, nullable=False),
    Column("justification", Text, nullable=False),
    Column("expire_time", Instant),
    Column("create_time", Instant, nullable=False),
    Column("creator", Text, nullable=False),
    Column("update_time", Instant, nullable=False),
    Column("last_match_time", Instant),
    Column("match_count", BigInteger, nullable=False),
    Column("change_count", BigInteger, nullable=False),
)
"""What the organization vouches for. `match_count` counts the scores an entry affected."""

tuning_changes = Table(
    "tuning_changes",
    metadata,
    Column("change_id", BigInteger, primary_key=True, autoincrement=False),
    Column("change_time", Instant, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
"""The audit: one row a change, numbered from 1, each sealed with the hash of the one before."""

tuning_requests = Table(
    "tuning_requests",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("entry_id", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("create_time", Instant, nullable=False, index=True),
)
"""Outcomes by request id, so that a retry gets the first one."""

known_images = Table(
    "known_images",
    metadata,
    Column("region", Text, primary_key=True),
    Column("image_id", Text, primary_key=True),
    Column("owner_account_id", Text),
    Column("owner_alias", Text),
    Column("image_name", Text),
    Column("register_time", Instant, nullable=False),
)
"""What has been registered of images."""

retired_occurrences = Table(
    "retired_occurrences",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("launch_event_id", Text, primary_key=True),
    Column("lane", Text, nullable=False),
    Column("search", PackedDocument, nullable=False),
    Column("launch", PackedDocument, nullable=False),
    Column("evidence", PackedDocument),
    Column("retire_time", Instant, nullable=False),
    Index("ix_retired_occurrences_lane", "account_id", "lane"),
    sqlite_with_rowid=False,
)
"""Occurrences that a change of policy took out of their findings, kept so that another change can
bring them back. Their pins stay in `pinned_templates`."""
