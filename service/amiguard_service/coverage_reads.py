"""What people ask about what came in: requests read and checked, and the answers."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from amiguard.v1 import coverage_pb2
from amiguard.v1 import finding_service_pb2 as wire
from amiguard_service import calls
from amiguard_service.admission import Admission
from amiguard_service.coverage import LATENESS_BOUNDS, RegionCoverage, SourceCoverage
from amiguard_service.coverage_book import CoverageQuery, CoverageReport
from amiguard_service.diagnosis import Diagnosis
from amiguard_service.paging import read_page_size
from amiguard_service.store_calls import StoreCalls
from amiguard_service.tokens import PageTokenMismatch, PageTokens, Position

_CALL: Final = "GetCoverage"


class CoverageReporter(Protocol):
    """What knows what came in."""

    def report(self, query: CoverageQuery) -> CoverageReport:
        """Returns one page of what came in, and what is wrong with it."""


class CoverageReads:
    """Serves the call that reads what came in."""

    def __init__(
        self,
        reporter: CoverageReporter,
        store: StoreCalls,
        *,
        tokens: PageTokens,
        admission: Admission,
    ) -> None:
        self._reporter = reporter
        self._store = store
        self._tokens = tokens
        self._calls = admission

    async def get(self, request: wire.GetCoverageRequest) -> wire.GetCoverageResponse:
        """Returns one page."""
        bound = msgspec.json.encode([request.account_id, request.region])
        after = None
        if request.page_token:
            after = _read_place(self._tokens.open(_CALL, bound, request.page_token))
        query = CoverageQuery(
            limit=read_page_size(request.page_size),
            account_id=request.account_id or None,
            region=request.region or None,
            after=after,
        )
        with self._calls.admit():
            report = await self._store.run(lambda: self._reporter.report(query))
        calls.count(region_count=len(report.regions), diagnosis_count=len(report.diagnoses))
        response = wire.GetCoverageResponse(
            regions=map(region_message, report.regions),
            sources=map(source_message, report.sources),
            diagnoses=map(diagnosis_message, report.diagnoses),
        )
        if report.next_after is not None:
            response.next_page_token = self._tokens.seal(_CALL, bound, report.next_after)
        return response


def _read_place(position: Position) -> tuple[str, str]:
    match position:
        case (str(account_id), str(region)):
            return account_id, region
        case _:
            raise PageTokenMismatch(_CALL)


def region_message(coverage: RegionCoverage) -> coverage_pb2.RegionCoverage:
    """Returns what came from one account and region."""
    total = coverage.days.total
    return coverage_pb2.RegionCoverage(
        account_id=coverage.account_id,
        region=coverage.region,
        count_start_time=_timestamp(coverage.days.first),
        last_arrival_time=_timestamp(total.last_arrival_time),
        last_record_time=_timestamp(total.last_record_time),
        last_search_time=_timestamp(total.last_search_time),
        last_launch_time=_timestamp(total.last_launch_time),
        record_count=total.record_count,
        search_count=total.search_count,
        launch_count=total.launch_count,
        unidentified_count=total.unidentified_count,
        beyond_horizon_count=total.beyond_horizon_count,
        future_count=total.future_count,
        lateness=_buckets(total.lateness),
    )


def _buckets(lateness: list[int]) -> list[coverage_pb2.LatenessBucket]:
    buckets = [coverage_pb2.LatenessBucket(record_count=count) for count in lateness]
    for bucket, bound in zip(buckets, LATENESS_BOUNDS, strict=False):
        duration = Duration()
        duration.FromTimedelta(bound)
        bucket.max_lateness.CopyFrom(duration)
    return buckets


def source_message(coverage: SourceCoverage) -> coverage_pb2.SourceCoverage:
    """Returns what one forwarder sent."""
    total = coverage.days.total
    return coverage_pb2.SourceCoverage(
        source=coverage.source,
        count_start_time=_timestamp(coverage.days.first),
        last_arrival_time=_timestamp(total.last_arrival_time),
        record_count=total.record_count,
        rejected_count=total.rejected_count,
    )


def diagnosis_message(diagnosis: Diagnosis) -> coverage_pb2.Diagnosis:
    """Returns one thing that is wrong."""
    return coverage_pb2.Diagnosis(
        code=diagnosis.code,
        severity=coverage_pb2.Diagnosis.Severity.Value(f"SEVERITY_{diagnosis.severity}"),
        message=diagnosis.message,
        account_id=diagnosis.account_id or "",
        region=diagnosis.region or "",
        source=diagnosis.source or "",
    )


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
