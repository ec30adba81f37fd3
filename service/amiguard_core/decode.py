"""Bytes in, searches and launches out. The one place where input is opened and refused.

An input may be a record or hold some: an EventBridge envelope, a LookupEvents item, a log file in
any form that `log_files` reads. What the rule has no interest in is checked to be a CloudTrail
record in valid JSON and goes no further; everything else is read in full or rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from amiguard_core._json import is_json, malformed, parse, parse_inner
from amiguard_core._kinds import MAX_CALL_LENGTH, holds_array, is_no_call, other_kind
from amiguard_core._node import Node
from amiguard_core._requests import MAX_EVENT_ID_BYTES, read_launch, read_origin, read_search
from amiguard_core.errors import InputTooLargeError, RecordMalformedError
from amiguard_core.events import Launch, LaunchPath, Search
from amiguard_core.log_files.reader import Item, LogReader, Unreadable, damaged_gzip
from amiguard_core.sightings import (
    MIN_BOTH_ENDS,
    ONE_IN,
    Sighting,
    find_first,
    find_last,
    sight,
    sight_record,
)

DEFAULT_LAUNCH_PATHS = frozenset({LaunchPath.RUN_INSTANCES})
MAX_RECORDS = 10_000
"""Records in one input: 16 times the largest log file seen delivered (622 records)."""

_EC2 = "ec2.amazonaws.com"
_SEARCH_CALL = "DescribeImages"
_SOURCES: dict[str, str] = dict.fromkeys([_SEARCH_CALL, *LaunchPath], _EC2) | {
    LaunchPath.CREATE_LAUNCH_CONFIGURATION: "autoscaling.amazonaws.com"
}
_MAX_ENVELOPES = 4
"""Envelopes inside envelopes that are opened; a queue behind a bus makes two."""
_NOTIFICATION_SOURCE = "aws:"
"""How the source of an S3 notification begins. No service's does in CloudTrail."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One input, or one record of a log file, that was set aside.

    `index` is its position in what was decoded, `path` the JSON path inside the record, `raw` the
    bytes as they came.
    """

    index: int
    path: str
    message: str
    raw: bytes

    def inside(self, path: str) -> Rejection:
        """Returns the same, of a record that stands at a path of the input."""
        return replace(
            self,
            path=path + self.path.removeprefix("$"),
            message=path + self.message.removeprefix("$"),
        )


@dataclass(slots=True)
class Decoded:
    """What a batch holds.

    `record_count` counts the records that were read, whether the rule needs them or not, and
    `padding_bytes` the NUL bytes around documents. Of the records,
    `failed_count` are searches and launches that AWS refused, `unidentified_count` searches and
    launches without a principal or an account, `omitted_count` searches whose parameters CloudTrail
    left out. `other_launches` are by paths that do not count, of those that were asked for: to this
    batch they are other records.

    `seen` tells where and when records were made that are neither searches nor launches; the
    `unseen_count` others were not looked into. All are seen that failed or came in an envelope. Of
    other records that came one by one it is one in ONE_IN. AWS writes a log file for each account
    and region, so of a file the first and the last are seen, of a short one maybe the last alone;
    where these two differ, one in ONE_IN.
    """

    searches: list[Search] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    other_launches: list[Launch] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    record_count: int = 0
    padding_bytes: int = 0
    failed_count: int = 0
    unidentified_count: int = 0
    omitted_count: int = 0
    # Which are looked into depends on how records were split, so it does not tell batches apart.
    seen: list[Sighting] = field(default_factory=list, compare=False)

    @property
    def relevant_count(self) -> int:
        """The searches and launches, repeats included."""
        return len(self.searches) + len(self.launches)

    @property
    def waiting_count(self) -> int:
        """The records that may belong with others, if not now then under another policy."""
        return self.relevant_count + len(self.other_launches)

    @property
    def unseen_count(self) -> int:
        """The records that are neither searches nor launches, nor seen."""
        return max(0, self.record_count - self.relevant_count - len(self.seen))


class _Head(Struct, gc=False):
    eventSource: str = ""  # noqa: N815 - CloudTrail's name
    eventName: str = ""  # noqa: N815 - CloudTrail's name


class _HeadFile(Struct):
    Records: list[_Head] | UnsetType = UNSET


class _RawFile(Struct):
    Records: list[Raw]


_NO_HEAD = _Head()
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_head_file = msgspec.json.Decoder(_HeadFile).decode
_decode_raw_file = msgspec.json.Decoder(_RawFile).decode


def decode_records(
    records: Sequence[bytes],
    *,
    launch_paths: Iterable[LaunchPath] = DEFAULT_LAUNCH_PATHS,
    other_paths: Iterable[LaunchPath] = (),
    max_records: int = MAX_RECORDS,
) -> Decoded:
    """Decodes inputs one by one; a bad one is rejected under its own index and fails no other.

    Launches by `other_paths` are kept apart, and passed by where they cannot be read.
    """
    reader = _Reader(launch_paths, other_paths, max_records)
    reader.read_all(list(records))
    return reader.decoded


def decode_log_file(
    text: bytes,
    *,
    launch_paths: Iterable[LaunchPath] = DEFAULT_LAUNCH_PATHS,
    other_paths: Iterable[LaunchPath] = (),
    max_records: int = MAX_RECORDS,
    damage: str | None = None,
) -> Decoded:
    """Decodes an inflated log file of any form that `log_files` reads.

    A file that holds no record, or more than `max_records`, is rejected whole. `damage` says why
    the text ends early, which is one rejection more. As for `other_paths`, see `decode_records`.
    """
    reader = _Reader(launch_paths, other_paths, max_records)
    reader.read_log_file(text, damage=damage)
    return reader.decoded


def decode_items(
    items: Sequence[Item],
    *,
    launch_paths: Iterable[LaunchPath] = DEFAULT_LAUNCH_PATHS,
    other_paths: Iterable[LaunchPath] = (),
) -> Decoded:
    """Decodes what a `LogReader` yields of a file, each under its position among the items."""
    reader = _Reader(launch_paths, other_paths, max_records=MAX_RECORDS)
    reader.read_items(items)
    return reader.decoded


class _Reader:
    """Fills one `Decoded`."""

    def __init__(
        self,
        launch_paths: Iterable[LaunchPath],
        other_paths: Iterable[LaunchPath],
        max_records: int,
    ) -> None:
        paths = frozenset(launch_paths)
        self._others = frozenset(other_paths) - paths
        self._sources = {name: _SOURCES[name] for name in (_SEARCH_CALL, *paths, *self._others)}
        self._max_records = max_records
        self.decoded = Decoded()

    def read_all(self, inputs: Sequence[bytes], indexes: Sequence[int] | None = None) -> None:
        """Reads inputs: at once where all are plainly records, one by one where not.

        `indexes` are their positions, unless they follow each other. Samples one in ONE_IN.
        """
        try:
            heads = list(map(_decode_head, inputs)) if all(map(bytes.isascii, inputs)) else None
        except (msgspec.MsgspecError, RecursionError):
            heads = None
        odd = range(len(inputs)) if heads is None else self._find_odd(heads)
        self.decoded.record_count += len(inputs) - len(odd)
        passed_by = set(range(len(inputs))).difference(odd)
        for position in odd:
            if self.read(inputs[position], position if indexes is None else indexes[position]):
                passed_by.add(position)
        for position in sorted(passed_by)[::ONE_IN]:
            self._see(sight(inputs[position]))

    def read_items(self, items: Sequence[Item]) -> None:
        """Reads the items of a file, each under its position."""
        records = {index: item for index, item in enumerate(items) if isinstance(item, bytes)}
        self.read_all(list(records.values()), list(records))
        for index, item in enumerate(items):
            if isinstance(item, Unreadable):
                self._reject(b"", index, _error_of(item))

    def _find_odd(self, heads: Sequence[_Head]) -> Sequence[int]:
        """Returns the positions of what may be relevant, or is not plainly a record."""
        if heads and heads[0].eventSource.startswith(_NOTIFICATION_SOURCE):
            return range(len(heads))
        sources = self._sources
        return [
            index
            for index, head in enumerate(heads)
            if head.eventName in sources or not head.eventName or not head.eventSource
        ]

    def _see(self, sighting: Sighting | None) -> None:
        if sighting is not None:
            self.decoded.seen.append(sighting)

    def read(self, raw: bytes, index: int) -> bool:
        """Reads one input, which is a record or holds one; says whether it was passed by."""
        try:
            if not raw.isascii():
                raw.decode()
            head = _decode_head(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            head = _NO_HEAD
        name = head.eventName
        source = head.eventSource
        is_passed_by = name and source and self._sources.get(name) != source
        if is_passed_by and not source.startswith(_NOTIFICATION_SOURCE):
            self.decoded.record_count += 1
            return True
        self._guarded(raw, index, partial(self._open, raw, index))
        return False

    def read_log_file(self, text: bytes, *, damage: str | None) -> None:
        """Reads a log file: at once where it is as AWS writes it, else record by record."""
        if damage is None and (self._read_delivered_file(text) or self._read_lines(text)):
            return
        items: list[Item] = []
        reader = LogReader(max_record_bytes=max(len(text), 1))
        for item in reader.read([text]) if damage is None else reader.feed(text):
            items.append(item)
            if len(items) > self._max_records:
                self._reject(text, 0, self._too_many(len(items)))
                return
        self.decoded.padding_bytes = reader.padding_bytes
        if damage is not None:
            items.append(damaged_gzip(damage))
        self.read_items(items)
        # What is no record's alone is kept as a whole.
        is_whole = len(items) == 1
        self.decoded.rejections = [
            replace(rejection, raw=text) if is_whole or not rejection.raw else rejection
            for rejection in self.decoded.rejections
        ]

    def _read_delivered_file(self, text: bytes) -> bool:
        """Reads a sound `{"Records": [...]}` of plain records; says no to any other text."""
        try:
            if not text.isascii():
                text.decode()
            heads = _decode_head_file(text).Records
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        if heads is UNSET:
            return False
        if len(heads) > self._max_records:
            self._reject(text, 0, self._too_many(len(heads)))
            return True
        odd = self._find_odd(heads)
        self.decoded.record_count += len(heads) - len(odd)
        records = _decode_raw_file(text).Records if odd else None
        if len(odd) < len(heads):
            self._see_file(text, records, len(heads))
        for index in odd:
            assert records is not None  # noqa: S101 - they are decoded where any is odd
            self.read(bytes(records[index]), index)
        return True

    def _read_lines(self, text: bytes) -> bool:
        """Reads a text whose every line is plainly a record; says no to any other text."""
        first, newline, _ = text.partition(b"\n")
        try:
            if not newline or not _decode_head(first).eventName or not text.isascii():
                return False
            lines = [line for line in text.split(b"\n") if line.strip()]
            if len(lines) > self._max_records or not all(
                head.eventName for head in map(_decode_head, lines)
            ):
                return False
        except (msgspec.MsgspecError, RecursionError):
            return False
        self.read_all(lines)
        return True

    def _see_file(self, text: bytes, records: Sequence[Raw] | None, record_count: int) -> None:
        """Looks into the ends of a sound file, or where these differ into one record in ONE_IN."""
        last = sight(find_last(text) if records is None else bytes(records[-1]))
        if last is not None and record_count < MIN_BOTH_ENDS:
            self._see(last)
            return
        first = sight(find_first(text) if records is None else bytes(records[0]))
        if first is not None and last is not None and first.is_beside(last):
            self.decoded.seen += (first, last)
            return
        for record in (records or _decode_raw_file(text).Records)[::ONE_IN]:
            self._see(sight(bytes(record)))

    def _guarded(self, raw: bytes, index: int, read: Callable[[], None]) -> None:
        try:
            read()
        except RecordMalformedError as error:
            self._reject(raw, index, error)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._reject(raw, index, malformed(error))

    def _open(self, raw: bytes, index: int) -> None:
        """Reads the record that an input is, or the ones that it holds."""
        try:
            node = parse(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            parts = self._split(raw)
            if not parts or raw in parts or not all(map(is_json, parts)):
                raise
        else:
            if not holds_array(node.value):
                self._open_node(node, index)
                return
            parts = self._split(raw)
        for place, part in enumerate(parts):
            before = len(self.decoded.rejections)
            if isinstance(part, Unreadable):
                self._reject(raw, index, _error_of(part))
            elif part == raw:
                self._open_node(parse(raw), index)
            else:
                self._guarded(part, index, partial(self._open, part, index))
            self.decoded.rejections[before:] = [
                rejection.inside(f"$[{place}]") for rejection in self.decoded.rejections[before:]
            ]

    def _split(self, raw: bytes) -> list[Item]:
        """Returns the parts of an input of several documents, or of an array."""
        parts: list[Item] = []
        for part in LogReader(max_record_bytes=max(len(raw), 1)).read([raw]):
            parts.append(part)
            if len(parts) > self._max_records:
                raise self._too_many(len(parts))
        return parts

    def _open_node(self, node: Node, index: int, *, may_hold_records: bool = True) -> None:
        for _ in range(_MAX_ENVELOPES):
            if isinstance(node.value, str) and node.value.lstrip().startswith("{"):
                node = parse_inner(node)
            if not isinstance(node.value, dict):
                raise node.refuse("a JSON object")
            if is_no_call(node):
                self._see(sight_record(node.value))
                self.decoded.record_count += 1
                return
            if "eventName" in node.value or "eventSource" in node.value:
                self._read_record(node)
                return
            if "Records" in node.value and may_hold_records:
                self._open_records(node.child("Records"), index)
                return
            if "detail" in node.value:
                node = node.child("detail")
            elif "CloudTrailEvent" in node.value:
                node = parse_inner(node.child("CloudTrailEvent"))
            else:
                break
        raise other_kind(node)

    def _open_records(self, node: Node, index: int) -> None:
        if not node.exists:
            raise node.refuse("an array")
        records = node.elements()
        if len(records) > self._max_records:
            raise self._too_many(len(records))
        for record in records:
            raw = msgspec.json.encode(record.value)
            opened = partial(self._open_node, record, index, may_hold_records=False)
            self._guarded(raw, index, opened)

    def _read_record(self, record: Node) -> None:
        source, name = (
            record.child(field).text(max_length=MAX_CALL_LENGTH)
            for field in ("eventSource", "eventName")
        )
        if source is None or name is None:
            missing = "eventSource" if source is None else "eventName"
            raise record.child(missing).refuse("the call that was made")
        if source.startswith(_NOTIFICATION_SOURCE):
            raise record.refuse(
                "the log file that it names: amiguardctl submit s3://BUCKET/KEY",
                got="an S3 notification",
            )
        if self._sources.get(name) != source or not self._is_relevant(record, name):
            self._see(sight_record(record.value))
        self.decoded.record_count += 1

    def _is_relevant(self, record: Node, name: str) -> bool:
        """Reads a call by this name; says whether it is a search or a launch."""
        decoded = self.decoded
        if name in self._others:
            self._read_other(record, LaunchPath(name))
            return False
        if record.child("errorCode").text(max_length=MAX_CALL_LENGTH) is not None:
            decoded.failed_count += 1
            return False
        origin = read_origin(record, _read_event_id(record))
        if name == _SEARCH_CALL:
            decoded.searches.append(read_search(record, origin))
            decoded.omitted_count += decoded.searches[-1].request.parameters_omitted
        else:
            decoded.launches.append(read_launch(record, origin, LaunchPath(name)))
        if origin.principal_arn is None or origin.account_id is None:
            decoded.unidentified_count += 1
        return True

    def _read_other(self, record: Node, path: LaunchPath) -> None:
        """Reads a launch that does not count; one that cannot be read is no business of ours."""
        try:
            if record.child("errorCode").text(max_length=MAX_CALL_LENGTH) is not None:
                return
            launch = read_launch(record, read_origin(record, _read_event_id(record)), path)
        except RecordMalformedError:
            return
        self.decoded.other_launches.append(launch)

    def _reject(self, raw: bytes, index: int, error: RecordMalformedError) -> None:
        rejection = Rejection(index=index, path=error.path, message=str(error), raw=raw)
        self.decoded.rejections.append(rejection)

    def _too_many(self, count: int) -> InputTooLargeError:
        return InputTooLargeError(
            "$.Records", got=f"{count} records", wanted=f"at most {self._max_records}"
        )


def _read_event_id(record: Node) -> str:
    event_id = record.child("eventID").key(max_bytes=MAX_EVENT_ID_BYTES)
    return event_id or digest_of(record.value)


def digest_of(record: Any) -> str:
    """Returns the SHA-256 of the canonical JSON: the identity of a record without an eventID."""
    return sha256(msgspec.json.encode(record, order="sorted")).hexdigest()


def _error_of(item: Unreadable) -> RecordMalformedError:
    got, _, wanted = item.message.partition(", wanted ")
    return RecordMalformedError(item.path, got=got.removeprefix("got "), wanted=wanted)
