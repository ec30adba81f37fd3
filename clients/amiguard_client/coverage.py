"""What came in at a server, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING

from amiguard.v1 import coverage_pb2, finding_service_pb2
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from google.protobuf.message import Message

    from amiguard_client.channel import Connection

_PAGE_SIZE = 500
"""As many regions as a page may have: all of them are wanted."""


class Severity(StrEnum):
    """How sure it is that findings are missed."""

    ERROR = "ERROR"
    WARNING = "WARNING"
    NOTE = "NOTE"
    UNKNOWN = "UNKNOWN"
    """Not sent, or from a newer server."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that is wrong: with a forwarder, with an account and region, or with all."""

    code: str
    severity: Severity
    message: str
    account_id: str | None
    region: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class LatenessBucket:
    """Records that came within some time; None in the last bucket, which has the rest."""

    max_lateness: timedelta | None
    record_count: int


@dataclass(frozen=True, slots=True)
class RegionCoverage:
    """What came from one account and region since a time."""

    account_id: str
    region: str
    count_start_time: datetime | None
    last_arrival_time: datetime | None
    last_record_time: datetime | None
    last_search_time: datetime | None
    last_launch_time: datetime | None
    record_count: int
    search_count: int
    launch_count: int
    unidentified_count: int
    beyond_horizon_count: int
    future_count: int
    lateness: tuple[LatenessBucket, ...]


@dataclass(frozen=True, slots=True)
class SourceCoverage:
    """What one forwarder sent since a time."""

    source: str
    count_start_time: datetime | None
    last_arrival_time: datetime | None
    record_count: int
    rejected_count: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What came in, and what is wrong with it."""

    regions: tuple[RegionCoverage, ...]
    sources: tuple[SourceCoverage, ...]
    diagnoses: tuple[Diagnosis, ...]


def get_coverage(connection: Connection, *, account_id: str = "", region: str = "") -> Coverage:
    """Returns what came in, of one account or region where these are given, every page of it."""
    return coverage_of(list(coverage_pages(connection, account_id=account_id, region=region)))


def coverage_of(pages: Sequence[finding_service_pb2.GetCoverageResponse]) -> Coverage:
    """Returns the value of all pages together."""
    return Coverage(
        regions=tuple(_region_of(message) for page in pages for message in page.regions),
        sources=tuple(_source_of(message) for page in pages for message in page.sources),
        diagnoses=tuple(_diagnosis_of(message) for page in pages for message in page.diagnoses),
    )


def coverage_pages(
    connection: Connection, *, account_id: str = "", region: str = ""
) -> Iterator[finding_service_pb2.GetCoverageResponse]:
    """Yields pages as the wire has them, asking for one when the one before is used up."""
    stub = FindingServiceStub(connection.channel)
    page_token = ""
    while True:
        request = finding_service_pb2.GetCoverageRequest(
            account_id=account_id, region=region, page_size=_PAGE_SIZE, page_token=page_token
        )
        page = connection.call(stub.GetCoverage, request)
        yield page
        page_token = page.next_page_token
        if not page_token:
            return


def _region_of(message: coverage_pb2.RegionCoverage) -> RegionCoverage:
    return RegionCoverage(
        account_id=message.account_id,
        region=message.region,
        count_start_time=_time(message, "count_start_time"),
        last_arrival_time=_time(message, "last_arrival_time"),
        last_record_time=_time(message, "last_record_time"),
        last_search_time=_time(message, "last_search_time"),
        last_launch_time=_time(message, "last_launch_time"),
        record_count=message.record_count,
        search_count=message.search_count,
        launch_count=message.launch_count,
        unidentified_count=message.unidentified_count,
        beyond_horizon_count=message.beyond_horizon_count,
        future_count=message.future_count,
        lateness=tuple(
            LatenessBucket(
                bucket.max_lateness.ToTimedelta() if bucket.HasField("max_lateness") else None,
                bucket.record_count,
            )
            for bucket in message.lateness
        ),
    )


def _source_of(message: coverage_pb2.SourceCoverage) -> SourceCoverage:
    return SourceCoverage(
        source=message.source,
        count_start_time=_time(message, "count_start_time"),
        last_arrival_time=_time(message, "last_arrival_time"),
        record_count=message.record_count,
        rejected_count=message.rejected_count,
    )


def _diagnosis_of(message: coverage_pb2.Diagnosis) -> Diagnosis:
    number = message.severity
    known = number in coverage_pb2.Diagnosis.Severity.values() and number
    name = coverage_pb2.Diagnosis.Severity.Name(number) if known else "SEVERITY_UNKNOWN"
    return Diagnosis(
        code=message.code,
        severity=Severity(name.removeprefix("SEVERITY_")),
        message=message.message,
        account_id=message.account_id or None,
        region=message.region or None,
        source=message.source or None,
    )


def _time(message: Message, name: str) -> datetime | None:
    if not message.HasField(name):
        return None
    time: datetime = getattr(message, name).ToDatetime(tzinfo=UTC)
    return time
