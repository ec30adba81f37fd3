"""Laws of time that comes back little by little."""

from __future__ import annotations

import pytest

from amiguard_service.allowance import Allowance


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_spent_comes_back_with_time() -> None:
    """A share of the time that passes can be spent, after the whole allowance is."""
    clock = Clock()
    allowance = Allowance(10, share=0.1, clock=clock)
    left = [allowance.left()]
    allowance.spend(10)
    left.append(allowance.left())
    clock.now += 20
    left.append(allowance.left())

    assert left == pytest.approx([10, 0, 2])


def test_no_more_is_left_than_the_allowance() -> None:
    """Time in which nothing is spent is not saved up."""
    clock = Clock()
    allowance = Allowance(10, share=0.1, clock=clock)
    allowance.spend(1)
    clock.now += 1_000

    assert allowance.left() == 10


def test_debt_has_to_come_back_first() -> None:
    """Who spent more than was left waits until that is made up for."""
    clock = Clock()
    allowance = Allowance(10, share=0.1, clock=clock)
    allowance.spend(12)
    clock.now += 20

    assert allowance.left() == pytest.approx(0)
