"""What time it is for all servers of a database, and how far this server's clock is off.

Whatever servers share is dated, deleted and due by one clock: that of the database. PostgreSQL is
asked for its time in the transaction that needs it. A SQLite file has one server, whose clock it
is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final, NamedTuple

from sqlalchemy import Connection, DateTime, func, select

Clock = Callable[[], datetime]
SteadyClock = Callable[[], float]
"""Seconds since some moment; nobody sets it."""

TOLERANCE: Final = timedelta(minutes=1)
"""Clocks that are kept differ by less, and are set back by less."""

CLOCK_TIME: Final = func.clock_timestamp(type_=DateTime(timezone=True))
"""PostgreSQL's time at this very moment: that of the transaction's start may be long past for who
waited for a lock."""
_ASK: Final = select(CLOCK_TIME)
_NONE: Final = timedelta(0)


def read_clock() -> datetime:
    """Returns the present time by this server's clock, aware, in UTC."""
    return datetime.now(UTC)


class Jump(NamedTuple):
    """From which time to which a clock was set."""

    start: datetime
    end: datetime


class _Seen(NamedTuple):
    """A time of the database, read between two moments of the steady clock."""

    time: datetime
    begin: float
    end: float


class Clocks:
    """The clock of a database and that of this server. Safe to use from any thread."""

    def __init__(
        self,
        *,
        asks_database: bool,
        clock: Clock | None,
        server_clock: Clock | None,
        steady_clock: SteadyClock | None = None,
    ) -> None:
        """Takes clocks for tests: `clock` stands in for the database's, and for the other as well.

        Without them both are what they are. Where only `clock` is given no jump is noticed.
        """
        self._server_clock = server_clock or clock or read_clock
        self._clock = clock or (None if asks_database else self._server_clock)
        self._difference = _NONE
        self._steady_clock = steady_clock or (monotonic if clock is None else None)
        self._seen: _Seen | None = None
        self._jump: Jump | None = None

    @property
    def jump(self) -> Jump | None:
        """The last jump of the database's time between two readings that nobody stored yet.

        A clock may be wrong for a moment only. What arrived in it is dated wrongly, and nobody
        who looks afterwards can tell.
        """
        return self._jump

    def forget_jump(self, stored: Jump | None) -> None:
        """Forgets a jump once it is stored, unless there was another one since."""
        if self._jump == stored:
            self._jump = None

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
        steady_begin = self._steady_clock() if self._steady_clock else 0.0
        begin = self._server_clock()
        time = clock().astimezone(UTC)
        end = self._server_clock()
        if self._steady_clock:
            self._follow(_Seen(time, steady_begin, self._steady_clock()))
        # An answer that took its time says nothing of the clocks.
        self._difference = min(time - begin, _NONE) + max(time - end, _NONE)
        return time

    def _follow(self, seen: _Seen) -> None:
        """Notices a time that is not as much later than the last one as it should be."""
        last, self._seen = self._seen, seen
        if last is None:
            return
        passed = seen.time - last.time
        at_least = timedelta(seconds=seen.begin - last.end)
        at_most = timedelta(seconds=seen.end - last.begin)
        if not at_least - TOLERANCE <= passed <= at_most + TOLERANCE:
            self._jump = Jump(last.time, seen.time)

    def estimate(self) -> datetime:
        """Returns the time without asking the database: the server's, less what it is off."""
        return self._server_clock() + self._difference

    def server_time(self) -> datetime:
        """Returns the time by the server's own clock."""
        return self._server_clock()
