"""Whether the clocks can be trusted to delete by: what is deleted by a wrong clock is lost.

Two things tell of a wrong clock. This server's may differ from that of the database. And the time
of the database may have gone on in a way that time does not: back, or by more than a day since any
server last looked, which also happens where none ran. A server notices any jump of more than a
minute between two of its own readings, each commit has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from amiguard_service.store import marks
from amiguard_service.store.clocks import TOLERANCE, Clocks, Jump
from amiguard_service.store.pending import newest_arrival

MAX_GAP: Final = timedelta(days=1)
"""A stop for maintenance, or a night, is shorter."""
HOLD: Final = timedelta(days=1)
"""How long nothing is deleted after the time jumped: a person has a day to see that the clock is
right, and forwarders one to bring what waited for a server that was off."""
_NOTE_INTERVAL: Final = timedelta(seconds=20)
"""How often the time is noted at most, where steps of a sweep follow each other."""

_SEEN: Final = "clock_seen"
_JUMP_START: Final = "clock_jump_start"
_JUMP_END: Final = "clock_jump_end"


class ClockFault(StrEnum):
    """Why nothing is deleted."""

    DIFFERS = "DIFFERS"
    WENT_BACK = "WENT_BACK"
    JUMPED_AHEAD = "JUMPED_AHEAD"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What the clocks say: `time` is the database's, which everything is dated by.

    `jump` is from which time to which the time last jumped, None where it never did.
    """

    time: datetime
    server_time: datetime
    difference: timedelta
    jump: Jump | None
    is_news: bool = False

    @property
    def fault(self) -> ClockFault | None:
        """Why this server should delete nothing now, None where it may."""
        if abs(self.difference) > TOLERANCE:
            return ClockFault.DIFFERS
        if self.jump is None or self.time >= self.held_until(self.jump):
            return None
        went_back = self.jump.end < self.jump.start
        return ClockFault.WENT_BACK if went_back else ClockFault.JUMPED_AHEAD

    def differs_from(self, other: ClockReading) -> bool:
        """Says whether what is wrong is another thing than it was, or by more than a minute."""
        if self.fault is not other.fault:
            return True
        if self.fault is ClockFault.DIFFERS:
            return abs(self.difference - other.difference) > TOLERANCE
        return self.jump != other.jump

    @staticmethod
    def held_until(jump: Jump) -> datetime:
        """Returns until when nothing is deleted after a jump."""
        return jump.end + HOLD


def read_clocks(connection: Connection, clocks: Clocks) -> ClockReading:
    """Returns what the clocks say; `is_news` asks for `note_time`, in a transaction that writes."""
    # The notes first: time that was noted is never later than time that is read afterwards.
    noted = marks.fetch_times(connection, (_SEEN, _JUMP_START, _JUMP_END))
    seen = noted.get(_SEEN) or newest_arrival(connection)
    now = clocks.now(connection)
    jump = None
    if _JUMP_START in noted and _JUMP_END in noted:
        jump = Jump(noted[_JUMP_START], noted[_JUMP_END])
    if clocks.jump is not None:
        jump = clocks.jump
    elif seen is not None and not seen - TOLERANCE <= now <= seen + MAX_GAP:
        jump = Jump(seen, now)
    return ClockReading(
        time=now,
        server_time=clocks.server_time(),
        difference=clocks.difference,
        jump=jump,
        is_news=clocks.jump is not None
        or _SEEN not in noted
        or abs(now - noted[_SEEN]) > _NOTE_INTERVAL,
    )


def note_time(connection: Connection, clocks: Clocks) -> ClockReading:
    """Returns what the clocks say, and notes it for the next look, of whichever server.

    Once the transaction is committed, `Clocks.forget_jump` may forget the reading's jump.
    """
    marks.lock(connection, _SEEN)
    reading = read_clocks(connection, clocks)
    marks.put_time(connection, _SEEN, reading.time)
    if reading.jump is not None:
        marks.put_time(connection, _JUMP_START, reading.jump.start)
        marks.put_time(connection, _JUMP_END, reading.jump.end)
    return reading
