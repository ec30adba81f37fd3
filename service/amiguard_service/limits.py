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
    `max_streams` and `max_calls`: more would wait for the same two cores and one database.
    `max_rejected_share`, past `min_judged_records`: a forwarder that reads another kind of log is
    seen at once, one that meets a few odd records never.
    """

    max_batches_in_flight: int = 64
    max_records_per_batch: int = MAX_RECORDS
    max_message_bytes: int = 16 * 1024 * 1024
    max_inflated_bytes: int = 64 * 1024 * 1024
    max_streams: int = 64
    max_calls: int = 64
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
