"""Laws of the task that makes server and database follow the policy, on each kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from amiguard_core.events import LaunchPath
from amiguard_core.policy import EntryKind, Policy
from amiguard_service import tuner as module
from amiguard_service.engine import Engine
from amiguard_service.store.errors import StatementTimeoutError, StoreUnavailableError
from amiguard_service.store_calls import StoreCalls
from amiguard_service.tuner import POLL_INTERVAL, Tuner
from amiguard_service.tuning import EntryDraft
from tests.service.operating import occur, score
from tests.store.clock import ManualClock

TIMEOUT = 30
OURS = EntryDraft(EntryKind.ORGANIZATION_PATTERN, "acme-*", justification="ours")


@pytest.fixture
def clock() -> ManualClock:
    """The clock of both engines."""
    return ManualClock()


@pytest.fixture
def engine(database_url: str, clock: ManualClock) -> Iterator[Engine]:
    """The engine of the server under test."""
    opened = Engine.open(database_url, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def other(database_url: str, engine: Engine, clock: ManualClock) -> Iterator[Engine]:
    """The engine of another server of the same database."""
    del engine
    opened = Engine.open(database_url, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def executor() -> Iterator[Executor]:
    """Threads for the store."""
    with ThreadPoolExecutor(2) as threads:
        yield threads


def tuner_of(
    engine: Engine,
    executor: Executor,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_store_lost: Callable[[StoreUnavailableError], None] = lambda _: None,
) -> Tuner:
    """Makes the task of a server."""
    return Tuner(engine, StoreCalls(executor, on_store_lost=on_store_lost), sleep=sleep)


def take_turn(engine: Engine, executor: Executor) -> timedelta:
    """Takes one turn; returns the rest that follows it."""
    return asyncio.run(tuner_of(engine, executor).take_turn())


def fill(engine: Engine) -> list[str]:
    """Stores three findings that an entry for `acme-*` calms; returns their ids."""
    return [occur(engine, number, name=f"acme-{number}-*") for number in range(1, 4)]


def test_quiet_server_looks_twice_a_second(engine: Engine, executor: Executor) -> None:
    """With nothing to do a turn rests for what leaves a change in force within a second."""
    assert take_turn(engine, executor) == POLL_INTERVAL
    assert timedelta(seconds=1) / 2 >= POLL_INTERVAL


def test_turn_takes_up_what_another_server_put_in_force(
    engine: Engine, other: Engine, executor: Executor
) -> None:
    """One turn is enough to know the settings and the entries that another server changed."""
    rule = other.tuning.get_rule()
    assert rule is not None
    paths = (LaunchPath.RUN_INSTANCES, LaunchPath.CREATE_FLEET)
    other.tuning.update_rule(
        lambda before: replace(before, launch_paths=paths), etag=rule.etag, actor="ann"
    )
    other.tuning.create_entry("ours", OURS, actor="ann")

    take_turn(engine, executor)

    assert engine.policy.rule.launch_paths == paths
    assert "allowlistEntries/ours" in {entry.name for entry in engine.policy.entries}


def test_turn_finishes_the_pass_of_a_server_that_died(
    engine: Engine, other: Engine, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another server had begun to apply is applied, from where it stopped."""
    monkeypatch.setattr("amiguard_service.passes.CHUNK", 1)
    finding_ids = fill(other)
    other.tuning.create_entry("ours", OURS, actor="ann")
    other.passes.step()
    half = [score(engine, finding_id) for finding_id in finding_ids]

    take_turn(engine, executor)

    assert sorted(half) == [10, 50, 50]
    assert [score(engine, finding_id) for finding_id in finding_ids] == [10, 10, 10]
    assert other.passes.progress().scope is None


def test_turn_rests_as_long_as_it_worked(
    engine: Engine, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long pass is worked on in short spans; what it leaves is for the next turns."""
    monkeypatch.setattr("amiguard_service.passes.CHUNK", 1)
    monkeypatch.setattr(module, "WORK_SPAN", timedelta(0))
    finding_ids = fill(engine)
    engine.tuning.create_entry("ours", OURS, actor="ann")

    rests = [take_turn(engine, executor)]
    first = [score(engine, finding_id) for finding_id in finding_ids]
    while engine.passes.progress().scope is not None:
        rests.append(take_turn(engine, executor))

    assert sorted(first) == [10, 50, 50]
    assert [score(engine, finding_id) for finding_id in finding_ids] == [10, 10, 10]
    assert all(timedelta(0) < rest for rest in rests)


def test_turn_lets_expired_entries_go(
    engine: Engine, other: Engine, executor: Executor, clock: ManualClock
) -> None:
    """Scores that an entry calmed are back once it has expired, and the audit says why."""
    finding_ids = fill(engine)
    soon = replace(OURS, ttl=timedelta(minutes=5))
    other.tuning.create_entry("ours", soon, actor="ann")
    with capture_logs() as logs:
        take_turn(engine, executor)
        calmed = [score(engine, finding_id) for finding_id in finding_ids]
        clock.now += timedelta(minutes=5)
        take_turn(engine, executor)
        take_turn(engine, executor)

    rows, _ = engine.tuning.list_changes(after=0, since=None, limit=10)
    assert calmed == [10, 10, 10]
    assert [score(engine, finding_id) for finding_id in finding_ids] == [50, 50, 50]
    assert [(row.actor, row.method) for row in rows] == [
        ("ann", "CreateAllowlistEntry"),
        ("amiguard", "ExpireAllowlistEntry"),
    ]
    assert [entry["event"] for entry in logs] == ["entries.expired"]


@dataclass
class Faulty:
    """Stands for an engine's reading of the policy: each time it is asked it fails, or does not."""

    engine: Engine
    faults: list[Exception | None]
    turns: int = 0
    rests: list[float] = field(default_factory=list)
    losses: int = 0

    def refresh_policy(self) -> Policy:
        """Reads the policy, or fails."""
        fault = self.faults[min(self.turns, len(self.faults) - 1)]
        self.turns += 1
        if fault is not None:
            raise fault
        return Engine.refresh_policy(self.engine)

    def run(self, executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
        """Runs the task until every fault was met."""
        monkeypatch.setattr(self.engine, "refresh_policy", self.refresh_policy)

        async def work() -> None:
            done = asyncio.Event()

            async def sleep(seconds: float) -> None:
                self.rests.append(seconds)
                if len(self.rests) == len(self.faults):
                    done.set()
                    await asyncio.Event().wait()
                await asyncio.sleep(0)

            tuner = tuner_of(self.engine, executor, sleep=sleep, on_store_lost=self.lose)
            tuner.start()
            await asyncio.wait_for(done.wait(), TIMEOUT)
            await tuner.close()

        asyncio.run(work())

    def lose(self, _error: StoreUnavailableError) -> None:
        """Counts how often the database was said to be lost."""
        self.losses += 1


@pytest.mark.parametrize(
    ("fault", "losses", "events"),
    [
        (StoreUnavailableError("lost"), 1, []),
        (StatementTimeoutError("canceling statement"), 0, ["task.timed_out"]),
        (RuntimeError("a bug"), 0, ["task.failed"]),
    ],
)
def test_turn_that_fails_is_tried_again(
    engine: Engine,
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
    *,
    fault: Exception,
    losses: int,
    events: list[str],
) -> None:
    """A lost database is told to the health service, anything else to the log; both pass."""
    faulty = Faulty(engine, [fault, None])

    with capture_logs() as logs:
        faulty.run(executor, monkeypatch)

    assert faulty.rests == [POLL_INTERVAL.total_seconds()] * 2
    assert faulty.losses == losses
    assert [entry["event"] for entry in logs] == events


def test_end_waits_for_the_turn_under_way(
    engine: Engine, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the task has ended nothing of it is left running in a thread."""
    ended: list[str] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        begun, go_on = asyncio.Event(), asyncio.Event()

        def refresh_policy() -> Policy:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(TIMEOUT)
            ended.append("turn")
            return Policy()

        monkeypatch.setattr(engine, "refresh_policy", refresh_policy)
        tuner = tuner_of(engine, executor)
        tuner.start()
        await asyncio.wait_for(begun.wait(), TIMEOUT)
        closing = asyncio.create_task(tuner.close())
        loop.call_soon(go_on.set)
        await asyncio.wait_for(closing, TIMEOUT)
        ended.append("task")

    asyncio.run(work())

    assert ended == ["turn", "task"]


def test_task_that_was_not_started_ends_at_once(engine: Engine, executor: Executor) -> None:
    """A server that failed to start can be stopped."""
    asyncio.run(tuner_of(engine, executor).close())
