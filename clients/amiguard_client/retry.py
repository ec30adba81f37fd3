"""How long a submission waits before it tries again, and when it stops trying."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_DOUBLINGS = 16
"""Past this every delay is `max_delay`; the bound keeps the power from growing without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Bounds on a submission's attempts; an acknowledged batch starts the count anew.

    Delays double from `initial_delay` to `max_delay`, less a random part of up to a half, so that
    many forwarders do not come back at once. The submission gives up once it has failed for
    `give_up_after` or `max_attempts` times in a row, whichever comes first; None is no bound on
    attempts. A server that acknowledges nothing for `ack_timeout` counts as lost.
    """

    initial_delay: timedelta = timedelta(milliseconds=250)
    max_delay: timedelta = timedelta(seconds=20)
    give_up_after: timedelta = timedelta(minutes=5)
    max_attempts: int | None = None
    ack_timeout: timedelta = timedelta(seconds=60)

    def delay(self, failures: int, *, jitter: float) -> timedelta:
        """Returns the wait after that many failures in a row; `jitter` is from 0 to 1."""
        doubled = self.initial_delay * (1 << min(max(failures - 1, 0), _MAX_DOUBLINGS))
        return min(doubled, self.max_delay) * (1 - jitter / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where a submission gets time and chance from: seconds now, a sleep, a number from 0 to 1."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
