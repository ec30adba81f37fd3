"""The tables of sinks: how far each has read the change log, and what it is still to be sent."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from amiguard_service.store.schema import Instant, Text, metadata

sinks = Table(
    "sinks",
    metadata,
    Column("sink_id", Text, primary_key=True),
    Column("change_id", BigInteger, nullable=False),
    Column("change_time", Instant, nullable=False),
    Column("failure_count", BigInteger, nullable=False),
    Column("resume_time", Instant),
    Column("delivered_count", BigInteger, nullable=False),
    Column("last_delivery_time", Instant),
    Column("last_error_time", Instant),
    Column("last_error", Text, nullable=False),
)
"""One row a sink that ever was. Changes up to `change_id`, of `change_time`, are taken up.

`failure_count` counts failures since the last delivery; nothing is sent before `resume_time`.
Whoever changes the row, or a delivery of the sink, holds its lock."""

sink_deliveries = Table(
    "sink_deliveries",
    metadata,
    Column("sink_id", Text, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Column("change_id", BigInteger, nullable=False),
    Column("take_up_time", Instant, nullable=False),
    Column("attempt_count", BigInteger, nullable=False),
    Column("next_attempt_time", Instant),
    Column("last_attempt_time", Instant),
    Column("last_error", Text, nullable=False),
    Index("ix_sink_deliveries_next", "sink_id", "next_attempt_time"),
    sqlite_with_rowid=False,
)
"""Findings that a sink is still to be sent, as they stand: one row however often they change.

`change_id` is their last change that was taken up, `take_up_time` when the first was. An attempt
under way moves `next_attempt_time` to when it must have ended; a dead letter has none."""
