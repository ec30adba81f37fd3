"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.02


class RoundError(Exception):
    """The system under test did not do what it promises; the message says what it did."""


def patiently(
    work: Callable[[], T], passing: type[Exception] | tuple[type[Exception], ...], *, seconds: float
) -> T:
    """Returns what `work` gives, tried again for some time while it fails with what may pass."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except passing:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_LOOK_SECONDS)


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Returns once a condition holds; raises RoundError where it does not in time."""
    if not holds_within(condition, seconds):
        raise RoundError(f"{what}: not within {seconds:g} s")


def holds_within(condition: Callable[[], bool], seconds: float) -> bool:
    """Says whether a condition comes to hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
