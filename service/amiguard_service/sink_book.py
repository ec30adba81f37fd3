"""The deliveries of sinks as the database has them: what a server claims, and what it settles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from amiguard_service.delivery import Claim, Outcome, next_attempt, next_resumption
from amiguard_service.sinks import DeadLetter, Sink, SinkProgress
from amiguard_service.store import sinks as store
from amiguard_service.store.changes import fetch_matching
from amiguard_service.store.engines import Database
from amiguard_service.stored import StoredFinding

PAGE_CHANGES: Final = 500
"""Changes taken up in one transaction: about 5 ms, in which SQLite lets nobody else write."""
LEASE_MARGIN: Final = timedelta(seconds=30)
"""What a server has beyond the time of an attempt to write down what came of it. A server that died
is waited for this long."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a server is to send next, and what it has learnt on the way.

    `gone_count` counts deliveries that were dropped, because their finding is deleted or does not
    fulfil the condition any more.
    """

    claims: tuple[tuple[Claim, StoredFinding], ...] = ()
    has_gap: bool = False
    gone_count: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """What settling a turn changed: `was_failing` before, `is_failing` after."""

    was_failing: bool
    is_failing: bool
    dead_letter_count: int


class SinkBook:
    """Keeps what is to be delivered. Safe to use from any thread and by any number of servers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, sink_ids: Iterable[str]) -> None:
        """Makes sinks known; those that are new are sent what changes from now on."""
        ids, now = list(sink_ids), self._database.now
        if ids:
            self._database.write(lambda c: store.add_sinks(c, ids, now=now(c)))

    def begin_turn(self, sink: Sink, *, max_claims: int) -> Turn:
        """Takes up what has changed, and claims deliveries that are due, one where the sink fails.

        The claims are this server's for the time of an attempt; whatever is not settled by then is
        anybody's again. A sink without work costs one read.
        """
        now_of, sink_id = self._database.now, sink.sink_id
        if not self._database.read(lambda c: store.has_work(c, sink_id, now=now_of(c))):
            return Turn()

        def work(connection: Connection) -> tuple[list[Claim], bool]:
            row = store.lock_sink(connection, sink_id)
            now = now_of(connection)
            taken = store.take_up(connection, row, sink.condition, now=now, limit=PAGE_CHANGES)
            if row.resume_time is not None and row.resume_time > now:
                return [], taken.has_gap
            until = now + sink.timeout + LEASE_MARGIN
            limit = 1 if row.failure_count else max_claims
            claims = store.claim(connection, sink_id, now=now, until=until, limit=limit)
            return claims, taken.has_gap

        claims, has_gap = self._database.write(work)
        if not claims:
            return Turn(has_gap=has_gap)
        ids = [claim.finding_id for claim in claims]
        found = self._database.read(lambda c: fetch_matching(c, sink.condition, ids))
        by_id = {finding.finding_id: finding for finding in found}
        known = tuple((c, by_id[c.finding_id]) for c in claims if c.finding_id in by_id)
        gone_count = self._drop(sink, [c for c in claims if c.finding_id not in by_id])
        return Turn(known, has_gap=has_gap, gone_count=gone_count)

    def settle(
        self, sink: Sink, outcomes: Sequence[tuple[Claim, Outcome]], *, draw: Callable[[], float]
    ) -> Settled:
        """Writes down what came of claims. A delivery among them says that the sink is well."""
        draws = [draw() for _ in outcomes]
        delivered_count = sum(outcome.is_delivered for _, outcome in outcomes)
        failures = [outcome for _, outcome in outcomes if not outcome.is_delivered]
        outages = [outcome for outcome in failures if not outcome.is_refusal]
        is_failing = bool(outages) and not delivered_count

        def work(connection: Connection) -> tuple[bool, int]:
            row = store.lock_sink(connection, sink.sink_id)
            now = self._database.now(connection)
            settlements = [
                store.Settlement(
                    claim,
                    outcome.is_delivered,
                    next_attempt(claim, outcome, limits=sink.limits, now=now, draw=drawn),
                    outcome.answer,
                )
                for (claim, outcome), drawn in zip(outcomes, draws, strict=True)
            ]
            dead = sum(not s.is_done and s.next_attempt_time is None for s in settlements)
            store.settle(connection, sink.sink_id, settlements, now=now)
            failure_count = row.failure_count + 1 if is_failing else 0
            resume_time = None
            if is_failing:
                resume_time = next_resumption(failure_count, outages[-1], now=now, draw=draw())
            store.update_sink(
                connection,
                row,
                now=now,
                delivered_count=delivered_count,
                failure_count=failure_count,
                resume_time=resume_time,
                error=failures[-1].answer if failures else None,
            )
            return bool(row.failure_count), dead

        was_failing, dead = self._database.write(work)
        return Settled(was_failing, is_failing, dead)

    def progress(self) -> list[SinkProgress]:
        """Returns how far every sink has come that ever was, by id."""
        return self._database.read(store.fetch_progress)

    def list_dead_letters(self, sink_id: str, *, after: str, limit: int) -> list[DeadLetter]:
        """Returns dead letters of a sink by finding id, from just after one."""
        return self._database.read(
            lambda c: store.fetch_dead_letters(c, sink_id, after=after, limit=limit)
        )

    def retry(self, sink_id: str, finding_id: str | None = None) -> int:
        """Makes dead letters due at once, of a sink or of one finding; returns how many."""

        def work(connection: Connection) -> int:
            store.lock_sink(connection, sink_id)
            now = self._database.now(connection)
            return store.revive(connection, sink_id, finding_id, now=now)

        return self._database.write(work)

    def _drop(self, sink: Sink, claims: Iterable[Claim]) -> int:
        """Ends deliveries that there is nothing to send of any more; returns how many."""
        gone = [store.Settlement(claim, is_done=True) for claim in claims]

        def work(connection: Connection) -> None:
            store.lock_sink(connection, sink.sink_id)
            now = self._database.now(connection)
            store.settle(connection, sink.sink_id, gone, now=now)

        if gone:
            self._database.write(work)
        return len(gone)
