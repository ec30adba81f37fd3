"""Retention: what is old goes, a little at a time, and nothing that still matters goes with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Connection, Table, func, insert, select

from amiguard_core.decode import Rejection
from amiguard_core.policy import Policy, RuleConfig
from amiguard_service.engine import Engine
from amiguard_service.filters import MatchAll
from amiguard_service.lifecycle import Acknowledgement, Closure
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.retention import Retention, SweepLimits, SweepReport
from amiguard_service.store import finding_retention
from amiguard_service.store import retention as store
from amiguard_service.store.changes import CursorExpiredError
from amiguard_service.store.errors import StoreUnavailableError
from amiguard_service.store.schema import (
    finding_changes,
    findings,
    metadata,
    occurrences,
    region_coverage,
    rejected_records,
    source_coverage,
    waiting_records,
)
from amiguard_service.store.tuning_schema import retired_occurrences, tuning_requests
from amiguard_service.stored import Disposition, StoredFinding
from tests.store.clock import ManualClock
from tests.store.test_laws import put_policy
from tests.store.values import NOON, batch, launch, origin, search

HORIZON = RuleConfig().window + RuleConfig().lateness
INSTANT = timedelta(microseconds=1)
KEEP = Retention()
REJECTION = Rejection(index=0, path="$", message="no", raw=b"{}")


def sweep(engine: Engine, now: datetime, limits: SweepLimits | None = None) -> SweepReport:
    """Takes steps until there is nothing left to delete."""
    total = SweepReport(has_more=True)
    while total.has_more:
        total += engine.sweep(now, limits or SweepLimits())
    return total


def count(engine: Engine, table: Table) -> int:
    """Returns how many rows a table has."""
    statement = select(func.count()).select_from(table)
    return engine._database.read(lambda c: c.execute(statement).scalar_one())


def write(engine: Engine, table: Table, *rows: dict[str, Any]) -> None:
    """Adds rows to a table."""
    engine._database.write(lambda c: c.execute(insert(table), list(rows)))


def listed(engine: Engine) -> list[StoredFinding]:
    """Returns every finding."""
    return engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=1_000)


def find(engine: Engine, name: str = "acme-*", *, launches: int = 1) -> StoredFinding:
    """Commits a search for a name and launches after it, and returns the finding."""
    person = f"arn:aws:iam::111122223333:user/{name}"
    after = [launch(origin(f"l-{name}-{n}", n, principal=person)) for n in range(launches)]
    (outcome,) = engine.commit([batch(search(origin(f"s-{name}", principal=person), name), *after)])
    (finding_id,) = outcome.finding_ids
    found = engine.get_finding(finding_id)
    assert found is not None
    return found


@pytest.mark.category("retention")
class TestWaiting:
    """Searches and launches wait for the window and the lateness, from their arrival."""

    def test_nothing_is_deleted_within_window_and_lateness(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """A record stays up to the last moment in which a partner of it may come in time."""
        engine.commit([batch(search(origin("s")), launch(origin("l", 7_200)))])

        before = sweep(engine, clock.now + HORIZON)
        after = sweep(engine, clock.now + HORIZON + INSTANT)

        assert (before.waiting_count, after.waiting_count) == (0, 2)
        assert count(engine, waiting_records) == 0

    def test_arrival_counts_and_not_the_event(self, engine: Engine, clock: ManualClock) -> None:
        """A record of long ago that came just now waits like any other."""
        clock.now += timedelta(days=300)
        engine.commit([batch(search(origin("s")))])

        report = sweep(engine, clock.now + HORIZON)

        assert report.waiting_count == 0

    def test_policy_of_the_database_counts(
        self, engine: Engine, other: Engine, clock: ManualClock
    ) -> None:
        """A server keeps what a policy needs that another server has put in force."""
        engine.commit([batch(search(origin("s")))])
        longer = RuleConfig(window=timedelta(hours=1), lateness=timedelta(days=20))
        put_policy(other, Policy(rule=longer))
        horizon = longer.window + longer.lateness

        before = sweep(engine, clock.now + horizon)
        after = sweep(engine, clock.now + horizon + INSTANT)

        assert (before.waiting_count, after.waiting_count) == (0, 1)

    @pytest.mark.parametrize("back", [True, False])
    def test_no_rule_shortens_what_waits(
        self, engine: Engine, clock: ManualClock, *, back: bool
    ) -> None:
        """A record waits as long as any rule said that was in force since it arrived."""
        longer = RuleConfig(lateness=timedelta(days=3))
        put_policy(engine, Policy(rule=longer))
        engine.commit([batch(search(origin("s")))])
        arrived = clock.now
        clock.now += timedelta(minutes=1)
        shortest = RuleConfig(window=timedelta(seconds=1), lateness=timedelta(0))
        put_policy(engine, Policy(rule=shortest))
        if back:
            clock.now += timedelta(minutes=1)
            put_policy(engine, Policy(rule=longer))
        end = arrived + longer.window + longer.lateness

        before = sweep(engine, end)
        after = sweep(engine, end + timedelta(minutes=2) + INSTANT)

        assert (before.waiting_count, after.waiting_count) == (0, 1)

    def test_records_wait_for_the_floor_whatever_the_rule(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """Only whoever runs the server sets how long that is."""
        shortest = RuleConfig(window=timedelta(seconds=1), lateness=timedelta(0))
        put_policy(engine, Policy(rule=shortest))
        clock.now += timedelta(days=40)
        engine.commit([batch(search(origin("s")))])
        floor = timedelta(hours=3)
        limits = SweepLimits(retention=Retention(waiting=floor))

        before = engine.sweep(clock.now + floor, limits)
        after = engine.sweep(clock.now + floor + INSTANT, limits)

        assert (before.waiting_count, after.waiting_count) == (0, 1)

    def test_steps_are_bounded_and_add_up(self, engine: Engine, clock: ManualClock) -> None:
        """No step deletes more than it may; the oldest go first, and in the end all are gone."""
        for number in range(7):
            engine.commit([batch(launch(origin(f"l{number}", number)))])
            clock.now += timedelta(seconds=1)
        now, limits = clock.now + HORIZON, SweepLimits(max_rows=3)
        statement = select(func.min(waiting_records.c.event_id))

        seen = []
        for _ in range(4):
            report = engine.sweep(now, limits)
            oldest = engine._database.read(lambda c: c.execute(statement).scalar_one())
            seen.append((report.waiting_count, report.has_more, oldest))

        assert seen == [(3, True, "l3"), (3, True, "l6"), (1, False, None), (0, False, None)]

    def test_servers_sweep_side_by_side(
        self, engine: Engine, other: Engine, clock: ManualClock
    ) -> None:
        """Two servers that sweep at a time delete each record once, and disturb no commit."""
        records = [launch(origin(f"l{number}", number)) for number in range(300)]
        engine.commit([batch(*records)])
        now, limits = clock.now + HORIZON + INSTANT, SweepLimits(max_rows=20)
        clock.now = now
        deleted: list[int] = []

        def work(server: Engine) -> None:
            deleted.append(sweep(server, now, limits).waiting_count)

        threads = [Thread(target=work, args=[server]) for server in (engine, other)]
        for thread in threads:
            thread.start()
        for number in range(20):
            engine.commit([batch(launch(origin(f"new{number}", number)))])
        for thread in threads:
            thread.join(timeout=60)

        assert sum(deleted) + sweep(engine, now).waiting_count == len(records)
        assert count(engine, waiting_records) == 20


@pytest.mark.category("retention")
class TestRejections:
    """What was set aside is kept for a while, and within bounds."""

    def test_rejections_go_by_their_arrival(self, engine: Engine, clock: ManualClock) -> None:
        """A rejection is kept for its time, to the moment."""
        engine.commit([batch(rejections=(REJECTION, REJECTION))])

        before = sweep(engine, clock.now + KEEP.rejected)
        after = sweep(engine, clock.now + KEEP.rejected + INSTANT)

        assert (before.rejected_count, after.rejected_count) == (0, 2)

    def test_the_newest_are_kept_of_too_many(
        self, engine: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many are sent, those kept are bounded, and the oldest make room."""
        monkeypatch.setattr(store, "MAX_REJECTIONS", 5)
        rejections = [replace(REJECTION, index=number) for number in range(12)]
        engine.commit([batch(rejections=tuple(rejections))])

        sweep(engine, clock.now, SweepLimits(max_rejections=3))

        statement = select(rejected_records.c.position).order_by(rejected_records.c.position)
        kept = engine._database.read(lambda c: c.execute(statement).scalars().all())
        assert kept == [7, 8, 9, 10, 11]


@pytest.mark.category("retention")
class TestChanges:
    """The change log is cut from behind, and says how far."""

    def test_cut_log_refuses_cursors_before_the_cut(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """A watcher that is too far behind is told so; one just behind the cut misses nothing."""
        find(engine, "one")
        cut = engine.last_cursor()
        made = clock.now
        clock.now += timedelta(days=1)
        find(engine, "two")

        report = sweep(engine, made + KEEP.changes + INSTANT)

        assert report.change_count == cut
        with pytest.raises(CursorExpiredError) as caught:
            engine.changes_after(cut - 1, MatchAll(), limit=10)
        assert made < caught.value.oldest_time <= clock.now
        page = engine.changes_after(cut, MatchAll(), limit=10)
        assert [changed.finding.search_names for changed in page.changed] == [("two",)]

    def test_log_that_is_cut_to_the_end_keeps_its_place(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """Where nothing has changed for long, cursors at the end still hold."""
        find(engine, "one")
        end = engine.last_cursor()

        sweep(engine, clock.now + KEEP.changes + INSTANT, SweepLimits(max_rows=1))

        assert count(engine, finding_changes) == 0
        assert engine.last_cursor() == end
        assert engine.changes_after(end, MatchAll(), limit=1).cursor == end
        assert find(engine, "two").search_names == ("two",)
        assert engine.last_cursor() > end


@pytest.mark.category("retention")
class TestFindings:
    """Findings go as a whole, some time after their last change."""

    @pytest.mark.parametrize("state", ["open", "acknowledged", "closed"])
    def test_finding_goes_whole_whatever_its_state(
        self, engine: Engine, clock: ManualClock, state: str
    ) -> None:
        """Nothing that hangs on a finding outlives it, but for the log of its changes."""
        finding = find(engine, launches=3)
        if state == "acknowledged":
            engine.move_finding(finding.finding_id, Acknowledgement("ann"), actor="ann", etag=None)
        if state == "closed":
            done = Closure(Disposition.TRUE_POSITIVE, "mended")
            engine.move_finding(finding.finding_id, done, actor="ann", etag=None)
        stays = KEEP.findings
        keep_log = SweepLimits(retention=replace(KEEP, changes=timedelta(days=900)))

        before = sweep(engine, clock.now + stays, keep_log)
        after = sweep(engine, clock.now + stays + INSTANT, keep_log)

        assert (before.finding_count, after.finding_count) == (0, 1)
        left = [
            table.name
            for table in metadata.tables.values()
            if "finding_id" in table.c and count(engine, table)
        ]
        assert left == ["finding_changes"]

    def test_last_change_counts(self, engine: Engine, clock: ManualClock) -> None:
        """A finding that anybody, or a record, has changed since stays with all it has."""
        first, second, third = (find(engine, name) for name in ("one", "two", "three"))
        clock.now += timedelta(days=399)
        engine.move_finding(first.finding_id, Acknowledgement("ann"), actor="ann", etag=None)
        find(engine, "two", launches=2)

        sweep(engine, clock.now + timedelta(days=2))

        assert {f.finding_id for f in listed(engine)} == {first.finding_id, second.finding_id}
        assert third.finding_id not in {f.finding_id for f in listed(engine)}
        (grown,) = (f for f in listed(engine) if f.finding_id == second.finding_id)
        assert grown.occurrence_count == len(grown.recent_occurrences) == 2

    def test_accepted_risk_stays_as_long_as_it_is_accepted(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """What would come back as a new finding, though its risk is accepted, is not deleted."""
        finding = find(engine)
        until = clock.now + timedelta(days=200)
        accepted = Closure(Disposition.RISK_ACCEPTED, "known", accept_until_time=until)
        engine.move_finding(finding.finding_id, accepted, actor="ann", etag=None)
        limits = SweepLimits(retention=replace(KEEP, findings=timedelta(days=100)))

        before = sweep(engine, until, limits)
        after = sweep(engine, until + INSTANT, limits)

        assert (before.finding_count, after.finding_count) == (0, 1)

    def test_finding_outlasts_its_records(self, engine: Engine, clock: ManualClock) -> None:
        """However short findings are to be kept, none goes while its records still wait."""
        put_policy(engine, Policy(rule=RuleConfig(lateness=timedelta(days=30))))
        find(engine)
        limits = SweepLimits(retention=replace(KEEP, findings=timedelta(days=1)))
        wait = timedelta(days=30) + RuleConfig().window

        before = sweep(engine, clock.now + wait, limits)
        after = sweep(engine, clock.now + wait + INSTANT, limits)

        assert (before.finding_count, after.finding_count) == (0, 1)
        assert after.waiting_count == 2

    def test_large_finding_goes_step_by_step(self, engine: Engine, clock: ManualClock) -> None:
        """A finding of many occurrences loses the oldest first, and counts what it has left."""
        find(engine, launches=10)
        now, limits = clock.now + KEEP.findings + INSTANT, SweepLimits(max_rows=4)

        seen = []
        while engine.sweep(now, limits).has_more:
            seen += [
                (
                    f.occurrence_count,
                    [o.launch_event_id for o in f.recent_occurrences],
                    f.first_launch_time,
                    f.last_launch_time,
                )
                for f in listed(engine)
            ]

        left = [[f"l-acme-*-{n}" for n in range(9, first - 1, -1)] for first in (4, 8)]
        assert seen == [
            (6, left[0], NOON + timedelta(seconds=4), NOON + timedelta(seconds=9)),
            (2, left[1], NOON + timedelta(seconds=8), NOON + timedelta(seconds=9)),
        ]
        assert count(engine, occurrences) == count(engine, findings) == 0

    def test_shortened_finding_that_comes_back_is_sound(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """A launch that comes while a large finding is on its way out finds it countable."""
        finding = find(engine, launches=10)
        clock.now += KEEP.findings + INSTANT
        engine.sweep(clock.now, SweepLimits(max_rows=4))

        find(engine, launches=12)
        sweep(engine, clock.now)

        back = engine.get_finding(finding.finding_id)
        assert back is not None
        assert back.occurrence_count == len(back.recent_occurrences)
        assert back.first_launch_time == back.recent_occurrences[-1].launch_time

    def test_what_changed_meanwhile_is_kept(self, engine: Engine, clock: ManualClock) -> None:
        """A finding that changes between being chosen and being deleted stays."""
        finding = find(engine)
        then = clock.now + INSTANT
        clock.now += timedelta(days=500)

        def fetch(connection: Connection) -> list[finding_retention.DueFinding]:
            return finding_retention.fetch_due_findings(
                connection, unchanged_since=then, now=clock.now, limit=10
            )

        due = engine._database.read(fetch)
        engine.move_finding(finding.finding_id, Acknowledgement("ann"), actor="ann", etag=None)
        deleted = engine._database.write(
            lambda c: finding_retention.delete_findings(
                c, due, unchanged_since=then, now=clock.now, limit=10
            )
        )

        assert (len(due), deleted) == (1, 0)
        assert len(listed(engine)) == 1

    def test_retired_occurrences_go_before_their_finding(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """What a policy took out of a finding goes with it, in as many steps as it takes."""
        finding = find(engine)
        retired = {
            "account_id": finding.key.account_id,
            "finding_id": finding.finding_id,
            "lane": "x",
            "search": b"",
            "launch": b"",
            "retire_time": clock.now,
        }
        rows = [retired | {"launch_event_id": f"r{number}"} for number in range(10)]
        write(engine, retired_occurrences, *rows)
        now, limits = clock.now + KEEP.findings + INSTANT, SweepLimits(max_rows=4)

        seen = []
        for _ in range(4):
            engine.sweep(now, limits)
            seen.append((count(engine, retired_occurrences), count(engine, findings)))

        assert seen == [(6, 1), (2, 1), (0, 0), (0, 0)]


@pytest.mark.category("retention")
def test_counts_of_days_and_outcomes_of_requests_go(engine: Engine, clock: ManualClock) -> None:
    """The small tables are swept as well."""
    engine.commit([batch(search(origin("s")))])
    engine.coverage.flush()
    outcome = {"request_id": "r", "digest": "d", "entry_id": "e", "document": b""}
    write(engine, tuning_requests, outcome | {"create_time": clock.now})

    before = sweep(engine, clock.now)
    after = sweep(engine, clock.now + KEEP.coverage + timedelta(days=1))

    assert (before.coverage_count, before.request_count) == (0, 0)
    assert (after.coverage_count, after.request_count) == (2, 1)
    assert count(engine, region_coverage) == count(engine, source_coverage) == 0


class _Failing:
    """Makes the transactions of a database fail from a number on, half done."""

    def __init__(self, engine: Engine, *, after: int) -> None:
        self._write = engine._database.write
        self._left = after

    def __call__(self, work: Any, **more: Any) -> Any:
        self._left -= 1

        def fail(connection: Connection) -> Any:
            work(connection)
            raise StoreUnavailableError("the database is unavailable")

        return self._write(fail if self._left < 0 else work, **more)


@pytest.mark.category("retention")
@pytest.mark.parametrize("after", range(8))
def test_interrupted_sweep_goes_on_later(
    engine: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A step that fails in any of its transactions leaves nothing that the next cannot finish."""
    find(engine, "one", launches=5)
    find(engine, "two")
    engine.commit([batch(rejections=(REJECTION,) * 3)])
    now, limits = clock.now + timedelta(days=500), SweepLimits(max_rows=2, max_rejections=2)

    with monkeypatch.context() as broken:
        broken.setattr(engine._database, "write", _Failing(engine, after=after))
        with pytest.raises(StoreUnavailableError):
            sweep(engine, now, limits)
    sweep(engine, now, limits)

    left = {name: count(engine, table) for name, table in metadata.tables.items()}
    assert {name for name, rows in left.items() if rows} == {"retention_marks"}
