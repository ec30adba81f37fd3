"""What became of what was submitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amiguard.v1 import error_reason_pb2
from amiguard.v1 import ingest_service_pb2 as wire

if TYPE_CHECKING:
    from amiguard_client.packing import Batch

MAX_REJECTIONS_KEPT = 1_000
"""Rejections a summary names; it counts them all, and the server keeps every record set aside."""
MALFORMED = "RECORD_MALFORMED"


@dataclass(frozen=True, slots=True)
class RecordRejection:
    """One record that was set aside.

    `input_name` is the name of its log file or group, None for a record submitted on its own;
    `index` is the position in there, `path` the JSON path inside the record, `$` for all of it.
    """

    input_name: str | None
    index: int
    reason: str
    path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What became of one batch, once it and the findings it caused are durable.

    `number` counts the batches of a submission from 1, in the order of the input.
    `is_last_of_input` says that the log file or group it belongs to is now done with. The counts
    are all there; at most 100 rejections and 100 findings of a batch are named. Of the rejected,
    `unsent_count` were not sent, because no message could carry them: the server knows nothing of
    them. `padding_bytes` counts NUL bytes around documents, which are left out.
    """

    number: int
    input_name: str | None
    is_last_of_input: bool
    accepted_count: int
    duplicate_count: int
    relevant_count: int
    rejected_count: int
    rejections: tuple[RecordRejection, ...]
    finding_names: tuple[str, ...]
    unsent_count: int = 0
    padding_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitSummary:
    """What became of everything that was acknowledged; every batch counts exactly once.

    `rejections` are the first 1,000; `finding_names` are those that were opened or added to,
    sorted. `reconnect_count` says how often the connection had to be made again. `padding_bytes`
    counts NUL bytes around documents, which were left out.
    """

    batch_count: int = 0
    accepted_count: int = 0
    duplicate_count: int = 0
    relevant_count: int = 0
    rejected_count: int = 0
    rejections: tuple[RecordRejection, ...] = ()
    finding_names: tuple[str, ...] = ()
    reconnect_count: int = 0
    padding_bytes: int = 0

    @property
    def record_count(self) -> int:
        """Every record that was acknowledged."""
        return self.accepted_count + self.rejected_count


@dataclass(slots=True)
class Tally:
    """A summary in the making."""

    batch_count: int = 0
    accepted_count: int = 0
    duplicate_count: int = 0
    relevant_count: int = 0
    rejected_count: int = 0
    reconnect_count: int = 0
    padding_bytes: int = 0
    _rejections: list[RecordRejection] = field(default_factory=list)
    _finding_names: set[str] = field(default_factory=set)

    def add(self, result: BatchResult) -> None:
        """Counts one batch."""
        self.batch_count += 1
        self.accepted_count += result.accepted_count
        self.duplicate_count += result.duplicate_count
        self.relevant_count += result.relevant_count
        self.rejected_count += result.rejected_count
        self.padding_bytes += result.padding_bytes
        room = MAX_REJECTIONS_KEPT - len(self._rejections)
        self._rejections += result.rejections[:room]
        self._finding_names.update(result.finding_names)

    def summary(self) -> SubmitSummary:
        """Returns the counts so far."""
        return SubmitSummary(
            batch_count=self.batch_count,
            accepted_count=self.accepted_count,
            duplicate_count=self.duplicate_count,
            relevant_count=self.relevant_count,
            rejected_count=self.rejected_count,
            rejections=tuple(self._rejections),
            finding_names=tuple(sorted(self._finding_names)),
            reconnect_count=self.reconnect_count,
            padding_bytes=self.padding_bytes,
        )


def result_of(batch: Batch, ack: wire.BatchAck, *, number: int) -> BatchResult:
    """Returns what an ack says of a batch, with the positions of the input it came from."""
    rejections = [
        RecordRejection(batch.name, index, MALFORMED, unreadable.path, unreadable.message)
        for index, unreadable in batch.unsendable
    ]
    rejections += [
        RecordRejection(
            batch.name,
            batch.index_in_input(rejection.index),
            reason_name(rejection.reason),
            rejection.path or "$",
            rejection.message,
        )
        for rejection in ack.rejections
    ]
    return BatchResult(
        number=number,
        input_name=batch.name,
        is_last_of_input=batch.is_last_of_input,
        accepted_count=ack.accepted_count,
        duplicate_count=ack.duplicate_count,
        relevant_count=ack.relevant_count,
        rejected_count=ack.rejected_count + len(batch.unsendable),
        rejections=tuple(sorted(rejections, key=lambda rejection: rejection.index)),
        finding_names=tuple(ack.finding_names),
        unsent_count=len(batch.unsendable),
        padding_bytes=batch.padding_bytes,
    )


def reason_name(reason: int) -> str:
    """Returns the name of an ErrorReason without its prefix, of one not known its number."""
    known = error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_number.get(reason)
    return known.name.removeprefix("ERROR_REASON_") if known is not None else str(reason)
