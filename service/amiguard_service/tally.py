"""Counting what arrives, on its way into the store.

Searches and launches that name somebody are counted once however often they are sent while they
wait: after the transaction that stores them. Other records are counted by what `Decoded.seen` tells
of them, as often as they are sent. All counts are stored some seconds later, out of the way of
commits, and a server that is killed loses them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Self

from msgspec import Struct

from amiguard_core.events import Launch, Search
from amiguard_core.policy import RuleConfig
from amiguard_service.coverage import RegionCount, SourceCount, day_of, latest
from amiguard_service.intake import Batch

_PLACE = re.compile(r"[0-9]{1,12}/[a-z0-9-]{1,32}", re.ASCII)
"""An account and region as AWS names them: nothing is counted under names that are made up."""

_EARLIEST = datetime(2013, 11, 1, tzinfo=UTC)
"""CloudTrail began in this month: what is older is no time of a record."""


class RegionDay(Struct, frozen=True, order=True):
    """An account, a region, and a day of arrival."""

    account_id: str
    region: str
    day: int


class SourceDay(Struct, frozen=True, order=True):
    """A forwarder, and a day of arrival."""

    source: str
    day: int


class Counted(Struct, frozen=True):
    """Searches and launches that name somebody and were not stored before, and when they came."""

    records: Sequence[Search | Launch]
    arrival_time: datetime
    rule: RuleConfig


class Tally:
    """Counts by account, region and day, and by forwarder and day."""

    def __init__(self) -> None:
        self.regions: dict[RegionDay, RegionCount] = {}
        self.sources: dict[SourceDay, SourceCount] = {}

    def __bool__(self) -> bool:
        return bool(self.regions or self.sources)

    def add(self, other: Tally) -> Self:
        """Adds what another one counted."""
        for region_day, counted in other.regions.items():
            self._region(region_day, counted.last_arrival_time).add(counted)
        for source_day, sent in other.sources.items():
            self._source(source_day, sent.last_arrival_time).add(sent)
        return self

    def add_batch(self, batch: Batch, *, arrival_time: datetime) -> None:
        """Counts a batch, but for its searches and launches that name somebody."""
        decoded, day = batch.decoded, day_of(arrival_time)
        self._source(SourceDay(batch.source, day), arrival_time).count(
            arrival_time=arrival_time,
            records=decoded.record_count,
            rejected=len(decoded.rejections),
        )
        share, rest = divmod(decoded.unseen_count, max(1, len(decoded.seen)))
        for number, seen in enumerate(decoded.seen):
            if _is_place(seen.account_id, seen.region) and seen.event_time >= _EARLIEST:
                where = RegionDay(seen.account_id, seen.region, day)
                self._region(where, arrival_time).count(
                    seen.event_time,
                    arrival_time=arrival_time,
                    records=1 + share + (number < rest),
                )
        records: list[Search | Launch] = [*decoded.searches, *decoded.launches]
        for record in records:
            if not record.origin.is_identified:
                counted = self._count(record, day, arrival_time)
                if counted is not None:
                    counted.unidentified_count += 1

    def add_counted(self, new: Counted) -> None:
        """Counts searches and launches that name somebody."""
        day = day_of(new.arrival_time)
        for record in new.records:
            counted = self._count(record, day, new.arrival_time)
            if counted is not None and is_beyond_horizon(
                record, arrival_time=new.arrival_time, rule=new.rule
            ):
                counted.beyond_horizon_count += 1

    def _count(
        self, record: Search | Launch, day: int, arrival_time: datetime
    ) -> RegionCount | None:
        """Counts a search or launch; returns where, None for a place that is made up."""
        origin = record.origin
        if origin.account_id is None or not _is_place(origin.account_id, origin.region):
            return None
        counted = self._region(RegionDay(origin.account_id, origin.region, day), arrival_time)
        is_past = counted.count(origin.event_time, arrival_time=arrival_time)
        time = origin.event_time if is_past else None
        if isinstance(record, Search):
            counted.search_count += 1
            counted.last_search_time = latest(counted.last_search_time, time)
        else:
            counted.launch_count += 1
            counted.last_launch_time = latest(counted.last_launch_time, time)
        return counted

    def _region(self, where: RegionDay, arrival_time: datetime) -> RegionCount:
        counted = self.regions.get(where)
        if counted is None:
            counted = self.regions[where] = RegionCount(arrival_time)
        return counted

    def _source(self, where: SourceDay, arrival_time: datetime) -> SourceCount:
        sent = self.sources.get(where)
        if sent is None:
            sent = self.sources[where] = SourceCount(arrival_time)
        return sent


def is_beyond_horizon(record: Search | Launch, *, arrival_time: datetime, rule: RuleConfig) -> bool:
    """Says whether a record came so late that one it belongs with may have been forgotten.

    Records wait for the window and the lateness from their arrival. What a search belongs with came
    after it, and is there for all of that. What a launch belongs with may have come a window before
    it, and be gone as soon as the lateness is over.
    """
    horizon = rule.lateness if isinstance(record, Launch) else rule.window + rule.lateness
    return arrival_time - record.origin.event_time > horizon


@lru_cache(maxsize=8_192)
def _is_place(account_id: str, region: str) -> bool:
    return _PLACE.fullmatch(f"{account_id}/{region}") is not None
