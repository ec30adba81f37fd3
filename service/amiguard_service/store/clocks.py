"""What time it is for all servers of a database, and how far this server's clock is off.

Whatever servers share is dated, deleted and due by one clock: that of the database. PostgreSQL is
asked for its time in the transaction that needs it. A SQLite file has one server, whose clock it
is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, DateTime, func, select

Clock = Callable[[], datetime]

CLOCK_TIME: Final = func.clock_timestamp(type_=DateTime(timezone=True))
"""PostgreSQL's time at this very moment: that of the transaction's start may be long past for who
waited for a lock."""
_ASK: Final = select(CLOCK_TIME)
_NONE: Final = timedelta(0)


def read_clock() -> datetime:
    """Returns the present time by this server's clock, aware, in UTC."""
    return datetime.now(UTC)


class Clocks:
    """The clock of a database and that of this server. Safe to use from any thread."""

    def __init__(
        self, *, asks_database: bool, clock: Clock | None, server_clock: Clock | None
    ) -> None:
        """Takes clocks for tests: `clock` stands in for the database's, and for the other as well.

        Without them both are what they are.
        """
        self._server_clock = server_clock or clock or read_clock
        self._clock = clock or (None if asks_database else self._server_clock)
        self._difference = _NONE

    @property
    def difference(self) -> timedelta:
        """By how much the database's clock was ahead of the server's when it was last read."""
        return self._difference

    def now(self, connection: Connection) -> datetime:
        """Returns the time that all servers of the database go by."""
        return self._read(self._clock or (lambda: connection.execute(_ASK).scalar_one()))

    def take(self, ask: Clock) -> datetime:
        """Returns the same, where a statement that has to be run asks the database on its way."""
        if self._clock is None:
            return self._read(ask)
        ask()
        return self._read(self._clock)

    def _read(self, clock: Clock) -> datetime:
        begin = self._server_clock()
        time = clock().astimezone(UTC)
        end = self._server_clock()
        # An answer that took its time says nothing of the clocks.
        self._difference = min(time - begin, _NONE) + max(time - end, _NONE)
        return time

    def estimate(self) -> datetime:
        """Returns the time without asking the database: the server's, less what it is off."""
        return self._server_clock() + self._difference

    def server_time(self) -> datetime:
        """Returns the time by the server's own clock."""
        return self._server_clock()
