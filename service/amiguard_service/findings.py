"""FindingService: what was found, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import datetime
from typing import Any, Protocol, TypeVar

import grpc.aio
import msgspec

from amiguard.v1 import finding_pb2
from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.finding_service_pb2_grpc import FindingServiceServicer
from amiguard_service import calls
from amiguard_service.admission import Admission
from amiguard_service.convert import (
    finding_id_of,
    finding_message,
    history_entry_message,
    occurrence_message,
    with_ocsf,
)
from amiguard_service.coverage_reads import CoverageReads, CoverageReporter
from amiguard_service.drain import Drain
from amiguard_service.filters import (
    FINDING_FIELDS,
    Filter,
    hide_suppressed,
    parse_filter,
    write_filter,
)
from amiguard_service.finding_writes import FindingWriter, FindingWrites
from amiguard_service.limits import Limits
from amiguard_service.ordering import OrderKey, parse_order_by
from amiguard_service.paging import fill_page, read_page_size
from amiguard_service.refusals import ResourceNotFoundError
from amiguard_service.store.errors import StoreUnavailableError
from amiguard_service.store.listing import position_of
from amiguard_service.store.schema import from_micros, to_micros
from amiguard_service.store_calls import StoreCalls
from amiguard_service.stored import HistoryEntry, StoredFinding, StoredOccurrence
from amiguard_service.tokens import PageTokenMismatch, PageTokens, Position
from amiguard_service.watch import Pace, Watch, WatchedLog

T = TypeVar("T")


class FindingReader(Protocol):
    """What findings are read from."""

    def get_finding(self, finding_id: str) -> StoredFinding | None:
        """Returns one finding; None when there is none of this id."""

    def list_findings(
        self,
        condition: Filter,
        order: Sequence[OrderKey],
        *,
        after: Position | None,
        limit: int,
    ) -> list[StoredFinding]:
        """Returns at most `limit` findings in an order, from just after a position."""

    def list_occurrences(
        self, finding_id: str, *, after: tuple[datetime, str] | None, limit: int
    ) -> list[StoredOccurrence] | None:
        """Returns occurrences, newest launch first; None when there is no such finding."""

    def list_finding_history(
        self, finding_id: str, *, after: int, limit: int
    ) -> list[HistoryEntry] | None:
        """Returns moves, oldest first; None when there is no such finding."""


class FindingKeeper(FindingReader, FindingWriter, WatchedLog, Protocol):
    """What keeps findings, the log of their changes, and the counts of what came in."""

    @property
    def coverage(self) -> CoverageReporter:
        """What knows what came in."""


class FindingService(FindingServiceServicer):
    """Reads findings, changes them, and tells of their changes."""

    def __init__(
        self,
        keeper: FindingKeeper,
        executor: Executor,
        *,
        tokens: PageTokens,
        limits: Limits,
        drain: Drain,
        on_store_lost: Callable[[StoreUnavailableError], None],
        pace: Pace | None = None,
    ) -> None:
        self._reader: FindingReader = keeper
        self._tokens = tokens
        self._calls = Admission(
            limits.max_calls, name="reads", per_caller=limits.max_calls_per_principal
        )
        self._store = StoreCalls(executor, on_store_lost=on_store_lost)
        self._writes = FindingWrites(keeper, self._store, limits=limits)
        self._coverage = CoverageReads(
            keeper.coverage, self._store, tokens=tokens, admission=self._calls
        )
        self._watch = Watch(
            keeper,
            self._store,
            tokens=tokens,
            drain=drain,
            limits=limits,
            pace=pace or Pace(),
        )

    async def GetFinding(
        self, request: wire.GetFindingRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.GetFindingResponse:
        """Returns one finding."""
        del context
        finding_id = finding_id_of(request.name, field="name")
        convert = _converter(request)

        def read() -> finding_pb2.Finding | None:
            found = self._reader.get_finding(finding_id)
            return None if found is None else convert(found)

        finding = await self._read(read)
        if finding is None:
            raise ResourceNotFoundError(request.name)
        return wire.GetFindingResponse(finding=finding)

    async def GetFindings(
        self, request: wire.GetFindingsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.GetFindingsResponse:
        """Lists findings; those the rule set aside only where the filter speaks of the state."""
        del context
        page_size = read_page_size(request.page_size)
        asked = parse_filter(request.filter, FINDING_FIELDS)
        condition = hide_suppressed(asked)
        order = parse_order_by(request.order_by)
        bound = msgspec.json.encode([write_filter(asked), [(k.field, k.descending) for k in order]])
        after = None
        if request.page_token:
            after = self._tokens.open("GetFindings", bound, request.page_token)
        convert = _converter(request)

        def read() -> tuple[list[StoredFinding], list[finding_pb2.Finding], bool]:
            found = self._reader.list_findings(condition, order, after=after, limit=page_size + 1)
            # What a search asked for, and so how long this takes, others chose: not on the loop.
            return found, *fill_page(found, page_size, convert)

        found, page, has_more = await self._read(read)
        calls.count(finding_count=len(page))
        response = wire.GetFindingsResponse(findings=page)
        if has_more:
            response.next_page_token = self._tokens.seal(
                "GetFindings", bound, position_of(found[len(page) - 1], order)
            )
        return response

    async def ListOccurrences(
        self, request: wire.ListOccurrencesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.ListOccurrencesResponse:
        """Lists the occurrences of one finding, newest launch first."""
        del context
        page_size = read_page_size(request.page_size)
        finding_id = finding_id_of(request.finding, field="finding")
        bound = finding_id.encode()
        after = None
        if request.page_token:
            after = _read_recency(self._tokens.open("ListOccurrences", bound, request.page_token))

        def read() -> tuple[list[StoredOccurrence], list[finding_pb2.Occurrence], bool] | None:
            found = self._reader.list_occurrences(finding_id, after=after, limit=page_size + 1)
            return (
                None if found is None else (found, *fill_page(found, page_size, occurrence_message))
            )

        read_page = await self._read(read)
        if read_page is None:
            raise ResourceNotFoundError(request.finding)
        found, page, has_more = read_page
        calls.count(occurrence_count=len(page))
        response = wire.ListOccurrencesResponse(occurrences=page)
        if has_more:
            response.next_page_token = self._tokens.seal(
                "ListOccurrences", bound, _recency_of(found[len(page) - 1])
            )
        return response

    async def ListFindingHistory(
        self, request: wire.ListFindingHistoryRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.ListFindingHistoryResponse:
        """Lists the moves of one finding, oldest first."""
        del context
        page_size = read_page_size(request.page_size)
        finding_id = finding_id_of(request.finding, field="finding")
        bound = finding_id.encode()
        after = 0
        if request.page_token:
            after = _read_number(self._tokens.open("ListFindingHistory", bound, request.page_token))
        found = await self._read(
            lambda: self._reader.list_finding_history(finding_id, after=after, limit=page_size + 1)
        )
        if found is None:
            raise ResourceNotFoundError(request.finding)
        page, has_more = fill_page(found, page_size, history_entry_message)
        calls.count(entry_count=len(page))
        response = wire.ListFindingHistoryResponse(entries=page)
        if has_more:
            response.next_page_token = self._tokens.seal(
                "ListFindingHistory", bound, (found[len(page) - 1].number,)
            )
        return response

    async def GetCoverage(
        self, request: wire.GetCoverageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.GetCoverageResponse:
        """Says what came in, and what is wrong with it."""
        del context
        return await self._coverage.get(request)

    async def WatchFindings(  # type: ignore[override]  # grpc.aio also takes a coroutine that writes
        self, request: wire.WatchFindingsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Streams changed findings, hiding the same as lists do."""
        condition = hide_suppressed(parse_filter(request.filter, FINDING_FIELDS))
        await self._watch.run(request, condition, send=context.write)

    async def UpdateFinding(
        self, request: wire.UpdateFindingRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.UpdateFindingResponse:
        """Changes the assignee and the labels of a finding."""
        del context
        return await self._writes.update(request)

    async def AcknowledgeFinding(
        self, request: wire.AcknowledgeFindingRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.AcknowledgeFindingResponse:
        """Moves an open finding to acknowledged."""
        del context
        return await self._writes.acknowledge(request)

    async def CloseFinding(
        self, request: wire.CloseFindingRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.CloseFindingResponse:
        """Closes a finding."""
        del context
        return await self._writes.close(request)

    async def ReopenFinding(
        self, request: wire.ReopenFindingRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.ReopenFindingResponse:
        """Reopens a closed finding."""
        del context
        return await self._writes.reopen(request)

    async def _read(self, work: Callable[[], T]) -> T:
        """Returns what the store gives."""
        with self._calls.admit():
            return await self._store.run(work)


def _converter(
    request: wire.GetFindingRequest | wire.GetFindingsRequest,
) -> Callable[[StoredFinding], finding_pb2.Finding]:
    """Returns what makes the message that a request asks for of a finding."""
    if request.include_ocsf:
        return lambda finding: with_ocsf(finding_message(finding))
    return finding_message


def _recency_of(occurrence: StoredOccurrence) -> Position:
    return to_micros(occurrence.launch_time), occurrence.launch_event_id


def _read_recency(position: Position) -> tuple[datetime, str]:
    match position:
        case (int(micros), str(event_id)):
            return from_micros(micros), event_id
        case _:
            raise PageTokenMismatch("ListOccurrences")


def _read_number(position: Position) -> int:
    match position:
        case (int(number),):
            return number
        case _:
            raise PageTokenMismatch("ListFindingHistory")
