"""The change log as it grows, read once for all who watch it in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from amiguard.v1.finding_pb2 import Finding
from amiguard_service.convert import finding_message, with_ocsf
from amiguard_service.filters import Filter
from amiguard_service.store.changes import ChangePage
from amiguard_service.store_calls import StoreCalls

POLL_INTERVAL: Final = timedelta(milliseconds=200)
"""Between two looks for what other processes have committed."""
_LEAST_SECONDS: Final = 0.05
"""Between any two looks, so that many small commits are read together."""
PAGE_CHANGES: Final = 100
"""Changes read at a time, which bounds what a watcher holds."""
_READERS: Final = 2
"""Pages read side by side; the store's other threads are for everybody else."""


class ChangeLog(Protocol):
    """What changes are read from."""

    def last_cursor(self) -> int:
        """Returns the cursor after every change that is committed."""

    def changes_after(self, cursor: int, condition: Filter, *, limit: int) -> ChangePage:
        """Returns the findings in the next `limit` changes, those that fulfil a condition."""

    def telling(self, listener: Callable[[], None]) -> AbstractContextManager[None]:
        """Calls a listener after every change that this process commits, in whichever thread."""


class Changed(NamedTuple):
    """A finding as it stands, and the cursor just after its last change."""

    cursor: int
    finding: Finding


class FeedPage(NamedTuple):
    """Changed findings in the order of their last change, and the cursor after all of them."""

    changed: list[Changed]
    cursor: int


class _Asked(NamedTuple):
    """A page that somebody asks for, and how it is shown."""

    cursor: int
    end: int
    condition: Filter
    include_ocsf: bool


class ChangeFeed:
    """Follows the change log while anybody watches it; used from one event loop.

    It keeps no changes: each watcher reads its own pages, so the slowest loses nothing and costs
    nothing. Watchers who ask for the same page at a time share one reading of it.
    """

    def __init__(
        self, log: ChangeLog, store: StoreCalls, *, poll_interval: timedelta = POLL_INTERVAL
    ) -> None:
        self._log = log
        self._store = store
        self._poll_seconds = poll_interval.total_seconds()
        self._watchers: set[asyncio.Event] = set()
        self._committed = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        self._fault: Exception | None = None
        self._end = 0
        self._readings: dict[_Asked, asyncio.Task[FeedPage]] = {}
        self._readers = asyncio.Semaphore(_READERS)

    @contextmanager
    def watching(self, wake: asyncio.Event) -> Iterator[None]:
        """Sets `wake` whenever the log has grown or cannot be read."""
        self._watchers.add(wake)
        if self._poller is None or self._poller.done():
            self._fault = None
            self._poller = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            self._watchers.discard(wake)
            if not self._watchers and self._poller is not None:
                self._poller.cancel()
                self._poller = None

    def has_after(self, cursor: int) -> bool:
        """Says whether there are changes after a cursor; raises what keeps it from being known."""
        if self._fault is not None:
            raise self._fault
        return cursor < self._end

    async def read_after(
        self,
        cursor: int,
        condition: Filter,
        *,
        end: int | None = None,
        include_ocsf: bool = False,
    ) -> FeedPage:
        """Returns the next page of findings that fulfil a condition; its cursor is a later one.

        `end` is a cursor up to which all is committed; None for how far the log was seen to reach.
        """
        key = _Asked(cursor, self._end if end is None else end, condition, include_ocsf)
        reading = self._readings.get(key)
        if reading is None:
            reading = asyncio.create_task(self._read(key))
            self._readings[key] = reading
            reading.add_done_callback(lambda task: self._forget(key, task))
        # One watcher that leaves must not end it for the others.
        return await asyncio.shield(reading)

    async def _read(self, asked: _Asked) -> FeedPage:
        def work() -> FeedPage:
            page = self._log.changes_after(asked.cursor, asked.condition, limit=PAGE_CHANGES)
            changed = []
            for one in page.changed:
                message = finding_message(one.finding)
                if asked.include_ocsf:
                    with_ocsf(message)
                changed.append(Changed(one.cursor, message))
            # Whatever stood between the cursor and the end has been seen, or is deleted.
            return FeedPage(changed, page.cursor if page.cursor > asked.cursor else asked.end)

        async with self._readers:
            return await self._store.run(work)

    def _forget(self, key: _Asked, reading: asyncio.Task[FeedPage]) -> None:
        del self._readings[key]
        if not reading.cancelled():
            # Nobody may be left to ask for it.
            reading.exception()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()

        def tell() -> None:
            # A commit may end after the loop that was to be told of it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._committed.set)

        try:
            with self._log.telling(tell):
                while True:
                    self._committed.clear()
                    end = await self._store.run(self._log.last_cursor)
                    if end > self._end:
                        self._end = end
                        self._wake()
                    await asyncio.sleep(_LEAST_SECONDS)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._poll_seconds - _LEAST_SECONDS):
                            await self._committed.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the watchers' answer
            self._fault = error
            self._wake()

    def _wake(self) -> None:
        for wake in self._watchers:
            wake.set()
