"""How the event loop calls the store: in a thread of its own, and telling when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from amiguard_service.store.errors import StoreUnavailableError

T = TypeVar("T")


class StoreCalls:
    """Runs what calls the store in the store's executor."""

    def __init__(
        self, executor: Executor, *, on_store_lost: Callable[[StoreUnavailableError], None]
    ) -> None:
        self._executor = executor
        self._on_store_lost = on_store_lost

    async def run(self, work: Callable[[], T]) -> T:
        """Returns what `work` gives, or raises what it raises."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except StoreUnavailableError as error:
            self._on_store_lost(error)
            raise
