"""The tables. Every key begins with the account, so that one statement needs one partition.

Times are whole microseconds since 1970 in UTC; documents are the JSON of the core's values, packed
where they are records.
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
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    TypeDecorator,
)

from amiguard_migrations.documents import pack, unpack

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


class PackedDocument(TypeDecorator[bytes]):
    """A record's value as JSON, stored as `amiguard_migrations.documents` packs it."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002 - as above
        """Returns the document as stored."""
        return None if value is None else pack(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002 - as above
        """Returns the stored document."""
        return None if value is None else unpack(bytes(value))


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
    Column("account_id", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("kind", SmallInteger, autoincrement=False, nullable=False),
    Column("event_time", BigInteger, autoincrement=False, nullable=False),
    Column("arrival_time", BigInteger, nullable=False),
    Column("body", PackedDocument, nullable=False),
    # In this order it also finds partners. The rows themselves stand as they came, also in SQLite,
    # so that a record costs one place in one index, however many wait.
    PrimaryKeyConstraint(
        "account_id", "lane", "region", "kind", "event_time", "event_id", "digest"
    ),
    Index(None, "arrival_time"),
    postgresql_partition_by="HASH (account_id, lane)",
)
"""Searches and launches that may still find a partner. What makes a version of a launch template,
and what is launched from one, waits in the lane of the template as well. `body` is the core's
value, `digest` a hash of it: where two copies of one event differ, both wait."""

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
    Column("search", PackedDocument, nullable=False),
    Column("launch", PackedDocument, nullable=False),
    Column("pin", PackedDocument),
    Column("evidence", PackedDocument),
    Index("ix_occurrences_recency", "account_id", "finding_id", "launch_time", "launch_event_id"),
    sqlite_with_rowid=False,
)
"""Launches attributed to the latest unsafe search of a fingerprint, with both records' values, and
that of the call that pinned the image where the launch was made from a launch template. `evidence`
is set where there is more of it: other copies of the launch, or searches of another kind."""

pinned_templates = Table(
    "pinned_templates",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("pin_event_id", Text, primary_key=True),
    Column("pin_digest", Text, primary_key=True),
    Column("template_id", Text, nullable=False),
    Column("search", PackedDocument, nullable=False),
    Column("plain_search", PackedDocument),
    Column("pin", PackedDocument, nullable=False),
    Index("ix_pinned_templates_template", "account_id", "template_id"),
    sqlite_with_rowid=False,
)
"""What launches from a template follow, for as long as the finding is kept: each call that pinned
an image, in each of its copies, with the latest unsafe search that it followed."""

findings = Table(
    "findings",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("lane", Text, nullable=False),
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
    Column("accepted_score", SmallInteger),
    Index("ix_findings_lane", "account_id", "lane"),
    # What few findings share, in the order in which lists come by default.
    *(
        Index(f"ix_findings_{column}_list", column, "update_time", "finding_id")
        for column in ("account_id", "actor_arn", "client", "assignee")
    ),
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

# Of what many findings share, also the other way round: ties come by the name either way.
for _column in (findings.c.score, findings.c.occurrence_count):
    Index(f"ix_findings_{_column.name}_desc", _column.desc(), findings.c.finding_id)
# The worst first, and of these the latest.
Index(
    "ix_findings_triage",
    findings.c.score.desc(),
    findings.c.last_launch_time.desc(),
    findings.c.finding_id,
)

finding_images = Table(
    "finding_images",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("image_id", Text, primary_key=True),
    Index(None, "image_id"),
    sqlite_with_rowid=False,
)
"""Every image that a finding's launches started; an empty id where a launch names none."""

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

finding_history = Table(
    "finding_history",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("change_number", BigInteger, primary_key=True, autoincrement=False),
    Column("change_time", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("state_before", Text),
    Column("state_after", Text, nullable=False),
    Column("disposition", Text),
    Column("accept_until_time", Instant),
    Column("assignee", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("edit", PackedDocument),
    sqlite_with_rowid=False,
)
"""One row for every move of a finding from state to state, and for every edit by a person, which
`edit` tells. `change_number` is the finding's `change_count` after it; the first row has no state
before."""

retention_marks = Table(
    "retention_marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("change_id", BigInteger, nullable=False),
    Column("change_time", Instant, nullable=False),
)
"""How far a table has been cut: its greatest deleted id and the time of it, by the table's name.
Written in the transaction that deletes. And what `store.marks` keeps: times alone, by other names.
"""

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

_ROOM_TO_GROW = {"fillfactor": 50}
"""Rows that are counted up all day: room beside each lets PostgreSQL do so without touching an
index."""

region_coverage = Table(
    "region_coverage",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("arrival_hours", Integer, nullable=False),
    Column("record_count", BigInteger, nullable=False),
    Column("search_count", BigInteger, nullable=False),
    Column("launch_count", BigInteger, nullable=False),
    Column("unidentified_count", BigInteger, nullable=False),
    Column("beyond_horizon_count", BigInteger, nullable=False),
    Column("future_count", BigInteger, nullable=False),
    Column("within_1_minute", BigInteger, nullable=False),
    Column("within_5_minutes", BigInteger, nullable=False),
    Column("within_15_minutes", BigInteger, nullable=False),
    Column("within_1_hour", BigInteger, nullable=False),
    Column("within_6_hours", BigInteger, nullable=False),
    Column("within_24_hours", BigInteger, nullable=False),
    Column("over_24_hours", BigInteger, nullable=False),
    Column("last_arrival_time", Instant, nullable=False),
    Column("last_record_time", Instant),
    Column("last_search_time", Instant),
    Column("last_launch_time", Instant),
    Index(None, "day"),
    sqlite_with_rowid=False,
    postgresql_with=_ROOM_TO_GROW,
)
"""What came from an account and region on a day of arrival: days since 1970, UTC. `arrival_hours`
has a bit for each hour of it, the columns from `within_1_minute` on count records by lateness. A
day's rows differ in `slot`, which keeps transactions that count at the same time apart."""

source_coverage = Table(
    "source_coverage",
    metadata,
    Column("source", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("arrival_hours", Integer, nullable=False),
    Column("record_count", BigInteger, nullable=False),
    Column("rejected_count", BigInteger, nullable=False),
    Column("last_arrival_time", Instant, nullable=False),
    Index(None, "day"),
    sqlite_with_rowid=False,
    postgresql_with=_ROOM_TO_GROW,
)
"""What a forwarder sent on a day of arrival, as in `region_coverage`."""

server_keys = Table(
    "server_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("create_time", Instant, nullable=False),
)
"""Secrets that the replicas of one database share."""
