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
    StoreUnavailableError,
)

OVERALL: Final = ""
"""The name under which the health protocol asks about the server as a whole."""

PROBE_INTERVAL: Final = timedelta(milliseconds=500)
"""Between two looks at the database: a SQLite file that is taken away is noticed within a second,
and it is small against what a failover takes."""


ANSWER_DEADLINE: Final = timedelta(seconds=5)
"""A database that says nothing for so long is lost: one that is at work says something to a
connection of its own in milliseconds, however long the statements of others take."""

_LOOKS: Final = 5
"""Times that an answer is looked for within the deadline. A process that was frozen for minutes
finds at the next look that its time is over, and the answer a moment later: it is one look."""


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
        watch: Callable[[], Awaitable[None]],
        on_silence: Callable[[], None],
        probe_interval: timedelta = PROBE_INTERVAL,
        deadline: timedelta = ANSWER_DEADLINE,
    ) -> None:
        """Takes the names of the services, and how to ask for the database.

        `watch` asks while it is there, `probe` once it is lost; both raise StoreError in vain.
        `on_silence` has them raise it where nothing has come within the deadline.
        """
        self.servicer = health.aio.HealthServicer()
        self._services = (OVERALL, *services)
        self._probe = probe
        self._watch = watch
        self._on_silence = on_silence
        self._interval = probe_interval.total_seconds()
        self._deadline = deadline
        self._is_serving = False
        self._is_draining = False
        self._teller: asyncio.Task[None] | None = None
        self._prober: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._breakage: StoreBrokenError | None = None
        self._replaced: asyncio.Queue[StoreReplacedError] = asyncio.Queue()
        self._log = structlog.get_logger()

    def start(self) -> None:
        """Says SERVING, and begins to watch the database."""
        self._tell(is_serving=True)
        self._watcher = asyncio.create_task(self._watch_store())

    def lose_store(self, error: StoreUnavailableError) -> None:
        """Says NOT_SERVING, until the probe reaches the database again."""
        if isinstance(error, StoreBrokenError):
            self.break_store(error)
        elif self._prober is None and self._breakage is None and not self._is_draining:
            self._log.error(logs.STORE_UNAVAILABLE, reason=error.reason)
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
        tasks = [t for t in (self._watcher, self._prober, self._teller) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_store(self) -> None:
        """Asks the database all the time, also while the server drains: who waits is let go."""
        while True:
            await asyncio.sleep(self._interval)
            if self._prober is None:
                try:
                    await self._ask(self._watch)
                except StoreUnavailableError as error:
                    self.lose_store(error)
                except StoreError:
                    pass  # It has answered.
                except Exception as error:  # noqa: BLE001 - nobody else would learn of it
                    self._log.error(logs.TASK_FAILED, task="watch", exc_info=error)

    async def _ask(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Asks, and has whatever waits for the database give up where nothing comes."""
        asking = asyncio.ensure_future(ask())
        try:
            while not await self._is_done(asking):
                seconds = self._deadline.total_seconds()
                self.lose_store(StoreUnavailableError(f"no answer for {seconds:g} seconds"))
                self._on_silence()
        finally:
            asking.cancel()
        await asking

    async def _is_done(self, asking: asyncio.Future[None]) -> bool:
        for _ in range(_LOOKS):
            done, _ = await asyncio.wait({asking}, timeout=self._deadline.total_seconds() / _LOOKS)
            if done:
                return True
        return False

    async def _await_store(self) -> None:
        said = ""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._ask(self._probe)
            except StoreBrokenError as error:
                self.break_store(error)
                return
            except SchemaChangedError as error:
                if str(error) != said:
                    said = str(error)
                    self._log.error(logs.SCHEMA_CHANGED, error=said)
            except StoreError:
                pass
            except Exception as error:  # noqa: BLE001 - the probe must not end, whatever it meets
                if str(error) != said:
                    said = str(error)
                    self._log.error(logs.TASK_FAILED, task="probe", exc_info=error)
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
