"""Laws of a drain: who is told, who is waited for, and until when."""

from __future__ import annotations

import asyncio

from amiguard_service.drain import Drain

LONG = 3_600.0
"""Longer than any test waits."""


def test_nobody_is_waited_for_where_nobody_is_served() -> None:
    """A server without calls drains at once."""

    async def act() -> Drain:
        drain = Drain()
        async with asyncio.timeout(30):
            await drain.run(LONG)
        return drain

    drain = asyncio.run(act())

    assert (drain.is_draining, drain.is_cut) == (True, False)


def test_calls_are_waited_for() -> None:
    """A drain ends with the last call that is served."""

    async def act() -> tuple[bool, bool]:
        drain = Drain()
        with drain.serving():
            with drain.serving():
                running = asyncio.create_task(drain.run(LONG))
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            was_over = running.done()
        async with asyncio.timeout(30):
            await running
        return was_over, drain.is_cut

    was_over, was_cut = asyncio.run(act())

    assert (was_over, was_cut) == (False, False)


def test_who_stays_is_told_twice() -> None:
    """A stream is asked to leave, and then cut; after the grace period it is waited for no more."""

    async def act() -> list[tuple[bool, bool]]:
        drain, told = Drain(), []
        with (
            drain.serving(),
            drain.watching(lambda: told.append((drain.is_draining, drain.is_cut))),
        ):
            async with asyncio.timeout(30):
                await drain.run(0.0)
        return told

    told = asyncio.run(act())

    assert told == [(True, False), (True, True)]


def test_who_has_gone_is_not_told() -> None:
    """A stream that ended hears nothing of a drain."""

    async def act() -> list[None]:
        drain, told = Drain(), list[None]()
        with drain.watching(lambda: told.append(None)):
            pass
        await drain.run(0.0)
        return told

    told = asyncio.run(act())

    assert told == []
