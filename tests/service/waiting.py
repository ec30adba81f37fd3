"""Waiting for what another task or thread does, without a guess of how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tests.service.running import TIMEOUT


async def until(condition: Callable[[], object]) -> None:
    """Returns as soon as something is true; others run meanwhile."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event of the loop
            await asyncio.sleep(0)


def until_in_thread(condition: Callable[[], object]) -> None:
    """Returns as soon as something is true of what another thread or process does."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
