"""Waiting for what another task or thread does, without a guess of how long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.service.running import TIMEOUT


async def until(condition: Callable[[], object]) -> None:
    """Returns as soon as something is true; others run meanwhile."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event of the loop
            await asyncio.sleep(0)
