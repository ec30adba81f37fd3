"""A server that acks and does nothing: what the transport alone allows, to hold ours against."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard.v1.ingest_service_pb2_grpc import (
    IngestServiceServicer,
    add_IngestServiceServicer_to_server,
)
from amiguard_service import allocator
from amiguard_service.limits import Limits


class NothingService(IngestServiceServicer):
    """Acks each batch as soon as it is read, and looks at nothing but its sequence."""

    async def SubmitEvents(  # type: ignore[override]  # noqa: N802 - as the contract names it
        self, request_iterator: object, context: Any
    ) -> None:
        """Serves one stream."""
        del request_iterator
        await context.read()
        await context.write(wire.SubmitEventsResponse(opened=Limits().to_message()))
        while isinstance(request := await context.read(), wire.SubmitEventsRequest):
            ack = wire.BatchAck(sequence=request.batch.sequence)
            await context.write(wire.SubmitEventsResponse(ack=ack))


async def serve() -> None:
    """Prints the port and serves until the process is ended."""
    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", Limits().max_message_bytes)]
    )
    add_IngestServiceServicer_to_server(
        NothingService(),  # type: ignore[abstract]  # nobody calls the rest
        server,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    # As our server, so that the difference is what is done with the records.
    allocator.tune()
    allocator.tune_collector()
    asyncio.run(serve())
