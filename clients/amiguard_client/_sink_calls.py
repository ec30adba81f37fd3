"""Calls of the SinkService, with the messages of the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amiguard.v1 import sink_service_pb2 as wire
from amiguard.v1.sink_service_pb2_grpc import SinkServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amiguard_client.channel import Connection

SINK_PREFIX = "sinks/"
FINDING_PREFIX = "findings/"


class SinkCalls:
    """The SinkService of one server. Sinks and findings are named in full or by their bare ids."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = SinkServiceStub(connection.channel)

    def sink_pages(
        self, *, page_size: int = 0, page_token: str = ""
    ) -> Iterator[wire.ListSinksResponse]:
        """Yields pages of sinks by name."""
        request = wire.ListSinksRequest(page_size=page_size, page_token=page_token)
        return self._pages(self._stub.ListSinks, request)

    def dead_letter_pages(
        self, sink: str, *, page_size: int = 0, page_token: str = ""
    ) -> Iterator[wire.ListDeadLettersResponse]:
        """Yields pages of the dead letters of a sink, by finding."""
        request = wire.ListDeadLettersRequest(
            sink=_named(sink, SINK_PREFIX), page_size=page_size, page_token=page_token
        )
        return self._pages(self._stub.ListDeadLetters, request)

    def retry(self, sink: str, finding: str | None = None) -> int:
        """Makes dead letters of a sink due, all or that of one finding; returns how many."""
        request = wire.RetryDeadLettersRequest(sink=_named(sink, SINK_PREFIX))
        if finding is not None:
            request.finding = _named(finding, FINDING_PREFIX)
        return self._connection.call(self._stub.RetryDeadLetters, request).retried_count

    def test(self, sink: str) -> wire.TestSinkResponse:
        """Sends a test to a sink and returns what came of it."""
        request = wire.TestSinkRequest(sink=_named(sink, SINK_PREFIX))
        return self._connection.call(self._stub.TestSink, request)

    def _pages(self, method: Any, request: Any) -> Iterator[Any]:
        """Yields the pages of a list as they are asked for."""
        while True:
            page = self._connection.call(method, request)
            yield page
            request.page_token = page.next_page_token
            if not request.page_token:
                return


def _named(text: str, prefix: str) -> str:
    return text if text.startswith(prefix) else prefix + text
