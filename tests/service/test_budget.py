"""Laws of a shared bound on bytes."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from amiguard_service.budget import Budget

SIZE = 10


@given(st.lists(st.tuples(st.integers(0, 2 * SIZE), st.integers(0, 3), st.booleans())))
def test_no_more_is_out_than_there_is(asked: list[tuple[int, int, bool]]) -> None:
    """Whatever is asked for, held and given up in whatever order, the bound holds and all end."""

    async def ask(budget: Budget, out: list[int], wanted: int, turns: int) -> None:
        share = await budget.take(wanted)
        out.append(share)
        assert sum(out) <= SIZE
        for _ in range(turns):
            await asyncio.sleep(0)
        out.remove(share)
        budget.give_back(share)

    async def act() -> int:
        budget = Budget(SIZE)
        out: list[int] = []
        tasks = [asyncio.create_task(ask(budget, out, wanted, turns)) for wanted, turns, _ in asked]
        await asyncio.sleep(0)
        for task, (_, _, gives_up) in zip(tasks, asked, strict=True):
            if gives_up and not out:
                task.cancel()
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks, return_exceptions=True)
            return await budget.take(SIZE)

    left = asyncio.run(act())

    assert left == SIZE


def test_giving_up_a_turn_lets_others_have_it() -> None:
    """Whoever gives up while it waits leaves what it waited for to the next."""

    async def act() -> int:
        budget = Budget(SIZE)
        held = await budget.take(SIZE)
        waiting = asyncio.create_task(budget.take(SIZE))
        following = asyncio.create_task(budget.take(1))
        await asyncio.sleep(0)
        budget.give_back(held)
        # Its turn has come, but it has not run yet.
        waiting.cancel()
        async with asyncio.timeout(30):
            return await following

    share = asyncio.run(act())

    assert share == 1


def test_turns_come_in_the_order_asked() -> None:
    """A small wish does not overtake a large one that waits."""

    async def act() -> list[str]:
        budget, order = Budget(SIZE), []
        held = await budget.take(SIZE - 1)

        async def ask(name: str, wanted: int) -> None:
            await budget.take(wanted)
            order.append(name)

        large = asyncio.create_task(ask("large", 5))
        await asyncio.sleep(0)
        small = asyncio.create_task(ask("small", 1))
        await asyncio.sleep(0)
        budget.give_back(held)
        await asyncio.gather(large, small)
        return order

    order = asyncio.run(act())

    assert order == ["large", "small"]
