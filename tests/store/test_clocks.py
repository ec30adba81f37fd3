"""Laws of time: no server's clock decides what is deleted, or when something all share is due."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import Column, Connection, select

from amiguard_core.policy import RuleConfig
from amiguard_service.clock_guard import HOLD, MAX_GAP, ClockFault
from amiguard_service.engine import Engine, read_clock
from amiguard_service.lifecycle import Acknowledgement, Closure
from amiguard_service.retention import SweepLimits
from amiguard_service.store.clocks import TOLERANCE, Clocks
from amiguard_service.store.schema import Instant, metadata, to_micros, waiting_records
from amiguard_service.stored import Disposition
from tests.databases import Postgres
from tests.store.clock import ManualClock
from tests.store.test_retention import count, listed, sweep
from tests.store.test_sinks import DOWN, deliver
from tests.store.test_tuning import OURS, create
from tests.store.values import NOON, batch, launch, origin, search

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WRONG = pytest.mark.parametrize(
    "off", [25 * HOUR, -25 * HOUR, 10_000 * DAY, -10_000 * DAY], ids=str
)
PAIR = batch(search(origin("s")), launch(origin("l", 60)))


@contextmanager
def server(url: str, clock: ManualClock, *, off: timedelta) -> Iterator[Engine]:
    """A server whose clock is off."""
    opened = Engine.open(url, clock=clock, server_clock=lambda: clock.now + off)
    yield opened
    opened.close()


def clean(engine: Engine) -> int:
    """Deletes what is due, as a server does; returns how many records that wait went."""
    reading = engine.read_clocks()
    return 0 if reading.fault else sweep(engine, reading.time).waiting_count


def stored_times(engine: Engine) -> list[tuple[str, datetime]]:
    """Returns every time in the database but those of the records themselves, by column."""
    of_records = {"search_time", "launch_time", "first_launch_time", "last_launch_time"}
    columns: list[Column[datetime | None]] = [
        column
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, Instant)
        and column.name not in {*of_records, "last_record_time", "last_search_time"}
    ]

    def work(connection: Connection) -> list[tuple[str, datetime]]:
        found = ((str(of), connection.execute(select(of)).scalars()) for of in columns)
        return [(name, time) for name, times in found for time in times if time is not None]

    return engine._database.read(work)


@WRONG
def test_server_with_wrong_clock_deletes_nothing(
    engine: Engine, database_url: str, clock: ManualClock, off: timedelta
) -> None:
    """What another server took in stays, and so do findings; the reading says what is wrong."""
    engine.commit([PAIR])
    engine.read_clocks()
    clock.now += HOUR
    with server(database_url, clock, off=off) as wrong:
        reading = wrong.read_clocks()
        gone = clean(wrong)

    assert (reading.fault, reading.difference) == (ClockFault.DIFFERS, -off)
    assert (reading.time, reading.server_time) == (clock.now, clock.now + off)
    assert (gone, count(engine, waiting_records), len(listed(engine))) == (0, 2, 1)


@WRONG
def test_what_a_wrong_server_takes_in_waits_its_time(
    engine: Engine, database_url: str, clock: ManualClock, off: timedelta
) -> None:
    """No other server deletes it early or late, and its partner finds it."""
    with server(database_url, clock, off=off) as wrong:
        wrong.commit([batch(search(origin("s")))])
    horizon = RuleConfig().window + RuleConfig().lateness
    engine.read_clocks()
    clock.now += horizon - HOUR
    engine.read_clocks()

    early = clean(engine)
    engine.commit([batch(launch(origin("l", 60)))])
    clock.now += HOUR + SECOND
    late = clean(engine)

    assert (early, late, len(listed(engine))) == (0, 1, 1)


@WRONG
def test_every_time_that_is_stored_is_the_databases(
    database_url: str, clock: ManualClock, off: timedelta
) -> None:
    """What a server with a wrong clock writes is dated like everything else."""
    with server(database_url, clock, off=off) as wrong:
        wrong.page_token_keys()
        wrong.sinks.add(["siem"])
        create(wrong)
        (outcome,) = wrong.commit([PAIR])
        wrong.note(PAIR)
        (finding_id,) = outcome.finding_ids
        deliver(wrong, DOWN)
        wrong.move_finding(finding_id, Acknowledgement("ann"), actor="ann")
        wrong.move_finding(finding_id, Closure(Disposition.TRUE_POSITIVE, "x"), actor="ann")
        wrong.coverage.flush()
        wrong.read_clocks()
        times = stored_times(wrong)

    assert len({name for name, _ in times}) > 10
    assert [(n, t) for n, t in times if not clock.now <= t <= clock.now + HOUR] == []


@WRONG
def test_entries_expire_by_the_databases_clock(
    engine: Engine, database_url: str, clock: ManualClock, off: timedelta
) -> None:
    """A server with a wrong clock neither ends an allowlist entry nor keeps one."""
    create(engine, draft=replace(OURS, expire_time=clock.now + HOUR))
    with server(database_url, clock, off=off) as wrong:
        early, live = wrong.tuning.expire(), wrong.refresh_policy().entries
        clock.now += HOUR + SECOND
        late, left = wrong.tuning.expire(), wrong.refresh_policy().entries

    assert (early, late) == (False, True)
    assert len(live) == len(left) + 1


def test_postgresql_is_asked_for_its_time(postgres: Postgres) -> None:
    """In the transaction itself, so that no difference between two servers counts."""
    url, begin = postgres.clear(), read_clock()
    ahead = Engine.open(url, server_clock=lambda: read_clock() + 25 * HOUR)
    ahead.commit([PAIR])
    reading = ahead.read_clocks()
    statement = select(waiting_records.c.arrival_time).distinct()
    (arrival,) = ahead._database.read(lambda c: c.execute(statement).scalars().all())
    estimate, end = ahead.now(), read_clock()
    ahead.close()

    # PostgreSQL runs on this machine.
    assert to_micros(begin) <= arrival <= to_micros(end)
    assert begin - SECOND <= estimate <= end + SECOND
    assert reading.fault is ClockFault.DIFFERS
    assert abs(reading.difference + 25 * HOUR) < SECOND


def test_clocks_that_agree_to_a_minute_are_right(database_url: str, clock: ManualClock) -> None:
    """A minute is no reason to stop."""
    with server(database_url, clock, off=TOLERANCE) as near:
        at = near.read_clocks()
    with server(database_url, clock, off=TOLERANCE + SECOND) as far:
        past = far.read_clocks()

    assert (at.fault, past.fault) == (None, ClockFault.DIFFERS)


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (10_000 * DAY, ClockFault.JUMPED_AHEAD),
        (MAX_GAP + SECOND, ClockFault.JUMPED_AHEAD),
        (-TOLERANCE - SECOND, ClockFault.WENT_BACK),
        (-10_000 * DAY, ClockFault.WENT_BACK),
    ],
    ids=str,
)
def test_nothing_is_deleted_for_a_day_after_the_time_jumped(
    engine: Engine, other: Engine, clock: ManualClock, step: timedelta, fault: ClockFault
) -> None:
    """On whichever server, also one that starts afterwards; then everything goes on."""
    engine.commit([PAIR])
    engine.read_clocks()
    start = clock.now
    clock.now += step

    faults = []
    for hour in range(25):
        faults.append((engine, other)[hour % 2].read_clocks().fault)
        clock.now += HOUR
    reading = other.read_clocks()

    assert faults == [fault] * 24 + [None]
    assert (reading.fault, reading.jump) == (None, (start, start + step))
    assert HOLD == DAY


def test_clock_that_is_set_right_again_ends_no_hold_early(
    engine: Engine, clock: ManualClock
) -> None:
    """A clock that was years ahead for a while holds nothing up for longer than a day."""
    engine.commit([PAIR])
    right = clock.now
    engine.read_clocks()
    clock.now = right + 10_000 * DAY
    ahead = engine.read_clocks()
    clock.now = right + HOUR
    back = engine.read_clocks()
    clock.now += HOLD - SECOND
    still = engine.read_clocks()
    clock.now += SECOND

    assert [r.fault for r in (ahead, back, still)] == [
        ClockFault.JUMPED_AHEAD,
        ClockFault.WENT_BACK,
        ClockFault.WENT_BACK,
    ]
    assert engine.read_clocks().fault is None


@pytest.mark.parametrize("off", [-25 * HOUR, -2 * HOUR, 2 * HOUR, 10_000 * DAY], ids=str)
def test_moment_of_a_wrong_clock_is_noticed(
    database_url: str, clock: ManualClock, off: timedelta
) -> None:
    """What arrived in it stays for a day at least, although every look finds the clock right."""
    brief = Engine.open(database_url, clock=clock, steady_clock=lambda: steady)
    steady = 0.0
    brief.read_clocks()
    clock.now += off
    brief.commit([batch(search(origin("s")))])
    clock.now += -off
    steady = 1.0
    reading = brief.read_clocks()
    clock.now += HOLD - SECOND
    steady += (HOLD - SECOND).total_seconds()
    gone = clean(brief)
    brief.close()

    assert reading.fault is not None
    assert gone == 0


def test_moment_of_a_wrong_clock_is_noticed_by_other_servers(
    database_url: str, clock: ManualClock
) -> None:
    """The commit that dates records by it says so, in case its server does not live to tell."""
    with server(database_url, clock, off=timedelta(0)) as other:
        brief = Engine.open(database_url, clock=clock, steady_clock=lambda: 0.0)
        brief.read_clocks()
        other.read_clocks()
        clock.now -= 25 * HOUR
        brief.commit([batch(search(origin("s")))])
        brief.close()
        clock.now += 25 * HOUR
        gone = clean(other)

    assert gone == 0


def test_time_that_passes_is_no_jump(clock: ManualClock) -> None:
    """However long a server is silent, or waits for an answer."""
    steady = iter([0.0, 0.0, 7_200.0, 7_200.0, 7_200.0, 7_290.0, 7_300.0, 7_300.0])
    slow = Clocks(asks_database=False, clock=clock, server_clock=None, steady_clock=steady.__next__)
    for passed in (0, 7_200, 30, 60):
        clock.now += timedelta(seconds=passed)
        slow.take(lambda: clock.now)

    assert slow.jump is None


def test_arrivals_from_the_future_tell_of_a_clock_that_went_back(
    database_url: str, clock: ManualClock
) -> None:
    """Also where no server has noted the time before, as after an upgrade."""
    with server(database_url, clock, off=timedelta(0)) as ahead:
        ahead.commit([PAIR])
    clock.now -= HOUR
    with server(database_url, clock, off=timedelta(0)) as later:
        reading = later.read_clocks()

    assert reading.fault is ClockFault.WENT_BACK


def test_stop_of_a_night_holds_nothing_up(engine: Engine, clock: ManualClock) -> None:
    """A server that was off for less than a day deletes as soon as it is back."""
    engine.read_clocks()
    clock.now += MAX_GAP

    assert engine.read_clocks().fault is None


def test_server_that_was_off_for_a_week_deletes_again(engine: Engine, clock: ManualClock) -> None:
    """A day after it came back, so that what waited for it still meets what it has."""
    engine.commit([batch(search(origin("s")))])
    engine.read_clocks()
    clock.now += 7 * DAY
    first = clean(engine)
    engine.commit([batch(launch(origin("l", 60)))])
    clock.now += HOLD
    last = clean(engine)

    assert (first, len(listed(engine)), last) == (0, 1, 1)
    assert SweepLimits().retention.findings > HOLD
    assert clock.now > NOON
