"""The tasks that keep house: one deletes what is old, one stores counts that nobody took along."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import datetime, timedelta
from time import perf_counter
from typing import Final, TypeVar

import structlog

from amiguard_service import logs
from amiguard_service.retention import SweepLimits, SweepReport
from amiguard_service.store.errors import StatementTimeoutError, StoreError

T = TypeVar("T")

SWEEP_INTERVAL: Final = timedelta(minutes=1)
"""From a step that left nothing to the next, give or take half of it, so that replicas that were
started together come apart."""
FLUSH_INTERVAL: Final = timedelta(seconds=5)
"""How often counts are stored that no commit took along, and so what a killed server loses."""
REST_RATIO: Final = 4
"""A step is followed by so many times its own duration of rest. So a backlog takes a fifth of the
time of SQLite's one writer, and beside a full load about 1,000 records a second still go."""
MIN_REST: Final = timedelta(milliseconds=10)


class Sweeper:
    """Runs both tasks from `start` to `close`, in one event loop.

    A step that fails is logged and tried again later. A lost database is waited for in silence,
    because the health service tells of it.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        sweep: Callable[[datetime, SweepLimits], SweepReport],
        flush: Callable[[], None],
        clock: Callable[[], datetime],
        limits: SweepLimits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._executor = executor
        self._take_step = sweep
        self._store_counts = flush
        self._clock = clock
        self._limits = limits or SweepLimits()
        self._sleep = sleep
        self._tasks: list[asyncio.Task[None]] = []
        self._swept = SweepReport()
        # Replicas in one process, which may seed the numbers of all, come apart as well.
        self._random = random.Random()  # noqa: S311 - no secret
        # Steps one at a time, and none while the tasks are ended.
        self._working = asyncio.Lock()
        self._log = structlog.get_logger()

    def start(self) -> None:
        """Starts the tasks."""
        self._tasks = [
            asyncio.create_task(self._repeat(self._sweep, SWEEP_INTERVAL)),
            asyncio.create_task(self._repeat(self._flush, FLUSH_INTERVAL)),
        ]

    async def close(self) -> None:
        """Ends the tasks between two steps, and stores what was counted until now."""
        async with self._working:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._attempt(self._flush)

    async def _repeat(
        self, step: Callable[[], Awaitable[timedelta | None]], interval: timedelta
    ) -> None:
        """Takes a step after every interval, or after the rest that the last one asked for."""
        rest = None
        while True:
            if rest is None:
                rest = interval * self._random.uniform(0.5, 1.5)
            await self._sleep(rest.total_seconds())
            rest = await self._attempt(step)

    async def _attempt(self, step: Callable[[], Awaitable[timedelta | None]]) -> timedelta | None:
        async with self._working:
            try:
                return await step()
            except StatementTimeoutError as error:
                self._log.warning(logs.TASK_TIMED_OUT, task="sweeper", reason=str(error))
                return None
            except StoreError:
                return None
            except Exception as error:  # noqa: BLE001 - nobody else would learn of it
                self._log.error(logs.TASK_FAILED, task="sweeper", exc_info=error)
                return None

    async def _sweep(self) -> timedelta | None:
        started_at = perf_counter()
        report = await self._in_executor(lambda: self._take_step(self._clock(), self._limits))
        duration = timedelta(seconds=perf_counter() - started_at)
        self._swept += report
        if report.has_more:
            return max(MIN_REST, duration * REST_RATIO)
        deleted = {name: count for name, count in self._swept.counts.items() if count}
        if deleted:
            self._log.info(logs.SWEEP_DONE, **deleted)
        self._swept = SweepReport()
        return None

    async def _flush(self) -> None:
        await self._in_executor(self._store_counts)

    async def _in_executor(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
