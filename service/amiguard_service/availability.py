"""Whether this server can take calls, as its health service tells load balancers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Final

import structlog
from grpc_health.v1 import health, health_pb2

from amiguard_service import logs
from amiguard_service.store.errors import (
    SchemaChangedError,
    StoreBrokenError,
    StoreError,
    StoreReplacedError,
)

OVERALL: Final = ""
"""The name under which the health protocol asks about the server as a whole."""

PROBE_INTERVAL: Final = timedelta(seconds=1)
"""Between two attempts to reach a lost database: small against what a failover takes."""


class Availability:
    """Says NOT_SERVING while the database is lost, and from the moment the server drains.

    Or for good, from when a person has to act: the database is damaged, or was taken away.

    None of its methods waits for whoever watches: a watcher that does not read holds nobody up.
    """

    def __init__(
        self,
        services: Iterable[str],
        *,
        probe: Callable[[], Awaitable[None]],
        probe_interval: timedelta = PROBE_INTERVAL,
    ) -> None:
        """Takes the names of the services and a probe, which raises StoreError in vain."""
        self.servicer = health.aio.HealthServicer()
        self._services = (OVERALL, *services)
        self._probe = probe
        self._probe_interval = probe_interval
        self._is_serving = False
        self._is_draining = False
        self._teller: asyncio.Task[None] | None = None
        self._prober: asyncio.Task[None] | None = None
        self._breakage: StoreBrokenError | None = None
        self._replaced: asyncio.Queue[StoreReplacedError] = asyncio.Queue()
        self._log = structlog.get_logger()

    def start(self) -> None:
        """Says SERVING."""
        self._tell(is_serving=True)

    def lose_store(self) -> None:
        """Says NOT_SERVING, until the probe reaches the database again."""
        if self._prober is None and self._breakage is None and not self._is_draining:
            self._log.error(logs.STORE_UNAVAILABLE)
            self._prober = asyncio.create_task(self._await_store())
            self._tell(is_serving=False)

    def break_store(self, error: StoreBrokenError) -> None:
        """Says NOT_SERVING for good, and in the log what to do."""
        if self._breakage is not None:
            return
        self._breakage = error
        if isinstance(error, StoreReplacedError):
            self._log.error(logs.STORE_REPLACED, error=str(error))
            self._replaced.put_nowait(error)
        else:
            self._log.error(logs.STORE_DAMAGED, error=str(error), exc_info=error.__cause__)
        self._tell(is_serving=False)

    async def wait_for_replacement(self) -> StoreReplacedError:
        """Returns once the database's file was removed or replaced; to be called once."""
        return await self._replaced.get()

    def drain(self) -> None:
        """Says NOT_SERVING, for good."""
        self._is_draining = True
        self._tell(is_serving=False)

    async def close(self) -> None:
        """Ends the tasks that probe and tell."""
        tasks = [task for task in (self._prober, self._teller) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _await_store(self) -> None:
        said = ""
        while True:
            await asyncio.sleep(self._probe_interval.total_seconds())
            try:
                await self._probe()
            except StoreBrokenError as error:
                self.break_store(error)
                return
            except SchemaChangedError as error:
                if str(error) != said:
                    said = str(error)
                    self._log.error(logs.SCHEMA_CHANGED, error=said)
            except StoreError:
                pass
            else:
                break
        self._prober = None
        self._log.info(logs.STORE_AVAILABLE)
        self._tell(is_serving=True)

    def _tell(self, *, is_serving: bool) -> None:
        self._is_serving = is_serving and not self._is_draining
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell_services())

    async def _tell_services(self) -> None:
        told = None
        while told != self._is_serving:
            told = self._is_serving
            response = health_pb2.HealthCheckResponse
            status = response.SERVING if told else response.NOT_SERVING
            for service in self._services:
                await self.servicer.set(service, status)
