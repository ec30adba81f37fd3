"""A bound on bytes that many calls share."""

from __future__ import annotations

import asyncio
from collections import deque


class Budget:
    """Hands out at most `size` bytes at a time; whoever asks for more than is left waits its turn.

    Somebody who asks for more than all of it gets all of it, alone.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, wanted: int) -> int:
        """Returns how much was taken, for `give_back`, as soon as there is enough."""
        share = min(wanted, self._size)
        if share <= self._left and not self._waiting:
            self._left -= share
            return share
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((share, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(share)
            raise
        return share

    def give_back(self, share: int) -> None:
        """Lets whoever waits have what is no longer needed."""
        self._left += share
        while self._waiting:
            wanted, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
                continue
            if wanted > self._left:
                return
            self._waiting.popleft()
            self._left -= wanted
            turn.set_result(None)
