"""Retention: what is kept for how long, and the step that deletes some of what is older."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from amiguard_core.policy import MAX_LATENESS, MAX_WINDOW, RuleConfig
from amiguard_service.coverage import day_of
from amiguard_service.policies import Policies
from amiguard_service.store import finding_retention as finding_store
from amiguard_service.store import retention as store
from amiguard_service.store.engines import Database, hold_policy
from amiguard_service.store.tuning import fetch_former_rules

MAX_HORIZON: Final = MAX_WINDOW + MAX_LATENESS
"""The longest that a rule can have records wait."""
REQUEST_RETENTION: Final = timedelta(days=7)
"""How long the outcome of a tuning request is kept for its retries."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept.

    `waiting` is the least that searches and launches are kept for, from their arrival. Beyond it
    they wait for the window and the lateness of the rule: the longest that were in force at any
    time since they arrived. So nobody who tunes the rule can delete what waits.

    `findings` counts from a finding's last change, whatever its state: one that is open, and that
    nobody has touched and nothing was added to for so long, says nothing of the present any more.
    A finding with an accepted risk stays until the acceptance ends. Its occurrences and its history
    go with a finding and not before, so that a finding is always whole.

    `changes` is for the log that watchers follow, `coverage` for the counts of what came in.
    """

    waiting: timedelta = timedelta(days=1)
    rejected: timedelta = timedelta(days=30)
    changes: timedelta = timedelta(days=30)
    findings: timedelta = timedelta(days=400)
    coverage: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class SweepLimits:
    """What one step may delete.

    `max_rows` of a kind in one transaction take about 10 ms, in which SQLite lets nobody else
    write. `max_rejections` are fewer because each may hold 256 KB, `max_findings` because each
    takes a statement for every table that it has rows in.
    """

    retention: Retention = field(default_factory=Retention)
    max_rows: int = 200
    max_rejections: int = 50
    max_findings: int = 20


class Kind(StrEnum):
    """What is deleted."""

    WAITING = "WAITING"
    REJECTED = "REJECTED"
    CHANGES = "CHANGES"
    COVERAGE = "COVERAGE"
    REQUESTS = "REQUESTS"
    FINDINGS = "FINDINGS"


EVERYTHING: Final = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a step deleted; `has_more` says that the next one may find something at once.

    `more_of` says of what kinds.
    """

    waiting_count: int = 0
    rejected_count: int = 0
    change_count: int = 0
    finding_count: int = 0
    coverage_count: int = 0
    request_count: int = 0
    has_more: bool = False
    more_of: frozenset[Kind] = frozenset()

    def __add__(self, later: SweepReport) -> SweepReport:
        """Returns what this step and a later one deleted."""
        sums = {name: count + later.counts[name] for name, count in self.counts.items()}
        return SweepReport(**sums, has_more=later.has_more, more_of=later.more_of)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many of each kind, by the field's name."""
        names = (of.name for of in fields(self) if of.name.endswith("_count"))
        return {name: getattr(self, name) for name in names}


def waiting_horizon(rule: RuleConfig) -> timedelta:
    """Returns how long a search or a launch waits for what it belongs with, from its arrival."""
    return rule.window + rule.lateness


def sweep(
    database: Database,
    policies: Policies,
    *,
    now: datetime,
    limits: SweepLimits,
    kinds: AbstractSet[Kind] = EVERYTHING,
) -> SweepReport:
    """Takes one step: a short transaction for each of these kinds of things that are kept.

    Any number of servers may do so at a time. A step that is stopped leaves nothing half done, and
    the next one goes on from there.
    """
    keep, rows = limits.retention, limits.max_rows
    few = min(limits.max_rejections, rows)

    def waiting(connection: Connection) -> int:
        hold_policy(connection)
        before = now - _horizon(connection, policies, keep, now=now)
        return store.delete_waiting(connection, arrived_before=before, limit=rows)

    def rejections(connection: Connection) -> int:
        surplus = store.delete_surplus_rejections(connection, limit=few)
        return surplus or store.delete_rejections(
            connection, arrived_before=now - keep.rejected, limit=few
        )

    def changes(connection: Connection) -> int:
        return store.delete_changes(connection, made_before=now - keep.changes, limit=rows)

    def coverage(connection: Connection) -> int:
        return store.delete_coverage(connection, before_day=day_of(now - keep.coverage), limit=rows)

    def requests(connection: Connection) -> int:
        return store.delete_requests(connection, made_before=now - REQUEST_RETENTION, limit=rows)

    def take(step: Callable[[Connection], int], most: int) -> tuple[int, bool]:
        count = database.write(step)
        return count, count >= most

    steps: Mapping[Kind, Callable[[], tuple[int, bool]]] = {
        Kind.WAITING: lambda: take(waiting, rows),
        Kind.REJECTED: lambda: take(rejections, few),
        Kind.CHANGES: lambda: take(changes, rows),
        Kind.COVERAGE: lambda: take(coverage, rows),
        Kind.REQUESTS: lambda: take(requests, rows),
        Kind.FINDINGS: lambda: _sweep_findings(database, policies, now=now, limits=limits),
    }
    taken = {kind: step() for kind, step in steps.items() if kind in kinds}
    counts = dict.fromkeys(Kind, 0) | {kind: count for kind, (count, _) in taken.items()}
    more_of = frozenset(kind for kind, (_, has_more) in taken.items() if has_more)
    return SweepReport(
        waiting_count=counts[Kind.WAITING],
        rejected_count=counts[Kind.REJECTED],
        change_count=counts[Kind.CHANGES],
        finding_count=counts[Kind.FINDINGS],
        coverage_count=counts[Kind.COVERAGE],
        request_count=counts[Kind.REQUESTS],
        has_more=bool(more_of),
        more_of=more_of,
    )


def _horizon(
    connection: Connection, policies: Policies, keep: Retention, *, now: datetime
) -> timedelta:
    """Returns how long every record waits that arrived while some rule of late was in force.

    A rule that was replaced counts until the last record that arrived under it has waited as long
    as it said.
    """
    present = waiting_horizon(policies.read(connection, now=now).rule)
    former = fetch_former_rules(connection, ended_since=now - MAX_HORIZON)
    waits = (waiting_horizon(rule) for rule, end in former if end + waiting_horizon(rule) > now)
    return max(keep.waiting, present, *waits)


def _sweep_findings(
    database: Database, policies: Policies, *, now: datetime, limits: SweepLimits
) -> tuple[int, bool]:
    """Deletes some findings; says how many, and whether there may be more."""

    def fetch_due(connection: Connection) -> tuple[datetime, list[finding_store.DueFinding]]:
        # Findings outlast the records they were made of, or these would make them once more.
        horizon = _horizon(connection, policies, limits.retention, now=now)
        before = now - max(limits.retention.findings, horizon)
        return before, finding_store.fetch_due_findings(
            connection, unchanged_since=before, now=now, limit=limits.max_findings
        )

    before, due = database.read(fetch_due)
    if not due:
        return 0, False
    deleted = database.write(
        lambda c: finding_store.delete_findings(
            c, due, unchanged_since=before, now=now, limit=limits.max_rows
        ),
        lanes={(finding.account_id, finding.lane) for finding in due},
    )
    return deleted, True
