"""Laws of what the health service says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from grpc_health.v1 import health_pb2
from structlog.testing import capture_logs

from amiguard_service import logs
from amiguard_service.availability import Availability
from amiguard_service.store.errors import SchemaChangedError, StoreUnavailableError
from tests.service.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
GONE = StoreUnavailableError("nobody listens")


class Watcher:
    """A client that watches one service, and keeps what it is told."""

    def __init__(self, availability: Availability, service: str = "") -> None:
        self._told = asyncio.Queue[int]()
        request = health_pb2.HealthCheckRequest(service=service)
        self._watch = asyncio.create_task(availability.servicer.Watch(request, self))

    async def write(self, response: health_pb2.HealthCheckResponse) -> None:
        """Keeps a response."""
        self._told.put_nowait(response.status)

    async def told(self) -> int:
        """Returns the next status."""
        async with asyncio.timeout(30):
            return await self._told.get()


class Database:
    """A database that is back after so many attempts to reach it.

    Meanwhile it raises an error, or says nothing until it is cut off.
    """

    def __init__(self, *, fails: int, error: Exception | None = GONE) -> None:
        self.fails = fails
        self.error = error
        self.attempts = 0
        self.watched = 0
        self.answers = True
        self._cut = asyncio.Event()

    async def watch(self) -> None:
        """Says nothing once `answers` is False."""
        self.watched += 1
        if not self.answers:
            await self._cut.wait()
            raise GONE

    def cut(self) -> None:
        """Ends the wait of whoever asks."""
        self._cut.set()

    async def ping(self) -> None:
        """Raises the error in vain."""
        self.attempts += 1
        if self.attempts <= self.fails:
            if self.error is None:
                self._cut.clear()
                await self._cut.wait()
            raise self.error or GONE
        self.answers = True


def run(
    act: Callable[[Availability, Database], Awaitable[list[int]]],
    *,
    fails: int = 0,
    error: Exception | None = GONE,
) -> tuple[list[int], Database]:
    """Returns what `act` hears, and the database."""

    async def serve() -> list[int]:
        availability = Availability(
            ["amiguard.v1.A"],
            probe=database.ping,
            watch=database.watch,
            on_silence=database.cut,
            probe_interval=timedelta(0),
            deadline=timedelta(milliseconds=50),
        )
        availability.start()
        try:
            return await act(availability, database)
        finally:
            await availability.close()

    database = Database(fails=fails, error=error)
    return asyncio.run(serve()), database


async def lose(availability: Availability, _database: Database) -> list[int]:
    """Loses the database; returns what a watcher hears until it is back."""
    watcher = Watcher(availability, "amiguard.v1.A")
    before = await watcher.told()
    availability.lose_store(GONE)
    return [before, await watcher.told(), await watcher.told()]


def test_a_lost_database_is_told_and_so_is_its_return() -> None:
    """Services are NOT_SERVING from the moment the database is lost until it can be reached."""
    heard, database = run(lose, fails=3)

    assert heard == [SERVING, NOT_SERVING, SERVING]
    assert database.attempts == 4


def test_the_log_says_why_the_database_is_lost() -> None:
    """An operator learns whether it is the disk, the network or a password."""
    with capture_logs() as entries:
        run(lose, fails=1)

    reasons = [e["reason"] for e in entries if e["event"] == logs.STORE_UNAVAILABLE]
    assert reasons == ["nobody listens"]


@pytest.mark.parametrize("error", [GONE, None, RuntimeError("a bug")], ids=str)
def test_a_silent_database_is_lost(error: Exception | None) -> None:
    """One that answers nobody and closes nothing is told of, whether or not anybody calls."""

    async def act(availability: Availability, database: Database) -> list[int]:
        watcher = Watcher(availability)
        heard = [await watcher.told()]
        await until(lambda: database.watched)
        database.answers = False
        return [*heard, await watcher.told(), await watcher.told()]

    with capture_logs() as entries:
        heard, database = run(act, fails=2, error=error)

    reasons = [e["reason"] for e in entries if e["event"] == logs.STORE_UNAVAILABLE]
    assert heard == [SERVING, NOT_SERVING, SERVING]
    assert reasons == ["no answer for 0.05 seconds"]
    assert database.attempts == 3


def test_a_silent_database_is_cut_off_also_from_a_server_that_drains() -> None:
    """Calls that wait for it get an answer, and the drain goes to its end."""

    async def act(availability: Availability, database: Database) -> list[int]:
        availability.drain()
        database.answers = False
        await database._cut.wait()
        return []

    heard, database = run(act)

    assert heard == []
    assert database.attempts == 0


def test_the_log_says_once_why_a_migrated_database_stays_lost() -> None:
    """An operator reads which schema it is and what to do, and not every second."""
    with capture_logs() as entries:
        run(lose, fails=3, error=SchemaChangedError("use the release that migrated it"))

    told = [entry for entry in entries if entry["event"] == logs.SCHEMA_CHANGED]
    assert [entry["error"] for entry in told] == ["use the release that migrated it"]


def test_a_database_that_is_lost_twice_is_probed_once() -> None:
    """Every call that fails tells of it; the database is not asked more often for that."""

    async def act(availability: Availability, database: Database) -> list[int]:
        del database
        watcher = Watcher(availability)
        await watcher.told()
        for _ in range(10):
            availability.lose_store(GONE)
        return [await watcher.told(), await watcher.told()]

    heard, database = run(act, fails=1)

    assert heard == [NOT_SERVING, SERVING]
    assert database.attempts == 2


def test_a_draining_server_never_serves_again() -> None:
    """Once a server drains, a database that returns changes nothing."""

    async def act(availability: Availability, database: Database) -> list[int]:
        watcher = Watcher(availability)
        heard = [await watcher.told()]
        availability.lose_store(GONE)
        heard.append(await watcher.told())
        availability.drain()
        await until(lambda: database.attempts > database.fails)
        response = await availability.servicer.Check(health_pb2.HealthCheckRequest(), None)
        return [*heard, response.status]

    heard, _ = run(act, fails=3)

    assert heard == [SERVING, NOT_SERVING, NOT_SERVING]


def test_a_watcher_that_does_not_read_holds_nobody_up() -> None:
    """Telling of a lost database waits for no client."""

    class Stuck(Watcher):
        async def write(self, response: health_pb2.HealthCheckResponse) -> None:
            await super().write(response)
            await asyncio.Event().wait()

    async def act(availability: Availability, database: Database) -> list[int]:
        watcher = Stuck(availability)
        heard = [await watcher.told()]
        availability.lose_store(GONE)
        await until(lambda: database.attempts)
        return heard

    heard, database = run(act)

    assert heard == [SERVING]
    assert database.attempts == 1
