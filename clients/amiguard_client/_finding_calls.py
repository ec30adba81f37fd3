"""Calls of the FindingService, with the messages of the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from amiguard.v1 import finding_pb2, finding_service_pb2
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from amiguard_client._status import error_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from amiguard_client.channel import Connection

_COLLECTION = "findings/"
_MAX_INT32 = 2**31 - 1


def finding_name(text: str) -> str:
    """Returns the resource name for a name or for the bare id of a finding."""
    return text if text.startswith(_COLLECTION) else _COLLECTION + text


class FindingCalls:
    """The FindingService of one server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = FindingServiceStub(connection.channel)

    def get(self, name: str) -> finding_pb2.Finding:
        """Returns one finding, by name or bare id."""
        request = finding_service_pb2.GetFindingRequest(name=finding_name(name))
        return self._connection.call(self._stub.GetFinding, request).finding

    def pages(
        self,
        filter: str,  # noqa: A002 - the contract's word
        *,
        order_by: str,
        page_size: int,
        page_token: str = "",
    ) -> Iterator[finding_service_pb2.GetFindingsResponse]:
        """Yields pages, from the first or the one a token stands for, as they are asked for."""
        while True:
            request = finding_service_pb2.GetFindingsRequest(
                page_size=page_size, page_token=page_token, filter=filter, order_by=order_by
            )
            page = self._connection.call(self._stub.GetFindings, request)
            yield page
            page_token = page.next_page_token
            if not page_token:
                return

    def occurrence_pages(
        self, name: str, *, page_size: int, page_token: str = ""
    ) -> Iterator[finding_service_pb2.ListOccurrencesResponse]:
        """Yields pages of occurrences, in the same way."""
        while True:
            request = finding_service_pb2.ListOccurrencesRequest(
                finding=finding_name(name), page_size=page_size, page_token=page_token
            )
            page = self._connection.call(self._stub.ListOccurrences, request)
            yield page
            page_token = page.next_page_token
            if not page_token:
                return

    def history_pages(
        self, name: str, *, page_size: int, page_token: str = ""
    ) -> Iterator[finding_service_pb2.ListFindingHistoryResponse]:
        """Yields pages of moves from state to state, in the same way."""
        while True:
            request = finding_service_pb2.ListFindingHistoryRequest(
                finding=finding_name(name), page_size=page_size, page_token=page_token
            )
            page = self._connection.call(self._stub.ListFindingHistory, request)
            yield page
            page_token = page.next_page_token
            if not page_token:
                return

    def poll(
        self, request: finding_service_pb2.WatchFindingsRequest, *, limit: int
    ) -> finding_service_pb2.WatchFindingsResponse:
        """Returns what a stream says up to the present, or up to `limit` findings."""
        request.stop_at_present = True
        request.max_findings = min(limit, _MAX_INT32)
        said = finding_service_pb2.WatchFindingsResponse()
        connection = self._connection
        call = self._stub.WatchFindings(
            request, timeout=connection.timeout.total_seconds(), metadata=connection.metadata
        )
        try:
            for response in call:
                said.findings.extend(response.findings)
                said.cursor = response.cursor
                if len(said.findings) >= limit:
                    break
        except grpc.RpcError as failure:
            raise error_of(failure, target=connection.target) from failure
        finally:
            call.cancel()
        return said

    def acknowledge(
        self, name: str, *, assignee: str | None = None, etag: str | None = None
    ) -> finding_pb2.Finding:
        """Moves an open finding to acknowledged and returns it."""
        request = finding_service_pb2.AcknowledgeFindingRequest(
            name=finding_name(name), assignee=assignee or "", etag=etag or ""
        )
        return self._connection.call(self._stub.AcknowledgeFinding, request).finding

    def close(
        self,
        name: str,
        *,
        disposition: str,
        comment: str,
        accept_until_time: datetime | None = None,
        etag: str | None = None,
    ) -> finding_pb2.Finding:
        """Closes a finding and returns it; `disposition` is named as in filters."""
        request = finding_service_pb2.CloseFindingRequest(
            name=finding_name(name),
            disposition=finding_pb2.Finding.Disposition.Value(f"DISPOSITION_{disposition}"),
            comment=comment,
            etag=etag or "",
        )
        if accept_until_time is not None:
            request.accept_until_time.FromDatetime(accept_until_time)
        return self._connection.call(self._stub.CloseFinding, request).finding

    def reopen(self, name: str, *, comment: str, etag: str | None = None) -> finding_pb2.Finding:
        """Reopens a closed finding and returns it."""
        request = finding_service_pb2.ReopenFindingRequest(
            name=finding_name(name), comment=comment, etag=etag or ""
        )
        return self._connection.call(self._stub.ReopenFinding, request).finding

    def update(
        self,
        name: str,
        *,
        assignee: str | None = None,
        labels: Mapping[str, str] | None = None,
        etag: str | None = None,
    ) -> finding_pb2.Finding:
        """Sets what is given and returns the finding; labels are replaced as a whole."""
        request = finding_service_pb2.UpdateFindingRequest(
            finding=finding_pb2.Finding(
                name=finding_name(name),
                assignee=assignee or "",
                labels=labels or {},
                etag=etag or "",
            )
        )
        given = {"assignee": assignee, "labels": labels}
        request.update_mask.paths.extend(path for path, value in given.items() if value is not None)
        return self._connection.call(self._stub.UpdateFinding, request).finding
