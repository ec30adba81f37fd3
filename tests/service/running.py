"""A server at work on a free port of this machine, and what its errors say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from amiguard.v1.tuning_service_pb2_grpc import TuningServiceStub
from amiguard_service.engine import Engine
from amiguard_service.identity import Authenticator, Everybody
from amiguard_service.server import Capacity, Listener, Server
from amiguard_service.settings import Address
from amiguard_service.sinks import Sink

T = TypeVar("T")

TIMEOUT = 30
"""Seconds after which a test gives up on the server."""


@dataclass
class Running:
    """A server that serves, and a client's view of it."""

    server: Server
    loop: asyncio.AbstractEventLoop
    channel: grpc.Channel
    target: str
    stopped: Future[None] | None = None
    """The stop that was asked for, if it was."""

    @property
    def findings(self) -> FindingServiceStub:
        """The calls of the finding service."""
        return FindingServiceStub(self.channel)

    @property
    def tuning(self) -> TuningServiceStub:
        """The calls of the tuning service."""
        return TuningServiceStub(self.channel)

    def call(self, work: Callable[[], T]) -> T:
        """Returns what work gives that has to be done in the server's loop."""

        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(TIMEOUT)

    def stop(self, grace_seconds: float) -> Future[None]:
        """Drains and stops the server, once."""
        self.stopped = asyncio.run_coroutine_threadsafe(self.server.stop(grace_seconds), self.loop)
        return self.stopped


@contextmanager
def serving(
    engine: Engine,
    *,
    authenticator: Authenticator | None = None,
    credentials: grpc.ServerCredentials | None = None,
    capacity: Capacity | None = None,
    sinks: Sequence[Sink] = (),
) -> Iterator[Running]:
    """Serves an engine until the end of the block."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[Server, Address]:
        listener = Listener(Address("127.0.0.1", 0), authenticator or Everybody(), credentials)
        server = Server(engine, listener, capacity=capacity, sinks=sinks)
        return server, await server.start()

    try:
        server, address = asyncio.run_coroutine_threadsafe(start(), loop).result(TIMEOUT)
        with grpc.insecure_channel(str(address)) as channel:
            running = Running(server, loop, channel, target=str(address))
            yield running
        (running.stopped or running.stop(0)).result(TIMEOUT)
        # A stop waits for nobody's reading of the database, but the engine is closed next.
        server._executor.shutdown()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(TIMEOUT)
        loop.close()


@dataclass(frozen=True)
class Refused:
    """What an error says to a program."""

    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    fields: tuple[str, ...] = ()


def refusal(error: grpc.RpcError) -> Refused:
    """Returns what an error says to a program."""
    status = rpc_status.from_call(error)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    fields = tuple(violation.field for violation in bad.field_violations)
    assert isinstance(error, grpc.Call)
    return Refused(error.code(), info.reason, dict(info.metadata), fields)
