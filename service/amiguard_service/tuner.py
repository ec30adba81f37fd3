"""The task that makes what is stored, and what this process knows, follow the policy in force.

Any server may have changed the policy, or have died in the middle of applying it: every server runs
this task, and how far the work has come stands in the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import perf_counter
from typing import Final

import structlog

from amiguard_service import logs
from amiguard_service.engine import Engine
from amiguard_service.store.errors import StatementTimeoutError, StoreError
from amiguard_service.store_calls import StoreCalls

POLL_INTERVAL: Final = timedelta(milliseconds=500)
"""How often a change is looked for that another server made: it is in force here within a second.
Three reads of a few rows each."""
WORK_SPAN: Final = timedelta(milliseconds=200)
"""How long steps of a pass are taken before a rest of the same length, in which SQLite's one writer
and this process's threads are the records'."""


class Tuner:
    """Runs the task from `start` to `close`, in one event loop.

    A turn that fails is logged and tried again. A lost database is waited for in silence, because
    the health service tells of it.
    """

    def __init__(
        self,
        engine: Engine,
        store: StoreCalls,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._store = store
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None
        # A turn is not broken off: its thread would go on without it.
        self._working = asyncio.Lock()
        self._log = structlog.get_logger()

    def start(self) -> None:
        """Starts the task."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Ends the task between two turns."""
        if self._task is None:
            return
        async with self._working:
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def take_turn(self) -> timedelta:
        """Does what there is to do, for a short while; returns how long to rest after it.

        The policy is read, entries that have expired are taken out of what is stored, and steps of
        the pass under way are taken.
        """
        await self._store.run(self._engine.refresh_policy)
        if await self._store.run(self._engine.tuning.expire):
            self._log.info(logs.ENTRIES_EXPIRED)
        started_at = perf_counter()
        progress = await self._store.run(self._engine.passes.progress)
        while progress.scope is not None:
            progress = await self._store.run(self._engine.passes.step)
            worked = timedelta(seconds=perf_counter() - started_at)
            if worked >= WORK_SPAN:
                return worked
        return POLL_INTERVAL

    async def _run(self) -> None:
        while True:
            async with self._working:
                rest = await self._attempt()
            await self._sleep(rest.total_seconds())

    async def _attempt(self) -> timedelta:
        try:
            return await self.take_turn()
        except StatementTimeoutError as error:
            self._log.warning(logs.TASK_TIMED_OUT, task="tuner", reason=str(error))
            return POLL_INTERVAL
        except StoreError:
            return POLL_INTERVAL
        except Exception as error:  # noqa: BLE001 - nobody else would learn of it
            self._log.error(logs.TASK_FAILED, task="tuner", exc_info=error)
            return POLL_INTERVAL
