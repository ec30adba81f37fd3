"""One SubmitEvents call: requests go in from one thread, responses come out as events.

A synchronous gRPC call pulls its requests in a thread of its own and blocks whoever reads the
responses, so both ends are queues and nobody waits for the other.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

import grpc

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from amiguard_client._status import error_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amiguard_client.channel import Connection
    from amiguard_client.errors import AmiguardError


class SubmitEventsCall(Protocol):
    """What the stub's SubmitEvents gives."""

    def __iter__(self) -> Iterator[wire.SubmitEventsResponse]:
        """Reads responses until the call ends."""

    def cancel(self) -> bool:
        """Ends the call at once."""


@dataclass(frozen=True, slots=True)
class Response:
    """One message of a stream."""

    stream: Stream
    message: wire.SubmitEventsResponse


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a stream: no error when the server ended it well."""

    stream: Stream
    error: AmiguardError | None


class Stream:
    """Opens one SubmitEvents call and puts what it gives, last of all `Ended`, into `events`."""

    def __init__(
        self,
        connection: Connection,
        *,
        source: str,
        events: SimpleQueue[object],
    ) -> None:
        self._events = events
        self._target = connection.target
        self._requests: SimpleQueue[wire.SubmitEventsRequest | None] = SimpleQueue()
        self._requests.put(wire.SubmitEventsRequest(open=wire.OpenStream(source=source)))
        self._call: SubmitEventsCall = IngestServiceStub(connection.channel).SubmitEvents(
            iter(self._requests.get, None), metadata=connection.metadata
        )
        threading.Thread(target=self._read, name="amiguard-submit-read", daemon=True).start()

    def send(self, batch: wire.EventBatch) -> None:
        """Sends a batch as soon as the transport takes it; the caller keeps the window."""
        self._requests.put(wire.SubmitEventsRequest(batch=batch))

    def finish(self) -> None:
        """Says that nothing more will be sent; responses still come."""
        self._requests.put(None)

    def cancel(self) -> None:
        """Ends the call at once, and the thread that waits for requests with it."""
        self._call.cancel()
        self._requests.put(None)

    def _read(self) -> None:
        error = None
        try:
            for message in self._call:
                self._events.put(Response(self, message))
        except grpc.RpcError as failure:
            error = error_of(failure, target=self._target)
        self._events.put(Ended(self, error))
