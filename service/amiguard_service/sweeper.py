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
from amiguard_service.clock_guard import ClockFault, ClockReading
from amiguard_service.retention import EVERYTHING, Kind, SweepLimits, SweepReport
from amiguard_service.store.errors import StatementTimeoutError, StoreError

T = TypeVar("T")

SWEEP_INTERVAL: Final = timedelta(minutes=1)
"""From a step that left nothing to the next, give or take half of it, so that replicas that were
started together come apart."""
FLUSH_INTERVAL: Final = timedelta(seconds=5)
"""How often counts are stored that no commit took along, and so what a killed server loses."""
REST_RATIO: Final = 4
"""While somebody commits, a step is followed by so many times its own duration of rest. So a
backlog takes a fifth of the time of SQLite's one writer."""
MIN_REST_RATIO: Final = 0.5
"""What the ratio falls to while a backlog lasts: what is deleted more slowly than it comes would
let the database grow for as long as the load goes on."""
RATIO_SPAN: Final = timedelta(minutes=1)
"""The ratio is halved after such a time with a backlog, is a third after two, and so on."""
FULL_STEPS: Final = 50
"""One step of so many looks at all kinds, where some kinds always have more."""
MIN_REST: Final = timedelta(milliseconds=2)
"""What commits get between two steps in any case."""


class Sweeper:
    """Runs both tasks from `start` to `close`, in one event loop.

    A step that fails is logged and tried again later. A lost database is waited for in silence,
    because the health service tells of it.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        sweep: Callable[[datetime, SweepLimits, frozenset[Kind]], SweepReport],
        flush: Callable[[], None],
        read_clocks: Callable[[], ClockReading],
        is_busy: Callable[[], bool] = lambda: True,
        limits: SweepLimits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._executor = executor
        self._take_step = sweep
        self._store_counts = flush
        self._read_clocks = read_clocks
        self._is_busy = is_busy
        self._limits = limits or SweepLimits()
        self._sleep = sleep
        self._tasks: list[asyncio.Task[None]] = []
        self._swept = SweepReport()
        self._step_count = 0
        self._backlog_since: float | None = None
        self._said: ClockReading | None = None
        # Replicas in one process, which may seed the numbers of all, come apart as well.
        self._random = random.Random()  # noqa: S311 - no secret
        # Steps one at a time, and none while the tasks are ended.
        self._working = asyncio.Lock()
        self._log = structlog.get_logger()

    def start(self) -> None:
        """Starts the tasks."""
        self._tasks = [
            asyncio.create_task(self._sweep_for_ever()),
            asyncio.create_task(self._repeat(self._flush, FLUSH_INTERVAL)),
        ]

    async def close(self) -> None:
        """Ends the tasks between two steps, and stores what was counted until now."""
        async with self._working:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._attempt(self._flush)

    async def _sweep_for_ever(self) -> None:
        # Before anybody trusts a server with a wrong clock, its log says so.
        await self._attempt(self._look)
        await self._repeat(self._sweep, SWEEP_INTERVAL)

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

    async def _attempt(self, step: Callable[[], Awaitable[T]]) -> T | None:
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
        reading = await self._look()
        if reading.fault is not None:
            return None
        # What had nothing more is looked at again once the rest is done, or after a while.
        self._step_count += 1
        kinds = self._swept.more_of if self._step_count % FULL_STEPS else EVERYTHING
        kinds = kinds or EVERYTHING
        report = await self._in_executor(lambda: self._take_step(reading.time, self._limits, kinds))
        duration = timedelta(seconds=perf_counter() - started_at)
        self._swept += report
        if report.has_more or kinds != EVERYTHING:
            return self._rest(duration)
        self._backlog_since = None
        deleted = {name: count for name, count in self._swept.counts.items() if count}
        if deleted:
            self._log.info(logs.SWEEP_DONE, **deleted)
        self._swept = SweepReport()
        return None

    def _rest(self, duration: timedelta) -> timedelta:
        """Returns how long to rest after a step of a backlog: not at all while nobody commits."""
        if self._backlog_since is None:
            self._backlog_since = perf_counter()
        if not self._is_busy():
            return timedelta(0)
        lasted = timedelta(seconds=perf_counter() - self._backlog_since)
        ratio = max(MIN_REST_RATIO, REST_RATIO / (1 + lasted / RATIO_SPAN))
        return max(MIN_REST, duration * ratio)

    async def _look(self) -> ClockReading:
        """Reads the clocks, and logs what is wrong with them."""
        reading = await self._in_executor(self._read_clocks)
        self._tell(reading)
        return reading

    def _tell(self, reading: ClockReading) -> None:
        """Logs that the clocks are wrong, how that changes, and that they are right again."""
        said, self._said = self._said, None if reading.fault is None else reading
        if reading.fault is None:
            if said is not None:
                self._log.info(logs.CLOCK_RIGHT, database_time=reading.time.isoformat())
            return
        if said is not None and not reading.differs_from(said):
            self._said = said
            return
        jump = {}
        if reading.fault is not ClockFault.DIFFERS and reading.jump is not None:
            start, end = reading.jump
            until = reading.held_until(reading.jump)
            jump = {"jump_start": start, "jump_end": end, "nothing_deleted_until": until}
        self._log.warning(
            logs.CLOCK_WRONG,
            fault=reading.fault.value,
            server_time=reading.server_time.isoformat(),
            database_time=reading.time.isoformat(),
            **{name: time.isoformat() for name, time in jump.items()},
        )

    async def _flush(self) -> None:
        await self._in_executor(self._store_counts)

    async def _in_executor(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
