"""IngestService: the way in for log forwarders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceServicer
from amiguard_service import calls
from amiguard_service.admission import Admission
from amiguard_service.convert import ack_message
from amiguard_service.drain import Drain
from amiguard_service.intake import Batch
from amiguard_service.limits import Limits
from amiguard_service.payloads import Unpacker
from amiguard_service.refusals import FieldInvalidError
from amiguard_service.stream import Committing, EventStream, read_source


class IngestService(IngestServiceServicer):
    """Takes CloudTrail records in."""

    def __init__(
        self, *, unpacker: Unpacker, committer: Committing, limits: Limits, drain: Drain
    ) -> None:
        self._unpacker = unpacker
        self._committer = committer
        self._limits = limits
        self._drain = drain
        self._streams = Admission(
            limits.max_streams, name="streams", per_caller=limits.max_streams_per_principal
        )
        self._calls = Admission(
            limits.max_calls, name="submissions", per_caller=limits.max_calls_per_principal
        )

    async def SubmitEvents(  # type: ignore[override]  # grpc.aio also takes a coroutine that writes
        self,
        request_iterator: AsyncIterator[wire.SubmitEventsRequest],
        context: grpc.aio.ServicerContext[wire.SubmitEventsRequest, wire.SubmitEventsResponse],
    ) -> None:
        """Serves one stream of batches."""
        del request_iterator  # the stream reads from the context, where it can also write
        stream = EventStream(
            context,
            unpacker=self._unpacker,
            committer=self._committer,
            limits=self._limits,
            drain=self._drain,
        )
        await stream.open()
        with self._streams.admit():
            await stream.run()

    async def SubmitBatch(
        self, request: wire.SubmitBatchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.SubmitBatchResponse:
        """Commits one batch."""
        del context
        source = read_source(request.source, field="source")
        if not request.HasField("batch"):
            raise FieldInvalidError("batch", got="nothing", expected="a batch")
        with self._calls.admit():
            decoded = self._unpacker.decode_at_once(request.batch)
            if decoded is not None:
                outcome = await self._committer.submit(Batch(decoded, source))
            else:
                async with self._unpacker.decoding(request.batch) as decoded:
                    outcome = await self._committer.submit(Batch(decoded, source))
            ack = ack_message(await outcome)
        calls.count(
            batch_count=1,
            record_count=ack.accepted_count + ack.rejected_count,
            rejected_count=ack.rejected_count,
        )
        return wire.SubmitBatchResponse(ack=ack)
