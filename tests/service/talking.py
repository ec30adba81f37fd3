"""A forwarder's end of SubmitEvents and SubmitBatch, and records worth sending."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from datetime import timedelta
from queue import SimpleQueue
from types import TracebackType
from typing import Self

import grpc
import pytest

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.data.records import NINE_O_CLOCK, describe_images, run_instances
from tests.data.shapes import encode
from tests.service.running import TIMEOUT, Refused, refusal

SEARCH = encode(describe_images(filters={"name": ["ubuntu/images/*"]}))
LAUNCH = encode(run_instances(at=NINE_O_CLOCK + timedelta(seconds=30)))
PAIR = (SEARCH, LAUNCH)
"""A search and the launch that followed it: one finding with one occurrence."""


def records(*given: bytes, sequence: int = 0) -> wire.EventBatch:
    """A batch of records one by one."""
    return wire.EventBatch(sequence=sequence, records=wire.RecordList(records=given))


def log_file(*given: bytes, sequence: int = 0) -> wire.EventBatch:
    """A batch of a log file in gzip."""
    return wire.EventBatch(sequence=sequence, log_file=gzip.compress(log_text(given)))


def log_text(given: Iterable[bytes]) -> bytes:
    """The text of a log file."""
    return b'{"Records":[' + b",".join(given) + b"]}"


def submit(channel: grpc.Channel, batch: wire.EventBatch) -> wire.BatchAck:
    """Submits one batch."""
    request = wire.SubmitBatchRequest(source="tests", batch=batch)
    return IngestServiceStub(channel).SubmitBatch(request, timeout=TIMEOUT).ack


class Talk:
    """One stream. What is sent waits for nobody; what is received is waited for."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._requests: SimpleQueue[wire.SubmitEventsRequest | None] = SimpleQueue()
        self.call = IngestServiceStub(channel).SubmitEvents(
            iter(self._requests.get, None), timeout=TIMEOUT
        )
        self._responses: Iterator[wire.SubmitEventsResponse] = iter(self.call)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.call.cancel()
        self.finish()

    def open(self, source: str = "tests") -> wire.StreamLimits:
        """Opens the stream and returns the limits."""
        self.send(wire.SubmitEventsRequest(open=wire.OpenStream(source=source)))
        return self.receive().opened

    def send(self, request: wire.SubmitEventsRequest) -> None:
        """Sends a message."""
        self._requests.put(request)

    def send_batch(self, batch: wire.EventBatch) -> None:
        """Sends a batch."""
        self.send(wire.SubmitEventsRequest(batch=batch))

    def finish(self) -> None:
        """Says that nothing more is sent."""
        self._requests.put(None)

    def receive(self) -> wire.SubmitEventsResponse:
        """Returns the next response."""
        return next(self._responses)

    def receive_ack(self) -> wire.BatchAck:
        """Returns the next response, which is an ack."""
        response = self.receive()
        assert response.WhichOneof("message") == "ack"
        return response.ack

    def rest(self) -> list[wire.SubmitEventsResponse]:
        """Returns every response up to the end, which is a good one."""
        return list(self._responses)

    def end(self) -> tuple[list[wire.SubmitEventsResponse], Refused]:
        """Returns every response up to the end, and why the server ended the stream."""
        responses: list[wire.SubmitEventsResponse] = []
        # Unlike a list made of them, it keeps what came before the error.
        with pytest.raises(grpc.RpcError) as caught:
            responses.extend(self._responses)
        return responses, refusal(caught.value)
