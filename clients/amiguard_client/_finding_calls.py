"""Calls of the FindingService, with the messages of the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard.v1 import finding_pb2, finding_service_pb2
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amiguard_client.channel import Connection

_COLLECTION = "findings/"


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
