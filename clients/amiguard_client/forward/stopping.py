"""How a forwarder comes to its end, and how it waits until then."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import TypeVar

from amiguard_client.forward.counts import Outages
from amiguard_client.forward.errors import AwayError, StoppedError
from amiguard_client.retry import RetryPolicy

T = TypeVar("T")


class Stop:
    """Two steps to the end: `drain` takes nothing more, `cut` waits for nothing more."""

    def __init__(self) -> None:
        self._draining = Event()
        self._cut = Event()

    @property
    def is_draining(self) -> bool:
        """Whether nothing more is to be taken from the source."""
        return self._draining.is_set()

    @property
    def is_cut(self) -> bool:
        """Whether what is under way is to be given back."""
        return self._cut.is_set()

    def drain(self) -> None:
        """Ends the taking."""
        self._draining.set()

    def cut(self) -> None:
        """Ends everything."""
        self._draining.set()
        self._cut.set()

    def wait_to_take(self, seconds: float) -> None:
        """Waits; raises StoppedError once nothing more is to be taken."""
        if self._draining.wait(seconds):
            raise StoppedError("the forwarder drains")

    def wait(self, seconds: float) -> None:
        """Waits; raises StoppedError once everything ends."""
        if self._cut.wait(seconds):
            raise StoppedError("the forwarder stops")


class Patience:
    """Tries again what AWS fails at, for as long as the retry policy allows."""

    def __init__(self, retry: RetryPolicy, stop: Stop, outages: Outages) -> None:
        self._retry = retry
        self._stop = stop
        self._outages = outages

    def call(self, work: Callable[[], T], *, peer: str, is_taking: bool = False) -> T:
        """Returns what `work` asks of a peer, once it raises no AwayError.

        Raises the AwayError the retry policy does not wait out, and StoppedError at the end of
        the forwarder, or of the taking where it is part of that.
        """
        wait = self._stop.wait_to_take if is_taking else self._stop.wait
        failures, since = 0, time.monotonic()
        while True:
            try:
                result = work()
            except AwayError as error:
                failures += 1
                delay = self.delay(failures)
                lasted = timedelta(seconds=time.monotonic() - since)
                if failures == self._retry.max_attempts or lasted > self._retry.give_up_after:
                    raise
                self._outages.failed(peer, str(error))
                wait(delay)
            else:
                self._outages.went_well(peer)
                return result

    def delay(self, failures: int) -> float:
        """Returns the seconds to wait after that many failures in a row."""
        # Chance spreads load here; it keeps no secret.
        return self._retry.delay(failures, jitter=random.random()).total_seconds()  # noqa: S311
