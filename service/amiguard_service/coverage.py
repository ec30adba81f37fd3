"""What came in, by account and region and by forwarder, so that a miss is not a silent one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, Generic, Protocol, Self, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from amiguard_service.store.schema import from_micros, to_micros

LATENESS_BOUNDS: Final = tuple(
    timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 6 * 60, 24 * 60)
)
"""Where the buckets of lateness end, each included; the last bucket has no end."""
CLOCK_TOLERANCE: Final = timedelta(minutes=1)
"""A record may be dated so far ahead of its arrival: clocks that are kept differ by seconds."""

_TOLERANCE_SECONDS = CLOCK_TOLERANCE.total_seconds()
_BOUNDS_SECONDS = tuple(bound.total_seconds() for bound in LATENESS_BOUNDS)
_DAY_MICROS: Final = 24 * 60 * 60 * 1_000_000
_HOURS: Final = range(24)


def day_of(time: datetime) -> int:
    """Returns the day of a time: days since 1970, UTC."""
    return to_micros(time) // _DAY_MICROS


def start_of(day: int) -> datetime:
    """Returns the time at which a day begins."""
    return from_micros(day * _DAY_MICROS)


def latest(one: datetime | None, other: datetime | None) -> datetime | None:
    """Returns the later of two times, either of which may be unknown."""
    if one is None or other is None:
        return one or other
    return max(one, other)


class RegionCount(Struct):
    """What arrived from one account and region, on one day or on several.

    `arrival_hours` has bit h set if anything arrived in hour h of the day. `lateness` counts
    records by the time from event to arrival, in a bucket for each of LATENESS_BOUNDS and one
    beyond. `unidentified_count` counts the searches and launches that name nobody to correlate by,
    `beyond_horizon_count` those that came so late that a record they belong with may have been
    forgotten, `future_count` the records dated after their arrival, which tell no last time.
    """

    last_arrival_time: datetime
    arrival_hours: int = 0
    record_count: int = 0
    search_count: int = 0
    launch_count: int = 0
    unidentified_count: int = 0
    beyond_horizon_count: int = 0
    future_count: int = 0
    lateness: list[int] = field(default_factory=lambda: [0] * (len(LATENESS_BOUNDS) + 1))
    last_record_time: datetime | None = None
    last_search_time: datetime | None = None
    last_launch_time: datetime | None = None

    def count(self, event_time: datetime, *, arrival_time: datetime, records: int = 1) -> bool:
        """Counts records of one time that arrive; says whether they are not of the future."""
        late = (arrival_time - event_time).total_seconds()
        self.last_arrival_time = max(self.last_arrival_time, arrival_time)
        self.arrival_hours |= 1 << arrival_time.hour
        self.record_count += records
        self.lateness[bisect_left(_BOUNDS_SECONDS, late)] += records
        if late < -_TOLERANCE_SECONDS:
            self.future_count += records
            return False
        self.last_record_time = latest(self.last_record_time, event_time)
        return True

    def add(self, other: Self) -> None:
        """Adds what another one counted."""
        self.last_arrival_time = max(self.last_arrival_time, other.last_arrival_time)
        self.arrival_hours |= other.arrival_hours
        self.record_count += other.record_count
        self.search_count += other.search_count
        self.launch_count += other.launch_count
        self.unidentified_count += other.unidentified_count
        self.beyond_horizon_count += other.beyond_horizon_count
        self.future_count += other.future_count
        self.lateness = [a + b for a, b in zip(self.lateness, other.lateness, strict=True)]
        self.last_record_time = latest(self.last_record_time, other.last_record_time)
        self.last_search_time = latest(self.last_search_time, other.last_search_time)
        self.last_launch_time = latest(self.last_launch_time, other.last_launch_time)


class SourceCount(Struct):
    """What one forwarder sent, on one day or on several."""

    last_arrival_time: datetime
    arrival_hours: int = 0
    record_count: int = 0
    rejected_count: int = 0

    def count(self, *, arrival_time: datetime, records: int, rejected: int) -> None:
        """Counts records that were read, and some that were set aside."""
        self.last_arrival_time = max(self.last_arrival_time, arrival_time)
        self.arrival_hours |= 1 << arrival_time.hour
        self.record_count += records
        self.rejected_count += rejected

    def add(self, other: Self) -> None:
        """Adds what another one counted."""
        self.last_arrival_time = max(self.last_arrival_time, other.last_arrival_time)
        self.arrival_hours |= other.arrival_hours
        self.record_count += other.record_count
        self.rejected_count += other.rejected_count


class _Count(Protocol):
    """A count of one day or several."""

    arrival_hours: int

    def add(self, other: Self) -> None:
        """Adds what another one counted."""


CountT = TypeVar("CountT", bound=_Count)


class Days(Struct, Generic[CountT], frozen=True):
    """Counts by day of arrival, oldest first; at least one."""

    counts: tuple[tuple[int, CountT], ...]

    @property
    def first(self) -> datetime:
        """When the oldest day began."""
        return start_of(self.counts[0][0])

    @property
    def total(self) -> CountT:
        """All days together."""
        return _sum(counted for _, counted in self.counts)

    def since(self, day: int) -> CountT | None:
        """A day and all later ones together; None where nothing arrived."""
        kept = [counted for of_day, counted in self.counts if of_day >= day]
        return _sum(kept) if kept else None

    @property
    def hours(self) -> tuple[int, ...]:
        """The hours in which anything arrived, since 1970, rising."""
        return tuple(
            day * len(_HOURS) + hour
            for day, counted in self.counts
            for hour in _HOURS
            if counted.arrival_hours >> hour & 1
        )

    @property
    def longest_pause(self) -> timedelta:
        """The longest time in which nothing arrived, rounded up to what hours can tell."""
        pauses = (hour - before + 1 for before, hour in pairwise(self.hours))
        return timedelta(hours=max(pauses, default=0))


def _sum(counts: Iterable[CountT]) -> CountT:
    first, *others = counts
    total = replace(first)  # type: ignore[type-var]  # every count is a Struct
    for other in others:
        total.add(other)
    return total


class RegionCoverage(Struct, frozen=True):
    """What arrived from one account and region."""

    account_id: str
    region: str
    days: Days[RegionCount]


class SourceCoverage(Struct, frozen=True):
    """What one forwarder sent."""

    source: str
    days: Days[SourceCount]
