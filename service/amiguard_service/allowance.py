"""Time that may be spent on what is good to have, which comes back little by little."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class Allowance:
    """At most so many seconds at once, and a share of the time that passes in the long run."""

    def __init__(
        self, most_seconds: float, *, share: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._most = most_seconds
        self._share = share
        self._clock = clock
        self._left = most_seconds
        self._counted_at = clock()

    def left(self) -> float:
        """Returns how many seconds may be spent now; none where it is not positive."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._counted_at) * self._share)
        self._counted_at = now
        return self._left

    def spend(self, seconds: float) -> None:
        """Takes what was spent off; more than was left has to come back first."""
        self._left = self.left() - seconds
