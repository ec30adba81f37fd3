"""Records and log files in, batches within a server's limits out."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard_client.log_files import LogReader, Unreadable, inflate_within, pieces_of

_MESSAGE_BYTES = 64
"""Room for the fields around a payload: sequence, tags and lengths."""
_RECORD_BYTES = 6
"""Room for the tag and the length of one record."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """A log file as delivered, in any form that docs/forwarding.md names, plain or gzip."""

    content: bytes
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """Records that go out together; `first_index` is the position of the first in their source.

    What was not readable in their source has its place among them.
    """

    records: Sequence[bytes | Unreadable]
    name: str | None = None
    first_index: int = 0


@dataclass(frozen=True, slots=True)
class LogStream:
    """A log file that is open, and is closed once it is read."""

    stream: BinaryIO
    name: str | None = None


Submittable: TypeAlias = (
    LogFile | LogStream | Records | os.PathLike[str] | bytes | str | Mapping[str, Any]
)
"""What can be submitted: a log file, by content, open, or by path; a group of records; or one
record, as JSON text or as the object it stands for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server holds for one stream."""

    max_batches_in_flight: int = 1
    max_records_per_batch: int = 500
    max_message_bytes: int = 1024 * 1024
    max_inflated_bytes: int = 16 * 1024 * 1024

    @classmethod
    def from_message(cls, message: wire.StreamLimits, *, bounds: Limits | None = None) -> Limits:
        """Reads the server's limits; one it leaves out is small enough for any server.

        `bounds` are the caller's own: of each limit the smaller one counts.
        """
        given = {field.name: getattr(message, field.name) for field in fields(cls)}
        limits = cls(**{name: value for name, value in given.items() if value > 0})
        if bounds is None:
            return limits
        both = {
            field.name: min(getattr(limits, field.name), getattr(bounds, field.name))
            for field in fields(cls)
        }
        return cls(**both)

    @property
    def max_payload_bytes(self) -> int:
        """Bytes left for records in one message."""
        return self.max_message_bytes - _MESSAGE_BYTES

    @property
    def max_record_bytes(self) -> int:
        """Bytes of the longest record that can be sent."""
        return self.max_payload_bytes - _RECORD_BYTES


@dataclass(frozen=True, slots=True)
class Batch:
    """What one message carries: a whole log file, or records with their positions in the input.

    `unsendable` are records of the same stretch of input that no message can carry, with their
    positions. `is_last_of_input` says that nothing of the same input follows. `padding_bytes`
    counts the NUL bytes around its documents, which are left out.
    """

    name: str | None
    is_last_of_input: bool
    log_file: bytes | None = None
    records: tuple[bytes, ...] = ()
    indexes: Sequence[int] = ()
    unsendable: tuple[tuple[int, Unreadable], ...] = ()
    padding_bytes: int = 0

    @property
    def is_sendable(self) -> bool:
        """Whether there is anything to send."""
        return self.log_file is not None or bool(self.records)

    def index_in_input(self, index: int) -> int:
        """Returns the position in the input of a record of this batch."""
        return self.indexes[index] if 0 <= index < len(self.indexes) else index

    def to_message(self, sequence: int) -> wire.EventBatch:
        """Returns the batch as the wire has it."""
        if self.log_file is not None:
            return wire.EventBatch(sequence=sequence, log_file=self.log_file)
        return wire.EventBatch(sequence=sequence, records=wire.RecordList(records=self.records))


def pack(inputs: Iterable[Submittable], limits: Limits) -> Iterator[Batch]:
    """Yields batches in the order of the inputs, reading them no further than it must.

    A log file goes whole where the limits allow it and as records where not. Single records are
    put together until a batch is full.
    """
    loose = _Filler(limits, name=None)
    position = 0
    for item in inputs:
        if isinstance(item, LogFile | LogStream | Records | os.PathLike):
            yield from loose.flush()
            yield from _pack_group(item, limits)
        else:
            yield from loose.add(position, _record_bytes(item, limits))
            position += 1
    yield from loose.flush()


def batch_of(item: LogFile | Records) -> Batch:
    """Returns an input as the one batch it is, whatever its size."""
    if isinstance(item, LogFile):
        return Batch(item.name, is_last_of_input=True, log_file=item.content)
    placed = list(enumerate(item.records, item.first_index))
    readable = {index: record for index, record in placed if isinstance(record, bytes)}
    return Batch(
        item.name,
        is_last_of_input=True,
        records=tuple(readable.values()),
        indexes=tuple(readable),
        unsendable=tuple((i, record) for i, record in placed if isinstance(record, Unreadable)),
    )


def _pack_group(
    item: LogFile | LogStream | Records | os.PathLike[str], limits: Limits
) -> Iterator[Batch]:
    if isinstance(item, Records):
        yield from _fill(
            enumerate((_record_bytes(r, limits) for r in item.records), item.first_index),
            limits,
            name=item.name,
        )
    elif isinstance(item, LogFile):
        yield from _pack_stream(io.BytesIO(item.content), limits, name=item.name)
    elif isinstance(item, LogStream):
        with item.stream as stream:
            yield from _pack_stream(stream, limits, name=item.name)
    else:
        with Path(item).open("rb") as stream:
            yield from _pack_stream(stream, limits, name=os.fspath(item))


def _pack_stream(stream: BinaryIO, limits: Limits, *, name: str | None) -> Iterator[Batch]:
    content = stream.read(limits.max_payload_bytes + 1)
    if len(content) <= limits.max_payload_bytes:
        inflated = inflate_within(
            content,
            max_records=limits.max_records_per_batch,
            max_inflated_bytes=limits.max_inflated_bytes,
        )
        if inflated is not None:
            padding_bytes = inflated.padding_bytes
            yield Batch(name, is_last_of_input=True, log_file=content, padding_bytes=padding_bytes)
            return
    reader = LogReader(max_record_bytes=limits.max_record_bytes)
    records = reader.read(chain([content], pieces_of(stream)))
    yield from _fill(enumerate(records), limits, name=name, reader=reader)


def _fill(
    records: Iterable[tuple[int, bytes | Unreadable]],
    limits: Limits,
    *,
    name: str | None,
    reader: LogReader | None = None,
) -> Iterator[Batch]:
    """Packs the records of one input, saying of the last batch that it is the last."""
    filler = _Filler(limits, name=name, is_last_of_input=False)
    for index, record in records:
        yield from filler.add(index, record)
    last = filler.finish()
    yield replace(last, padding_bytes=reader.padding_bytes) if reader is not None else last


class _Filler:
    """Puts records together until one more would break a limit."""

    def __init__(self, limits: Limits, *, name: str | None, is_last_of_input: bool = True) -> None:
        self._limits = limits
        self._name = name
        self._is_last = is_last_of_input
        self._clear()

    def _clear(self) -> None:
        self._records: list[bytes] = []
        self._indexes: list[int] = []
        self._unsendable: list[tuple[int, Unreadable]] = []
        self._size = 0

    def add(self, index: int, record: bytes | Unreadable) -> Iterator[Batch]:
        """Takes a record, yielding the batch it no longer fits into."""
        limits = self._limits
        if isinstance(record, Unreadable):
            if len(self._unsendable) >= limits.max_records_per_batch:
                yield self._take()
            self._unsendable.append((index, record))
            return
        size = len(record) + _RECORD_BYTES
        if (
            len(self._records) >= limits.max_records_per_batch
            or self._size + size > limits.max_payload_bytes
        ):
            yield self._take()
        self._records.append(record)
        self._indexes.append(index)
        self._size += size

    def flush(self) -> Iterator[Batch]:
        """Yields what there is, if anything."""
        if self._records or self._unsendable:
            yield self._take()

    def finish(self) -> Batch:
        """Returns what there is, even if it is nothing, as the last of its input."""
        self._is_last = True
        return self._take()

    def _take(self) -> Batch:
        batch = Batch(
            self._name,
            is_last_of_input=self._is_last,
            records=tuple(self._records),
            indexes=tuple(self._indexes),
            unsendable=tuple(self._unsendable),
        )
        self._clear()
        return batch


def _record_bytes(
    record: bytes | str | Mapping[str, Any] | Unreadable, limits: Limits
) -> bytes | Unreadable:
    if isinstance(record, Unreadable):
        return record
    if isinstance(record, str):
        record = record.encode()
    elif isinstance(record, Mapping):
        record = json.dumps(record, separators=(",", ":")).encode()
    if len(record) > limits.max_record_bytes:
        return Unreadable(f"got {len(record)} bytes, wanted at most {limits.max_record_bytes}")
    return record
