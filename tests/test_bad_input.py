"""Wrong and hostile input, sent to a server at work: counted, named, bounded, never fatal."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import pytest

from amiguard.v1.error_reason_pb2 import ERROR_REASON_RECORD_MALFORMED
from amiguard.v1.ingest_service_pb2 import BatchAck, EventBatch
from amiguard_service.engine import Engine
from amiguard_service.limits import Limits
from tests.data.records import describe_images, run_instances
from tests.data.shapes import Record, encode
from tests.service.running import Running, serving
from tests.service.talking import LAUNCH, PAIR, SEARCH, log_text, records, submit

MIB = 1024 * 1024
MAX_SECONDS = 20
"""Far more than any of this takes, on a machine that does ten other things as well."""
MAX_HELD_BYTES = 1_024 * MIB
"""What hostile messages may make the server, or one of its workers, hold at most."""


def without(record: Record, *path: str) -> bytes:
    """A record without one of its fields."""
    changed: Record = json.loads(encode(record))
    place = changed
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    return encode(changed)


def with_value(record: Record, value: object, *path: str) -> bytes:
    """A record with another value in one of its fields."""
    changed: Record = json.loads(encode(record))
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return encode(changed)


SEARCHED, LAUNCHED = describe_images(filters={"name": ["a*"]}), run_instances()
PATTERN = "*a" * 150
"""A pattern of 300 characters: longer than any filter value may be, and of the slowest kind."""


@dataclass(frozen=True)
class Bad:
    """A record that cannot be read, and where it says why."""

    raw: bytes
    path: str

    @property
    def is_a_line(self) -> bool:
        """Whether it can be one line of a log file."""
        return bool(self.raw) and b"\n" not in self.raw


BAD_RECORDS = {
    "nothing": Bad(b"", "$"),
    "no JSON": Bad(b"2026-03-01 some log line", "$"),
    "malformed": Bad(SEARCH[:-1], "$"),
    "invalid UTF-8": Bad(SEARCH.replace(b"ubuntu", b"ub\xffntu"), "$"),
    "UTF-16": Bad(SEARCH.decode().encode("utf-16"), "$"),
    "a string": Bad(b'"DescribeImages"', "$"),
    "an array of numbers": Bad(b"[5]", "$[0]"),
    "null": Bad(b"null", "$"),
    "100,000 deep": Bad(b"[" * 100_000 + b"]" * 100_000, "$"),
    "100,000 deep inside": Bad(
        SEARCH[:-1] + b',"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "$"
    ),
    "an unknown envelope": Bad(b'{"message":"DescribeImages","@timestamp":"x"}', "$"),
    "an empty envelope": Bad(b'{"detail":null}', "$.detail"),
    "envelopes without an end": Bad(
        b'{"detail":' * 9 + b"{}" + b"}" * 9, "$.detail.detail.detail.detail"
    ),
    "no eventTime": Bad(without(SEARCHED, "eventTime"), "$.eventTime"),
    "no eventSource": Bad(without(SEARCHED, "eventSource"), "$.eventSource"),
    "no region": Bad(without(LAUNCHED, "awsRegion"), "$.awsRegion"),
    "a time that is none": Bad(with_value(LAUNCHED, "yesterday", "eventTime"), "$.eventTime"),
    "a time that is a number": Bad(with_value(LAUNCHED, 1772442000, "eventTime"), "$.eventTime"),
    "the 30th of February": Bad(
        with_value(LAUNCHED, "2026-02-30T00:00:00Z", "eventTime"), "$.eventTime"
    ),
    "a name that is a number": Bad(with_value(SEARCHED, 7, "eventName"), "$.eventName"),
    "an identity that is a string": Bad(
        with_value(SEARCHED, "alice", "userIdentity"), "$.userIdentity"
    ),
    "a filter that is a string": Bad(
        with_value(SEARCHED, "name", "requestParameters", "filterSet"),
        "$.requestParameters.filterSet",
    ),
    "a pattern of 300 characters": Bad(
        encode(describe_images(filters={"name": [PATTERN]})),
        "$.requestParameters.filterSet.items[0].valueSet.items[0].value",
    ),
    "an ARN of a megabyte": Bad(
        with_value(LAUNCHED, "arn:" + "a" * MIB, "userIdentity", "arn"), "$.userIdentity.arn"
    ),
    "a NUL": Bad(with_value(SEARCHED, "a\0b", "awsRegion"), "$.awsRegion"),
}

LOG_FILES = {
    "cut short": gzip.compress(log_text(PAIR))[:30],
    "damaged": bytes([*gzip.compress(log_text(PAIR))[:40], 255, 255, 255, 255, 255, 255]),
    "gzip magic and nothing": b"\x1f\x8b",
    "a bomb": gzip.compress(bytes(256 * MIB)),
    "a bomb in a bomb": gzip.compress(gzip.compress(bytes(256 * MIB))),
    "millions of empty records": gzip.compress(b'{"Records":[' + b"{}," * 20_000_000 + b"{}]}"),
    "millions of numbers": gzip.compress(b'{"Records":[' + b"1," * 30_000_000 + b"1]}"),
    "10,001 records": gzip.compress(log_text([SEARCH] * 10_001)),
    "10,001 lines": gzip.compress(b"\n".join([SEARCH] * 10_001)),
    "100,000 deep": gzip.compress(b"[" * 100_000),
    "deep and large": gzip.compress(b'{"Records":' + b"[" * (60 * MIB)),
    "no log file": b"%PDF-1.7 some other file",
    "invalid UTF-8": gzip.compress(b"\xff" * 1_000),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for everything: it has to survive all of it."""
    path = tmp_path_factory.mktemp("bad") / "amiguard.db"
    engine = Engine.open(f"sqlite:///{path}")
    with serving(engine) as started:
        yield started
    engine.close()


def held(running: Running) -> int:
    """The most that this process, which has the server in it, or one of its workers ever held."""
    workers = [worker._process.pid for worker in running.server._pool._workers]
    return max(high_water(pid) for pid in ("self", *map(str, workers)))


def high_water(pid: str) -> int:
    """The most memory that a process ever held."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def timed(running: Running, batch: EventBatch) -> BatchAck:
    """Submits a batch, which takes no longer than it may."""
    started_at = perf_counter()
    ack = submit(running.channel, batch)

    assert perf_counter() - started_at < MAX_SECONDS
    return ack


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_is_counted_and_named(shared: Running, name: str) -> None:
    """A bad record is a rejection with index, path and reason, and the rest of its batch lands."""
    bad = BAD_RECORDS[name]

    ack = timed(shared, records(SEARCH, bad.raw, LAUNCH))

    assert (ack.accepted_count, ack.rejected_count, ack.relevant_count) == (2, 1, 2)
    (rejection,) = ack.rejections
    assert (1, bad.path) == (rejection.index, rejection.path)
    assert rejection.reason == ERROR_REASON_RECORD_MALFORMED
    assert 0 < len(rejection.message) < 500


@pytest.mark.parametrize("name", [name for name, bad in BAD_RECORDS.items() if bad.is_a_line])
def test_a_bad_record_of_a_log_file_fails_no_other(shared: Running, name: str) -> None:
    """Whatever one of its records is, the other records of a log file are read."""
    bad = BAD_RECORDS[name]

    ack = timed(shared, EventBatch(log_file=gzip.compress(b"\n".join((SEARCH, bad.raw, LAUNCH)))))

    assert ack.relevant_count == 2
    assert ack.rejected_count == 1
    assert ack.rejections[0].index == 1


@pytest.mark.parametrize("name", LOG_FILES)
def test_a_bad_log_file_is_one_rejection(shared: Running, name: str) -> None:
    """A log file that cannot be read is set aside as a whole: no error, bounded time and memory."""
    ack = timed(shared, EventBatch(log_file=LOG_FILES[name]))

    assert (ack.accepted_count, ack.rejected_count) == (0, 1)
    (rejection,) = ack.rejections
    assert (rejection.index, rejection.reason) == (0, ERROR_REASON_RECORD_MALFORMED)
    assert rejection.path.startswith("$")
    assert held(shared) < MAX_HELD_BYTES


def test_everything_bad_at_once(shared: Running) -> None:
    """A batch of every bad record and two good ones counts each, in its place."""
    raws = [bad.raw for bad in BAD_RECORDS.values()]

    ack = timed(shared, records(*raws, *PAIR))

    assert (2, len(raws)) == (ack.accepted_count, ack.rejected_count)
    assert list(range(len(raws))) == [rejection.index for rejection in ack.rejections]
    assert [bad.path for bad in BAD_RECORDS.values()] == [r.path for r in ack.rejections]


def test_no_message_echoes_a_record(shared: Running) -> None:
    """What is said of a bad record holds nothing of what was in it."""
    raws = [
        with_value(LAUNCHED, "s3cr3t-value", "eventTime"),
        SEARCH.replace(b"ubuntu", b"s3cr3t\xff"),
        b"s3cr3t-value",
        with_value(SEARCHED, {"s3cr3t-value": 1}, "eventName"),
    ]

    ack = timed(shared, records(*raws))

    assert len(raws) == ack.rejected_count
    assert "s3cr3t" not in str(ack)


def test_the_longest_batch_is_taken(shared: Running) -> None:
    """A batch at the limit is no bad input."""
    small = without(LAUNCHED, "responseElements")

    ack = timed(shared, records(*[small] * Limits().max_records_per_batch))

    assert (ack.accepted_count, ack.rejected_count) == (10_000, 0)


def test_a_slow_pattern_is_not_slow(shared: Running) -> None:
    """The longest pattern a search may have, of the worst kind, is scored like any other."""
    worst = encode(describe_images(filters={"name": ["*a" * 127]}))

    ack = timed(shared, records(worst, LAUNCH))

    assert len(ack.finding_names) >= 1


def test_the_server_is_well_after_all_of_it(shared: Running) -> None:
    """After every kind of bad input the server takes good input as ever."""
    ack = timed(shared, EventBatch(log_file=gzip.compress(log_text(PAIR))))

    assert (ack.accepted_count, ack.rejected_count) == (2, 0)
