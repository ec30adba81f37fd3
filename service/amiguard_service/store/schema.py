"""The tables. Every key begins with the account, so that one statement needs one partition.

Times are whole microseconds since 1970 in UTC; documents are the JSON of the core's values.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    TypeDecorator,
)

PARTITION_COUNT = 16
"""Hash partitions of the waiting records on PostgreSQL: enough to spread over a few disks."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(time: datetime) -> int:
    """Returns a time as stored."""
    return (time - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Returns a stored time."""
    return _EPOCH + micros * _MICROSECOND


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Returns the time as stored."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as above
        """Returns the stored time."""
        return None if value is None else from_micros(value)


Text = String().with_variant(String(collation="C"), "postgresql")
"""Text ordered by code point on every backend."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

waiting_records = Table(
    "waiting_records",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("lane", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("region", Text, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("event_time", BigInteger, nullable=False),
    Column("arrival_time", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_waiting_records_line", "account_id", "lane", "region", "kind", "event_time"),
    Index(None, "arrival_time"),
    sqlite_with_rowid=False,
    postgresql_partition_by="HASH (account_id, lane)",
)
"""Searches and launches that may still find a partner. `body` is the core's value, `digest` a hash
of it: where two copies of one event differ, both wait."""

occurrences = Table(
    "occurrences",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("launch_event_id", Text, primary_key=True),
    Column("launch_time", Instant, nullable=False),
    Column("search_event_id", Text, nullable=False),
    Column("search_time", Instant, nullable=False),
    Column("confidence", SmallInteger, nullable=False),
    Column("suppression", Text),
    Column("search", LargeBinary, nullable=False),
    Column("launch", LargeBinary, nullable=False),
    Index("ix_occurrences_recency", "account_id", "finding_id", "launch_time", "launch_event_id"),
    sqlite_with_rowid=False,
)
"""Launches attributed to the latest unsafe search of a fingerprint, with both records' values."""

findings = Table(
    "findings",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("region", Text, nullable=False),
    Column("actor_arn", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("reasons", LargeBinary, nullable=False),
    Column("steps", LargeBinary, nullable=False),
    Column("client", Text, nullable=False),
    Column("score", SmallInteger, nullable=False),
    Column("confidence", SmallInteger, nullable=False),
    Column("occurrence_count", BigInteger, nullable=False),
    Column("unsuppressed_count", BigInteger, nullable=False),
    Column("first_launch_time", Instant, nullable=False),
    Column("last_launch_time", Instant, nullable=False),
    Column("last_launch_event_id", Text, nullable=False),
    Column("rule_revision", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("disposition", Text),
    Column("suppression", Text),
    Column("assignee", Text, nullable=False),
    Column("accept_until_time", Instant),
    Column("create_time", Instant, nullable=False),
    Column("update_time", Instant, nullable=False),
    Column("change_count", BigInteger, nullable=False),
    *(
        Index(None, column, "finding_id")
        for column in (
            "create_time",
            "update_time",
            "last_launch_time",
            "score",
            "occurrence_count",
        )
    ),
)
"""One row a finding. `change_count` rises with every change; the etag is made of it."""

finding_images = Table(
    "finding_images",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("image_id", Text, primary_key=True),
    Index(None, "image_id"),
    sqlite_with_rowid=False,
)
"""Every image that a finding's launches started."""

finding_patterns = Table(
    "finding_patterns",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("pattern", Text, primary_key=True),
    Index(None, "pattern"),
    sqlite_with_rowid=False,
)
"""The name patterns of a finding's search, for filters."""

finding_labels = Table(
    "finding_labels",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index(None, "key", "value"),
    sqlite_with_rowid=False,
)
"""The labels that clients gave a finding."""

finding_changes = Table(
    "finding_changes",
    metadata,
    Column("change_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("change_time", Instant, nullable=False, index=True),
    Column("account_id", Text, nullable=False),
    Column("finding_id", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""The change log: one row for every change to a finding, in commit order."""

rejected_records = Table(
    "rejected_records",
    metadata,
    Column("rejection_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("arrival_time", Instant, nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("raw_length", BigInteger, nullable=False),
)
"""What was set aside: where it stood, why, and its first bytes; `raw_length` says how many."""

server_keys = Table(
    "server_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("create_time", Instant, nullable=False),
)
"""Secrets that the replicas of one database share."""
