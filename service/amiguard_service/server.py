"""The server: every part put together, started, drained and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeVar

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from amiguard.v1.finding_service_pb2_grpc import add_FindingServiceServicer_to_server
from amiguard.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server
from amiguard.v1.sink_service_pb2_grpc import add_SinkServiceServicer_to_server
from amiguard.v1.tuning_service_pb2_grpc import add_TuningServiceServicer_to_server
from amiguard_service import descriptors, logs
from amiguard_service.availability import ANSWER_DEADLINE, PROBE_INTERVAL, Availability
from amiguard_service.committer import Committer
from amiguard_service.deliverer import Deliverer
from amiguard_service.drain import Drain
from amiguard_service.engine import Engine
from amiguard_service.findings import FindingService
from amiguard_service.identity import OPEN_SERVICES, SERVICE_ROLES, Authenticator
from amiguard_service.ingest import IngestService
from amiguard_service.interceptors import OutermostInterceptor
from amiguard_service.limits import Limits
from amiguard_service.payloads import Unpacker
from amiguard_service.refusal_log import RefusalLog
from amiguard_service.retention import SweepLimits
from amiguard_service.senders import make_sender
from amiguard_service.settings import Address
from amiguard_service.sink_service import SinkService
from amiguard_service.sinks import Sink
from amiguard_service.store.errors import StoreReplacedError
from amiguard_service.store_calls import StoreCalls
from amiguard_service.stream import LEAVE_SECONDS
from amiguard_service.sweeper import Sweeper
from amiguard_service.tokens import PageTokens
from amiguard_service.tuner import Tuner
from amiguard_service.tuning_service import TuningService
from amiguard_service.unpack_pool import UnpackPool
from amiguard_service.watch import Pace

T = TypeVar("T")

MAX_CALLS: Final = 16_384
"""Calls of all kinds that gRPC lets in at a time, which bounds memory alone. Each connection and
each kind has a lower limit, and a call without good credentials is over at once."""
_FLUSH_SECONDS: Final = 0.25
"""What the last answers get to leave the machine."""
_LONG_SECONDS: Final = 24 * 3_600.0
"""Longer than any stop takes."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the server listens, and to whom; in plain text where there are no credentials."""

    address: Address
    authenticator: Authenticator
    credentials: grpc.ServerCredentials | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much the server does at a time.

    Readers and the store's writers are threads, workers that unpack log files are processes.
    """

    limits: Limits = field(default_factory=Limits)
    unpack_worker_count: int = 2
    reader_count: int = 4
    probe_interval: timedelta = PROBE_INTERVAL
    answer_deadline: timedelta = ANSWER_DEADLINE
    pace: Pace = field(default_factory=Pace)
    sweep_limits: SweepLimits = field(default_factory=SweepLimits)


class ListenError(Exception):
    """The address cannot be listened at."""


class Server:
    """Serves an engine; made, started and stopped in one event loop. The engine stays open."""

    def __init__(
        self,
        engine: Engine,
        listener: Listener,
        *,
        capacity: Capacity | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        capacity = capacity or Capacity()
        self._log = structlog.get_logger()
        self._engine = engine
        self._listener = listener
        self._limits = capacity.limits
        self._pace = capacity.pace
        self._drain = Drain()
        self._refused = RefusalLog()
        self._watcher: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(
            engine.writer_count + capacity.reader_count, thread_name_prefix="store"
        )
        # A thread of its own, so that the probe does not wait for those that wait.
        self._prober = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._availability = Availability(
            SERVICE_ROLES,
            probe=lambda: self._in_prober(engine.ping),
            watch=lambda: self._in_prober(engine.check_answers),
            on_silence=engine.cut,
            probe_interval=capacity.probe_interval,
            deadline=capacity.answer_deadline,
        )
        self._pool = UnpackPool(capacity.unpack_worker_count)
        self._unpacker = Unpacker(
            self._pool, capacity.limits, launch_paths=lambda: engine.policy.rule.launch_paths
        )
        lose_store = self._availability.lose_store
        self._committer = Committer(engine, self._executor, on_store_lost=lose_store)
        self._sweeper = Sweeper(
            self._executor,
            sweep=engine.sweep,
            flush=engine.coverage.flush,
            read_clocks=engine.read_clocks,
            is_busy=lambda: self._committer.is_busy,
            limits=capacity.sweep_limits,
        )
        self._store = StoreCalls(self._executor, on_store_lost=self._availability.lose_store)
        self._tuner = Tuner(engine, self._store)
        self._deliverer = Deliverer(
            engine,
            self._store,
            sinks,
            make_sender=lambda sink: make_sender(sink, clock=engine.now),
        )
        self._interceptor = OutermostInterceptor(
            listener.authenticator,
            self._drain,
            limits=self._limits,
            refused=self._refused,
        )
        self._grpc: grpc.aio.Server = grpc.aio.server(
            interceptors=[self._interceptor],
            maximum_concurrent_rpcs=MAX_CALLS,
            options=_options(capacity.limits),
        )

    async def start(self) -> Address:
        """Returns the address once calls are served; raises ListenError where it is not free."""
        keys = await self._in_executor(self._engine.page_token_keys)
        # What the first records are unpacked by must be in force, not what is so from the start.
        await self._in_executor(self._engine.refresh_policy)
        gaps = await self._in_executor(self._engine.durability_gaps)
        if gaps:
            self._log.warning(logs.STORE_NOT_DURABLE, settings=list(gaps))
        self._add_services(PageTokens(tuple(keys)))
        port = self._bind()
        await self._deliverer.open()
        await self._grpc.start()
        self._availability.start()
        self._watcher = asyncio.create_task(descriptors.watch(self._refused))
        self._sweeper.start()
        self._tuner.start()
        self._deliverer.start()
        return Address(self._listener.address.host, port)

    async def wait_for_replacement(self) -> StoreReplacedError:
        """Returns once the database's file was removed or replaced: the server has to end then."""
        return await self._availability.wait_for_replacement()

    def reload(self, authenticator: Authenticator) -> int:
        """Goes on with other credentials; returns how many open calls were ended for it."""
        return self._interceptor.replace_authenticator(authenticator)

    async def replace_sinks(self, sinks: Sequence[Sink]) -> None:
        """Goes on with other sinks."""
        await self._deliverer.replace(sinks)

    async def stop(self, grace_seconds: float) -> None:
        """Drains: streams are asked to leave, calls are finished. Returns within the grace period.

        What has not ended by then is cancelled. To be called once.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + grace_seconds
        self._availability.drain()
        if self._watcher is not None:
            self._watcher.cancel()
        self._deliverer.drain()
        # Neither cancelled nor given a time of its own: grpc.aio would lose its end, or crash when
        # its time is up at that very moment.
        stopping = asyncio.create_task(self._grpc.stop(_LONG_SECONDS))
        await self._drain.run(grace_seconds)
        # The handlers are done, but what they answered may still be on its way. Whoever watches the
        # health service, though, would be waited for to the end.
        await asyncio.wait([stopping], timeout=min(grace_seconds, _FLUSH_SECONDS))
        await self._grpc.stop(None)
        await stopping
        await self._committer.close()
        await self._sweeper.close()
        await self._tuner.close()
        await self._deliverer.close(timedelta(seconds=max(end - loop.time(), 0)))
        await self._availability.close()
        await self._pool.close()
        self._prober.shutdown(wait=False, cancel_futures=True)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _add_services(self, tokens: PageTokens) -> None:
        add_IngestServiceServicer_to_server(
            IngestService(
                unpacker=self._unpacker,
                committer=self._committer,
                limits=self._limits,
                drain=self._drain,
            ),
            self._grpc,
        )
        add_FindingServiceServicer_to_server(
            FindingService(
                self._engine,
                self._executor,
                tokens=tokens,
                limits=self._limits,
                drain=self._drain,
                on_store_lost=self._availability.lose_store,
                pace=self._pace,
            ),
            self._grpc,
        )
        add_TuningServiceServicer_to_server(
            TuningService(
                self._engine,
                self._executor,
                tokens=tokens,
                limits=self._limits,
                on_store_lost=self._availability.lose_store,
            ),
            self._grpc,
        )
        add_SinkServiceServicer_to_server(
            SinkService(
                self._engine, self._deliverer, self._store, tokens=tokens, limits=self._limits
            ),
            self._grpc,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._availability.servicer, self._grpc)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            ReflectionServicer(service_names=(*SERVICE_ROLES, *OPEN_SERVICES)), self._grpc
        )

    def _bind(self) -> int:
        address, credentials = self._listener.address, self._listener.credentials
        try:
            if credentials is None:
                return self._grpc.add_insecure_port(str(address))
            return self._grpc.add_secure_port(str(address), credentials)
        except RuntimeError:
            raise ListenError(
                f"listen: got {address}, which is in use or not of this machine, "
                "expected an address that is free"
            ) from None

    async def _in_prober(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._prober, work)

    async def _in_executor(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _options(limits: Limits) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        # Two servers at one address would each get some of the calls.
        ("grpc.so_reuseport", 0),
        # A forwarder that vanished without a word must not hold its stream for ever.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Nor must one that asks whether we are still there be thrown out for it.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.max_concurrent_streams", limits.max_streams_per_connection),
        ("grpc.server_handshake_timeout_ms", round(limits.handshake_seconds * 1_000)),
        ("grpc.max_connection_idle_ms", round(limits.max_connection_idle_seconds * 1_000)),
        ("grpc.max_connection_age_ms", round(limits.max_connection_age_seconds * 1_000)),
        # Streams end by themselves before a connection that is old is cut.
        (
            "grpc.max_connection_age_grace_ms",
            round((limits.max_stream_age_seconds + LEAVE_SECONDS * 2) * 1_000),
        ),
    ]
