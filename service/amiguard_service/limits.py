"""What the server holds at most; forwarders learn their part of it when a stream opens."""

from __future__ import annotations

from dataclasses import dataclass

from amiguard.v1.ingest_service_pb2 import StreamLimits
from amiguard_core.decode import MAX_RECORDS


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what is taken in. Together they bound the memory that forwarders can make us use.

    `max_batches_in_flight`: batches of 500 records at the pace of one core come in every 2 ms, and
    a group commit that waits for company takes up to 100 ms.
    `max_message_bytes`: a batch of 10,000 records of the usual size.
    `max_inflated_bytes`: a log file of 10,000 records, each of four times the usual size.
    `max_streams` (of batches, and of watchers) and `max_calls` (of a kind): more would wait for the
    same two cores and one database. What one principal may have of them is less, so that it cannot
    keep the others out.
    `handshake_seconds`, `first_message_seconds`: honest clients need milliseconds, or a second
    across the world.
    `max_health_streams`: watches of the health service and streams of reflection, whose callers
    nobody knows; each ends after `health_stream_seconds`, and its client comes again.
    `max_stream_idle_seconds`: a forwarder that has nothing to send for so long opens another stream
    when it has. `max_stream_age_seconds` bounds how long any stream keeps its connection.
    `max_rejected_share`, past `min_judged_records`: a forwarder that reads another kind of log is
    seen at once, one that meets a few odd records never.
    """

    max_batches_in_flight: int = 64
    max_records_per_batch: int = MAX_RECORDS
    max_message_bytes: int = 16 * 1024 * 1024
    max_inflated_bytes: int = 64 * 1024 * 1024
    max_streams: int = 64
    max_streams_per_principal: int = 48
    max_calls: int = 64
    max_calls_per_principal: int = 48
    max_streams_per_connection: int = 128
    handshake_seconds: float = 5
    max_connection_idle_seconds: float = 900
    max_connection_age_seconds: float = 3_600
    max_health_streams: int = 64
    max_health_streams_per_connection: int = 8
    health_stream_seconds: float = 600
    first_message_seconds: float = 10
    max_stream_idle_seconds: float = 600
    max_stream_age_seconds: float = 3_600
    max_rejected_share: float = 0.5
    min_judged_records: int = 1_000

    def to_message(self) -> StreamLimits:
        """Returns what a stream is told."""
        return StreamLimits(
            max_batches_in_flight=self.max_batches_in_flight,
            max_records_per_batch=self.max_records_per_batch,
            max_message_bytes=self.max_message_bytes,
            max_inflated_bytes=self.max_inflated_bytes,
        )


MAX_LISTED_REJECTIONS = 100
"""Rejections listed in one ack; the count has them all, and the store keeps every one."""

MAX_LISTED_FINDINGS = 100
"""Finding names listed in one ack: enough to follow a batch up, and a message of some KB."""
