"""Delays between attempts."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from amiguard_client import RetryPolicy

POLICY = RetryPolicy(initial_delay=timedelta(seconds=1), max_delay=timedelta(seconds=60))


@given(failures=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_delay_is_bounded(failures: int, jitter: float) -> None:
    """A delay is at least half the first and at most the longest, after any number of failures."""
    delay = POLICY.delay(failures, jitter=jitter)

    assert timedelta(seconds=0.5) <= delay <= timedelta(seconds=60)


@given(failures=st.integers(1, 100), jitter=st.floats(0, 1))
def test_delay_never_shrinks_with_failures(failures: int, jitter: float) -> None:
    """One more failure never makes the delay shorter."""
    assert POLICY.delay(failures, jitter=jitter) <= POLICY.delay(failures + 1, jitter=jitter)
