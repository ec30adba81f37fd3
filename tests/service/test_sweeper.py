"""Laws of the tasks that keep house."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

import pytest
from structlog.testing import capture_logs

from amiguard_service import sweeper
from amiguard_service.clock_guard import ClockReading
from amiguard_service.retention import EVERYTHING, Kind, SweepLimits, SweepReport
from amiguard_service.store.clocks import Jump
from amiguard_service.store.errors import StatementTimeoutError, StoreUnavailableError
from amiguard_service.sweeper import (
    FLUSH_INTERVAL,
    FULL_STEPS,
    MIN_REST,
    MIN_REST_RATIO,
    REST_RATIO,
    SWEEP_INTERVAL,
    Sweeper,
)
from tests.store.values import NOON

LIMITS = SweepLimits(max_rows=7)
TIMEOUT = 30
RIGHT = ClockReading(time=NOON, server_time=NOON, difference=timedelta(0), jump=None)


@pytest.fixture
def executor() -> Iterator[Executor]:
    """Threads for the steps."""
    with ThreadPoolExecutor(2) as threads:
        yield threads


@dataclass
class House:
    """Something to keep in order, which says what was done to it and for how long there was rest.

    It has rest at once, until the sweeps it expects are done.
    """

    sweeps: list[SweepReport | Exception]
    swept: list[tuple[datetime, SweepLimits]] = field(default_factory=list)
    flushes: int = 0
    rests: list[float] = field(default_factory=list)
    flush_error: Exception | None = None
    is_busy: bool = True
    kinds: list[frozenset[Kind]] = field(default_factory=list)
    readings: list[ClockReading] = field(default_factory=list)
    """What the clocks say at each look; they are right where it is empty."""
    looks: int = 0

    def read_clocks(self) -> ClockReading:
        """Reads the clocks."""
        self.looks += 1
        return self.readings[self.looks - 1] if self.readings else RIGHT

    def sweep(self, now: datetime, limits: SweepLimits, kinds: frozenset[Kind]) -> SweepReport:
        """Takes a step."""
        self.swept.append((now, limits))
        self.kinds.append(kinds)
        report = self.sweeps[len(self.swept) - 1]
        if isinstance(report, Exception):
            raise report
        return report

    def flush(self) -> None:
        """Stores counts."""
        self.flushes += 1
        if self.flush_error is not None:
            raise self.flush_error

    def run(self, executor: Executor) -> None:
        """Keeps house until every step is taken, and the counts are stored once more."""

        async def work() -> None:
            done = asyncio.Event()

            async def sleep(seconds: float) -> None:
                is_flush = seconds < FLUSH_INTERVAL.total_seconds() * 2 and seconds > 1
                if not is_flush:
                    self.rests.append(seconds)
                if len(self.swept) == len(self.sweeps) and self.looks >= len(self.readings):
                    done.set()
                    await asyncio.Event().wait()
                await asyncio.sleep(0)

            sweeper = Sweeper(
                executor,
                sweep=self.sweep,
                flush=self.flush,
                read_clocks=self.read_clocks,
                is_busy=lambda: self.is_busy,
                limits=LIMITS,
                sleep=sleep,
            )
            sweeper.start()
            await asyncio.wait_for(done.wait(), TIMEOUT)
            await sweeper.close()

        asyncio.run(work())


def test_backlog_is_worked_off_with_short_rests(executor: Executor) -> None:
    """While there is more to delete, steps follow each other; then the usual time passes."""
    busy = SweepReport(waiting_count=7, has_more=True)
    house = House([busy, busy, SweepReport(waiting_count=1)])

    with capture_logs() as logs:
        house.run(executor)

    first, *rests, last = house.rests
    low, high = SWEEP_INTERVAL.total_seconds() * 0.5, SWEEP_INTERVAL.total_seconds() * 1.5
    assert [low <= rest <= high for rest in (first, last)] == [True, True]
    assert all(MIN_REST.total_seconds() <= rest < low for rest in rests)
    assert house.swept == [(NOON, LIMITS)] * 3
    assert [(e["event"], e["waiting_count"]) for e in logs] == [("sweep.done", 15)]


def test_nobody_is_waited_for_while_nobody_commits(executor: Executor) -> None:
    """Steps of a backlog follow each other without rest."""
    busy = SweepReport(waiting_count=7, has_more=True)
    house = House([busy, busy, SweepReport()], is_busy=False)

    house.run(executor)

    _, *rests, _ = house.rests
    assert rests == [0, 0]


def test_backlog_that_lasts_gets_a_greater_share(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a fifth of the time to two thirds, so that what is deleted keeps up with what comes."""
    # As each look at the time tells, a step takes a tenth of a second.
    tenths = count()
    monkeypatch.setattr(sweeper, "perf_counter", lambda: next(tenths) / 10)
    busy = SweepReport(waiting_count=7, has_more=True)
    house = House([*[busy] * 1_500, SweepReport()])

    house.run(executor)

    _, *rests, _ = house.rests
    assert rests[0] == pytest.approx(REST_RATIO / 10, rel=0.05)
    assert len(rests) == 1_500
    assert rests[-1] == pytest.approx(MIN_REST_RATIO / 10)
    assert max(rests) == rests[0]


def test_what_has_no_more_is_not_looked_at_in_each_step(executor: Executor) -> None:
    """Only what had more is, until it has none, and now and then everything."""
    waiting = frozenset({Kind.WAITING})
    more = SweepReport(waiting_count=7, has_more=True, more_of=waiting)
    house = House([*[more] * (FULL_STEPS + 2), SweepReport(), SweepReport()])

    house.run(executor)

    narrow = [waiting] * (FULL_STEPS - 2)
    assert house.kinds == [EVERYTHING, *narrow, EVERYTHING, *[waiting] * 3, EVERYTHING]


def skewed(off: timedelta) -> ClockReading:
    """Makes what is read where the server's clock is off."""
    return ClockReading(time=NOON, server_time=NOON + off, difference=-off, jump=None)


def test_nothing_is_deleted_while_the_clocks_are_wrong(executor: Executor) -> None:
    """The log says so once, again when it changes, and when they are right again."""
    hour, day = timedelta(hours=1), timedelta(days=1)
    jumped = ClockReading(NOON, NOON, timedelta(0), jump=Jump(NOON - 7 * day, NOON - hour))
    wrong = [skewed(hour), skewed(hour + timedelta(seconds=9)), skewed(-hour), jumped, jumped]
    house = House([SweepReport()], readings=[*wrong, RIGHT])

    with capture_logs() as logs:
        house.run(executor)

    assert house.swept == [(NOON, LIMITS)]
    assert [(entry["event"], entry.get("fault")) for entry in logs] == [
        ("clock.wrong", "DIFFERS"),
        ("clock.wrong", "DIFFERS"),
        ("clock.wrong", "JUMPED_AHEAD"),
        ("clock.right", None),
    ]
    first, _, jump, _ = logs
    assert first["server_time"] == (NOON + hour).isoformat()
    assert first["database_time"] == NOON.isoformat()
    assert jump["nothing_deleted_until"] == (NOON + 23 * hour).isoformat()


def test_rests_are_drawn_from_numbers_of_its_own(executor: Executor) -> None:
    """Who shares the process may seed its random numbers, and finds them where they were."""
    before = random.getstate()

    House([SweepReport(), SweepReport()]).run(executor)

    assert random.getstate() == before


def test_sweep_that_deletes_nothing_is_not_logged(executor: Executor) -> None:
    """The log has a line for what happened, and none for what did not."""
    with capture_logs() as logs:
        House([SweepReport(), SweepReport()]).run(executor)

    assert logs == []


@pytest.mark.parametrize(
    ("error", "events"),
    [
        (StoreUnavailableError("lost"), []),
        (StatementTimeoutError("canceling statement"), ["task.timed_out"]),
        (RuntimeError("a bug"), ["task.failed"]),
    ],
)
def test_step_that_fails_is_tried_again(
    executor: Executor, error: Exception, events: list[str]
) -> None:
    """A lost database is waited for in silence, anything else is logged; both are tried again."""
    house = House([error, SweepReport()])

    with capture_logs() as logs:
        house.run(executor)

    assert len(house.swept) == 2
    assert [entry["event"] for entry in logs] == events


@pytest.mark.parametrize("error", [None, StoreUnavailableError("lost")])
def test_counts_are_stored_at_the_end(executor: Executor, error: Exception | None) -> None:
    """An orderly end stores what was counted, or at least tries to."""
    house = House([SweepReport()], flush_error=error)

    house.run(executor)

    assert house.flushes >= 1


def test_end_waits_for_the_step_under_way(executor: Executor) -> None:
    """When the tasks have ended nothing of them is left running in a thread."""
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        loop = asyncio.get_running_loop()

        def sweep(_now: datetime, _limits: SweepLimits, _kinds: object) -> SweepReport:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(TIMEOUT)
            ended.append("step")
            return SweepReport()

        sweeper = Sweeper(
            executor, sweep=sweep, flush=lambda: None, read_clocks=lambda: RIGHT, sleep=_no_rest()
        )
        sweeper.start()
        await asyncio.wait_for(begun.wait(), TIMEOUT)
        closing = asyncio.create_task(sweeper.close())
        loop.call_soon(go_on.set)
        await asyncio.wait_for(closing, TIMEOUT)
        ended.append("tasks")

    asyncio.run(work())

    assert ended[0] == "step"
    assert ended[-1] == "tasks"


def _no_rest() -> Callable[[float], Awaitable[None]]:
    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0)

    return sleep


def test_intervals_differ_from_server_to_server(executor: Executor) -> None:
    """Servers that were started together do not sweep together for ever."""
    rests = set()
    for _ in range(5):
        house = House([SweepReport()])
        house.run(executor)
        rests.add(house.rests[0])

    assert len(rests) > 1
    assert max(rests) <= (SWEEP_INTERVAL * 1.5 / timedelta(seconds=1))
