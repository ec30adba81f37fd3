"""Slows down whoever presents credentials that are not known."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

FREE_FAILURES: Final = 5
"""Failures of an address that are answered at once: a person mistypes, a token has expired."""
MAX_DELAY_SECONDS: Final = 5.0
_FIRST_DELAY_SECONDS: Final = 0.1
FORGET_SECONDS: Final = 60.0
"""An address without a failure for so long begins again."""
MAX_ADDRESSES: Final = 4_096
MAX_WAITING: Final = 256
"""Calls that are kept waiting at a time, over all addresses. Past it they are answered at once,
so that a flood costs the server no memory."""


def address_of(peer: str) -> str:
    """Returns the address of a peer as gRPC names it, without the port."""
    return peer.rpartition(":")[0] or peer


class FailedLogins:
    """Knows how often an address failed lately. Good credentials are never delayed."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self.waiting_count = 0

    def fail(self, peer: str) -> float:
        """Counts a failure; returns the seconds after which it should be answered."""
        address, now = address_of(peer), self._clock()
        count, last = self._failures.pop(address, (0, now))
        count = 1 if now - last > FORGET_SECONDS else count + 1
        self._failures[address] = count, now
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        if count <= FREE_FAILURES or self.waiting_count >= MAX_WAITING:
            return 0.0
        doublings = min(count - FREE_FAILURES - 1, 10)
        return min(_FIRST_DELAY_SECONDS * 2.0**doublings, MAX_DELAY_SECONDS)
