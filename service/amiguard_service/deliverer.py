"""The tasks that bring findings to sinks: one for each sink, so that none waits for another.

Whatever a task knows stands in the database. Any number of servers run it, and one that dies loses
nothing: what it had claimed is attempted by another one later on, under the same key.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import Final, TypeVar
from uuid import uuid4

import structlog

from amiguard_service import logs
from amiguard_service.delivery import Claim, Event, Outcome, Send, Sender, event_of
from amiguard_service.engine import Engine
from amiguard_service.sinks import Sink
from amiguard_service.store.errors import StatementTimeoutError, StoreError
from amiguard_service.store_calls import StoreCalls

POLL_INTERVAL: Final = timedelta(milliseconds=500)
"""How often a sink without work looks for some: one read of a few rows."""

_OWN_NUMBERS: Final = random.Random()  # noqa: S311 - no secret
"""Apart from those of the process, which whoever shares it may seed."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a test, and how long it took."""

    outcome: Outcome
    duration: timedelta


class Deliverer:
    """Runs the tasks from `start`, after `open`, to `close`, in one event loop.

    A turn that fails is logged and tried again. A lost database is waited for in silence, because
    the health service tells of it.
    """

    def __init__(
        self,
        engine: Engine,
        store: StoreCalls,
        sinks: Sequence[Sink],
        *,
        make_sender: Callable[[Sink], Sender],
        draw: Callable[[], float] = _OWN_NUMBERS.random,
    ) -> None:
        self.sinks: Mapping[str, Sink] = {sink.sink_id: sink for sink in sinks}
        self._engine = engine
        self._store = store
        self._make_sender = make_sender
        self._draw = draw
        self._senders: dict[str, Sender] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._is_ending = asyncio.Event()
        self._is_draining = False
        # However many sinks there are, they take one of the store's threads at a time.
        self._one_call = asyncio.Lock()
        self._log = structlog.get_logger()

    async def open(self) -> None:
        """Makes the sinks known, and ready to be sent to."""
        await self._store.run(lambda: self._engine.sinks.add(self.sinks))
        self._senders = {name: self._make_sender(sink) for name, sink in self.sinks.items()}

    def start(self) -> None:
        """Starts the tasks."""
        self._tasks = [asyncio.create_task(self._run(sink)) for sink in self.sinks.values()]

    def drain(self) -> None:
        """Has every task end after the attempts under way."""
        self._is_draining = True
        self._is_ending.set()

    async def replace(self, sinks: Sequence[Sink]) -> None:
        """Goes on with other sinks, once the attempts under way are over; not while it drains."""
        fresh = {sink.sink_id: sink for sink in sinks}
        if fresh == self.sinks or self._is_draining:
            return
        longest = max((sink.timeout for sink in self.sinks.values()), default=timedelta(0))
        await self._end(longest)
        if self._is_draining:
            return
        self.sinks = fresh
        self._is_ending.clear()
        await self.open()
        self.start()

    async def close(self, grace: timedelta = timedelta(0)) -> None:
        """Ends every task, within a time those that have attempts under way.

        An attempt that is broken off is made again by somebody, under the same key.
        """
        self.drain()
        await self._end(grace)

    async def _end(self, grace: timedelta) -> None:
        self._is_ending.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace.total_seconds())
        # The store's calls are not broken off: their threads would go on without us.
        async with self._one_call:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sender in self._senders.values():
            await sender.close()

    async def take_turn(self, sink: Sink) -> timedelta:
        """Sends a sink some of what is due; returns how long to rest after it."""
        sender = self._senders[sink.sink_id]

        def begin() -> list[tuple[Claim, Send]]:
            turn = self._engine.sinks.begin_turn(sink, max_claims=sender.max_concurrent)
            if turn.has_gap:
                self._log.warning(logs.SINK_GAP, sink=sink.sink_id)
            if turn.gone_count:
                self._log.info(logs.DELIVERIES_DROPPED, sink=sink.sink_id, count=turn.gone_count)
            return [(claim, sender.prepare(event_of(found))) for claim, found in turn.claims]

        begun, begin_seconds = await self._call(begin)
        if not begun:
            return POLL_INTERVAL
        outcomes = await asyncio.gather(*(self._attempt(sink, send) for _, send in begun))
        results = list(zip((claim for claim, _ in begun), outcomes, strict=True))
        settled, settle_seconds = await self._call(
            lambda: self._engine.sinks.settle(sink, results, draw=self._draw)
        )
        if settled.dead_letter_count:
            count = settled.dead_letter_count
            self._log.error(logs.DELIVERIES_DEAD, sink=sink.sink_id, count=count)
        if settled.is_failing and not settled.was_failing:
            answer = next(o.answer for o in outcomes if not o.is_delivered)
            self._log.warning(logs.SINK_FAILING, sink=sink.sink_id, answer=answer)
        if settled.was_failing and not settled.is_failing:
            self._log.info(logs.SINK_RECOVERED, sink=sink.sink_id)
        # So a backlog leaves the database to others for at least half of the time.
        return timedelta(seconds=begin_seconds + settle_seconds)

    async def test(self, sink: Sink) -> Trial:
        """Sends a sink an event that is none, past everything that waits for it."""
        event = Event(f"test.{uuid4().hex}", self._engine.now())
        send = self._senders[sink.sink_id].prepare(event)
        started_at = perf_counter()
        outcome = await self._attempt(sink, send)
        return Trial(outcome, timedelta(seconds=perf_counter() - started_at))

    async def _attempt(self, sink: Sink, send: Send) -> Outcome:
        try:
            async with asyncio.timeout(sink.timeout.total_seconds()):
                return await send()
        except TimeoutError:
            answer = f"no answer within {sink.timeout.total_seconds():g} s"
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the sink's task
            self._log.error(logs.TASK_FAILED, task=f"sink {sink.sink_id}", exc_info=error)
            answer = "the server failed; its log has the cause"
        return Outcome(is_delivered=False, answer=answer)

    async def _run(self, sink: Sink) -> None:
        while not self._is_ending.is_set():
            rest = await self._take_turn_or_wait(sink)
            with suppress(TimeoutError):
                async with asyncio.timeout(rest.total_seconds()):
                    await self._is_ending.wait()

    async def _take_turn_or_wait(self, sink: Sink) -> timedelta:
        try:
            return await self.take_turn(sink)
        except StatementTimeoutError as error:
            self._log.warning(logs.TASK_TIMED_OUT, task=f"sink {sink.sink_id}", reason=str(error))
            return POLL_INTERVAL
        except StoreError:
            return POLL_INTERVAL
        except Exception as error:  # noqa: BLE001 - nobody else would learn of it
            self._log.error(logs.TASK_FAILED, task=f"sink {sink.sink_id}", exc_info=error)
            return POLL_INTERVAL

    async def _call(self, work: Callable[[], T]) -> tuple[T, float]:
        """Returns what the store gives, and the seconds that it took."""
        async with self._one_call:
            started_at = perf_counter()
            result = await self._store.run(work)
            return result, perf_counter() - started_at
