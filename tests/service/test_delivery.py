"""Laws of when a delivery is tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from amiguard_service.delivery import (
    MAX_PAUSE,
    MAX_RETRY_AFTER,
    MAX_WAIT,
    Claim,
    Outcome,
    RetryLimits,
    next_attempt,
    next_resumption,
    printable,
)
from tests.store.values import NOON

FAILED = Outcome(is_delivered=False, answer="HTTP 500")
LIMITS = RetryLimits(max_attempts=20, max_age=timedelta(days=3))


def claim(attempts: int, *, age: timedelta = timedelta(0)) -> Claim:
    """Makes a claim that was tried before."""
    return Claim("f", 1, NOON - age, attempts, NOON)


def wait(attempts: int, *, draw: float = 1.0, outcome: Outcome = FAILED) -> timedelta:
    """Returns the wait after one more failure."""
    time = next_attempt(claim(attempts), outcome, limits=LIMITS, now=NOON, draw=draw)
    assert time is not None
    return time - NOON


def test_waits_double_up_to_the_longest() -> None:
    """1 s, 2 s, 4 s and so on, and never more than 10 minutes."""
    waits = [wait(attempts) for attempts in range(19)]

    assert [w.total_seconds() for w in waits[:5]] == [1, 2, 4, 8, 16]
    assert waits == sorted(waits)
    assert waits[-1] == MAX_WAIT


def test_chance_takes_at_most_half_of_a_wait() -> None:
    """What failed together comes again spread over half of the wait."""
    assert wait(5, draw=0.0) == wait(5, draw=1.0) / 2
    assert wait(5, draw=0.0) < wait(5, draw=0.4) < wait(5, draw=1.0)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (timedelta(minutes=30), timedelta(minutes=30)),
        (timedelta(milliseconds=1), timedelta(seconds=1)),
        (timedelta(days=9_999), MAX_RETRY_AFTER),
    ],
)
def test_receiver_can_ask_for_more_within_a_day(asked: timedelta, expected: timedelta) -> None:
    """Retry-After makes a wait longer, never shorter, and never endless."""
    asking = Outcome(is_delivered=False, answer="HTTP 429", retry_after=asked)

    assert wait(0, outcome=asking) == expected
    assert next_resumption(1, asking, now=NOON, draw=1.0) - NOON == expected


@pytest.mark.parametrize(
    ("given", "is_dead"),
    [
        (claim(18), False),
        (claim(19), True),
        (claim(0, age=timedelta(days=3) - timedelta(seconds=1)), False),
        (claim(0, age=timedelta(days=3)), True),
    ],
)
def test_either_limit_makes_a_dead_letter(given: Claim, *, is_dead: bool) -> None:
    """The last attempt allowed, or the first failure at an age, ends the attempts."""
    time = next_attempt(given, FAILED, limits=LIMITS, now=NOON, draw=1.0)

    assert (time is None) is is_dead


def test_pauses_are_shorter_than_waits() -> None:
    """A sink is asked every minute at least, however long it has failed."""
    assert next_resumption(10_000, FAILED, now=NOON, draw=1.0) - NOON == MAX_PAUSE


def test_text_of_others_is_one_line_that_prints() -> None:
    """No answer of a receiver can reach a terminal as anything but text."""
    assert printable("a\r\n\x1b[31mb\u202e  c", 20) == "a [31mb c"
    assert printable("x" * 30, 20) == "x" * 17 + "..."
