"""One WatchFindings stream after another, each from where the one before was handled."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

import grpc

from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from amiguard_client._backoff import Backoff
from amiguard_client._status import error_of
from amiguard_client.errors import AmiguardError, UnreachableError
from amiguard_client.proxies import unreachable
from amiguard_client.retry import RetryPolicy, Timing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from amiguard_client.channel import Connection

SILENCE = timedelta(seconds=75)
"""How long a server may say nothing: the contract has it send something every 30 seconds, and one
that is late must not cost the stream."""


class WatchFindingsCall(Protocol):
    """What the stub's WatchFindings gives."""

    def __iter__(self) -> Iterator[wire.WatchFindingsResponse]:
        """Reads responses until the call ends."""

    def cancel(self) -> bool:
        """Ends the call at once."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """The end of a stream: no error when the server ended it well."""

    error: AmiguardError | None


class _Stream:
    """Reads one stream in a thread of its own, a response ahead, so that silence can be timed."""

    def __init__(self, connection: Connection, request: wire.WatchFindingsRequest) -> None:
        self._target = connection.target
        self._events: SimpleQueue[wire.WatchFindingsResponse | _Ended] = SimpleQueue()
        # No semaphore: an interrupt while it is released would leave it locked, for `stop` as well.
        self._wanted: SimpleQueue[None] = SimpleQueue()
        self._is_stopped = False
        stub = FindingServiceStub(connection.channel)
        self._call: WatchFindingsCall = stub.WatchFindings(request, metadata=connection.metadata)
        threading.Thread(target=self._read, name="amiguard-watch-read", daemon=True).start()

    def next(self, patience: timedelta) -> wire.WatchFindingsResponse:
        """Returns the next response; raises an AmiguardError at the end or after a silence."""
        self._wanted.put(None)
        try:
            event = self._events.get(timeout=patience.total_seconds())
        except Empty:
            raise self._lost(f"no answer for {patience.total_seconds():g} s") from None
        if isinstance(event, _Ended):
            raise event.error or self._lost("the stream ended, expected it to go on")
        return event

    def stop(self) -> None:
        """Ends the call and the thread."""
        self._is_stopped = True
        self._call.cancel()
        self._wanted.put(None)

    def _read(self) -> None:
        error = None
        try:
            for response in self._call:
                # What nobody asks for yet is left to the server to hold back.
                self._wanted.get()
                if self._is_stopped:
                    return
                self._events.put(response)
        except grpc.RpcError as failure:
            error = error_of(failure, target=self._target)
        self._events.put(_Ended(error))

    def _lost(self, text: str) -> UnreachableError:
        return UnreachableError(unreachable(self._target, text), code="UNAVAILABLE")


def watch_request(
    filter: str,  # noqa: A002 - the contract's word
    *,
    cursor: str | None,
    start_time: datetime | None,
) -> wire.WatchFindingsRequest:
    """Returns what opens a stream; raises ValueError where two places to start are given."""
    if cursor is not None and start_time is not None:
        raise ValueError("got a cursor and a start time, expected one of them or none")
    request = wire.WatchFindingsRequest(filter=filter)
    if cursor is not None:
        request.cursor = cursor
    if start_time is not None:
        request.start_time.FromDatetime(start_time)
    return request


class Watcher:
    """Follows the changes of findings; used once.

    A cursor counts as handled when the next response is asked for.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        filter: str,  # noqa: A002 - the contract's word
        cursor: str | None = None,
        start_time: datetime | None = None,
        retry: RetryPolicy | None = None,
        timing: Timing | None = None,
        patience: timedelta = SILENCE,
    ) -> None:
        self._connection = connection
        self._request = watch_request(filter, cursor=cursor, start_time=start_time)
        self._backoff = Backoff(retry or RetryPolicy(), timing or Timing())
        self._patience = patience

    def __iter__(self) -> Iterator[wire.WatchFindingsResponse]:
        while True:
            try:
                yield from self._stream()
            except AmiguardError as failure:
                self._backoff.wait(failure)

    def _stream(self) -> Iterator[wire.WatchFindingsResponse]:
        stream = _Stream(self._connection, self._request)
        try:
            while True:
                response = stream.next(self._patience)
                self._backoff.reset()
                yield response
                self._request.cursor = response.cursor
        finally:
            stream.stop()
