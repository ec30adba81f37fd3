"""The end of a server's life: who is told, who is waited for, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Drain:
    """Knows which calls are being served, and tells the streams among them when to leave.

    First streams are asked to leave (`is_draining`). Those that are still there when half of the
    grace period is over are cut (`is_cut`): what was read is acknowledged, and nothing more read.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self.is_cut = False
        self._call_count = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._watchers: set[Callable[[], None]] = set()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Counts a call while it is being served."""
        self._call_count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._call_count -= 1
            if not self._call_count:
                self._idle.set()

    @contextmanager
    def watching(self, wake: Callable[[], None]) -> Iterator[None]:
        """Calls `wake` whenever `is_draining` or `is_cut` becomes true."""
        self._watchers.add(wake)
        try:
            yield
        finally:
            self._watchers.discard(wake)

    async def run(self, grace_seconds: float) -> None:
        """Returns when no call is left, after the grace period at the latest."""
        self.is_draining = True
        self._tell()
        if await self._idle_within(grace_seconds / 2):
            return
        self.is_cut = True
        self._tell()
        await self._idle_within(grace_seconds / 2)

    async def _idle_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _tell(self) -> None:
        for wake in tuple(self._watchers):
            wake()
