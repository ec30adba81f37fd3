"""The counts of what came in: those that wait to be stored, and what those that are stored say."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection

from amiguard_service.clock_guard import read_clocks
from amiguard_service.coverage import RegionCoverage, SourceCoverage
from amiguard_service.diagnosis import (
    Diagnosis,
    are_silent,
    diagnose_clocks,
    diagnose_durability,
    diagnose_region,
    diagnose_retention,
    diagnose_sinks,
    diagnose_sources,
)
from amiguard_service.intake import Batch
from amiguard_service.policies import Policies
from amiguard_service.retention import waiting_horizon
from amiguard_service.store import coverage as store
from amiguard_service.store.durability import fetch_gaps
from amiguard_service.store.engines import Database
from amiguard_service.store.errors import StoreError
from amiguard_service.store.pending import oldest_arrival
from amiguard_service.store.sinks import fetch_progress
from amiguard_service.tally import Counted, Tally

MAX_SOURCES: Final = 100
"""Forwarders that are reported: an organization has a few."""


class CoverageQuery(Struct, frozen=True):
    """Which accounts and regions are asked about: all, or those of one account or region.

    `after` is where the page before ended: None for the first one.
    """

    limit: int
    account_id: str | None = None
    region: str | None = None
    after: tuple[str, str] | None = None

    @property
    def is_of_all(self) -> bool:
        """Whether forwarders are asked about too: on the first page of everything."""
        return self.after is None and self.account_id is None and self.region is None


class CoverageReport(Struct, frozen=True):
    """One page of what came in, and what is wrong with it.

    `sources` are reported on the first page alone. `next_after` is None where nothing follows.
    """

    regions: tuple[RegionCoverage, ...]
    sources: tuple[SourceCoverage, ...]
    diagnoses: tuple[Diagnosis, ...]
    next_after: tuple[str, str] | None


class CoverageBook:
    """Counts batches, and reports all counts. Safe from any thread.

    What is not stored when a server is killed is not counted: to count in the transaction that
    stores a batch would make it a fifth dearer, and its counts are not what a batch is for.
    """

    def __init__(self, database: Database, policies: Policies) -> None:
        self._database = database
        self._policies = policies
        self._lock = Lock()
        self._pending = Tally()

    def note(self, batch: Batch) -> None:
        """Counts a batch, but for its searches and launches; stored by the next `flush`."""
        now = self._database.clocks.estimate()
        with self._lock:
            self._pending.add_batch(batch, arrival_time=now)

    def add(self, new: Counted) -> None:
        """Counts the new searches and launches of batches; stored by the next `flush`."""
        with self._lock:
            self._pending.add_counted(new)

    def flush(self) -> None:
        """Stores what was noted. What cannot be stored stays noted, and the error is raised."""
        with self._lock:
            taken, self._pending = self._pending, Tally()
        if not taken:
            return
        try:
            self._database.write(lambda connection: store.add_tally(connection, taken))
        except BaseException:  # whatever it is, nothing that was noted is forgotten
            with self._lock:
                self._pending.add(taken)
            raise

    def report(self, query: CoverageQuery) -> CoverageReport:
        """Returns what came in and what is wrong with it: what is stored, and was noted here."""
        with suppress(StoreError):
            self.flush()
        return self._database.read(lambda connection: self._report(connection, query))

    def _report(self, connection: Connection, query: CoverageQuery) -> CoverageReport:
        reading = read_clocks(connection, self._database.clocks)
        now = reading.time
        rule = self._policies.read(connection, now=now).rule
        sources = store.fetch_sources(connection, limit=MAX_SOURCES)
        found = store.fetch_regions(
            connection,
            account_id=query.account_id,
            region=query.region,
            after=query.after,
            limit=query.limit + 1,
        )
        regions = found[: query.limit]
        all_silent = are_silent(sources, now=now)
        diagnoses = [
            diagnosis
            for coverage in regions
            for diagnosis in diagnose_region(coverage, now=now, rule=rule, all_silent=all_silent)
        ]
        if query.is_of_all:
            sinks = fetch_progress(connection)
            oldest = oldest_arrival(connection)
            diagnoses = [
                *diagnose_durability(fetch_gaps(connection)),
                *diagnose_clocks(reading),
                *diagnose_retention(oldest, now=now, horizon=waiting_horizon(rule)),
                *diagnose_sources(sources, now=now, knows_places=bool(found)),
                *diagnoses,
                *diagnose_sinks(sinks, now=now),
            ]
        last = regions[-1] if len(found) > query.limit else None
        return CoverageReport(
            regions=tuple(regions),
            sources=tuple(sources) if query.after is None else (),
            diagnoses=tuple(diagnoses),
            next_after=None if last is None else (last.account_id, last.region),
        )
