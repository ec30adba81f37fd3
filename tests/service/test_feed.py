"""How the change log is followed: one poller, readings shared, and nobody's memory filled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import datetime, timedelta
from threading import Event
from typing import Any

import pytest
from sqlalchemy import insert

from amiguard.v1 import finding_service_pb2 as wire
from amiguard_service import calls
from amiguard_service.calls import Call
from amiguard_service.drain import Drain
from amiguard_service.engine import Engine
from amiguard_service.feed import PAGE_CHANGES, ChangeFeed
from amiguard_service.filters import FINDING_FIELDS, Filter, MatchAll, parse_filter
from amiguard_service.identity import ANONYMOUS, set_caller
from amiguard_service.limits import Limits
from amiguard_service.store.changes import RETENTION_MARK, ChangePage, CursorExpiredError
from amiguard_service.store.errors import StoreUnavailableError
from amiguard_service.store.findings import log_changes
from amiguard_service.store.schema import retention_marks
from amiguard_service.store_calls import StoreCalls
from amiguard_service.tokens import PageTokens
from amiguard_service.watch import Pace, Watch
from tests.store.values import NOON, batch, launch, origin, search

TIMEOUT = 30
EVERYTHING = MatchAll()


class WatchedEngine:
    """An engine that counts how its change log is read, and can be told to fail or to wait."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.end_count = 0
        self.page_count = 0
        self.fault: Exception | None = None
        self.is_read = Event()
        self.may_read = Event()
        self.may_read.set()

    def last_cursor(self) -> int:
        self.end_count += 1
        if self.fault is not None:
            raise self.fault
        return self.engine.last_cursor()

    def changes_after(self, cursor: int, condition: Filter, *, limit: int) -> ChangePage:
        self.page_count += 1
        self.is_read.set()
        assert self.may_read.wait(TIMEOUT)
        return self.engine.changes_after(cursor, condition, limit=limit)

    def cursor_at(self, time: datetime) -> int:
        return self.engine.cursor_at(time)

    def check_cursor(self, cursor: int) -> None:
        self.engine.check_cursor(cursor)

    def telling(self, listener: Callable[[], None]) -> AbstractContextManager[None]:
        return self.engine.telling(listener)


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine with one finding."""
    opened = Engine.open("sqlite://")
    opened.commit([batch(search(origin("s")), launch(origin("l", 1)))])
    yield opened
    opened.close()


@pytest.fixture
def log(engine: Engine) -> WatchedEngine:
    """The engine, watched."""
    return WatchedEngine(engine)


@pytest.fixture
def finding_id(engine: Engine) -> str:
    """The one finding."""
    (found,) = engine.list_findings(EVERYTHING, (), after=None, limit=2)
    return found.finding_id


def grow(engine: Engine, finding_id: str, count: int = 1) -> None:
    """Appends changes of a finding to the log."""
    for _ in range(count):
        engine._database.write(lambda c: log_changes(c, [finding_id], now=NOON))
    for tell in engine._listeners:
        tell()


class Lost:
    """Counts how often the store was said to be lost."""

    count = 0

    def __call__(self, _error: StoreUnavailableError) -> None:
        self.count += 1


def run(work: Callable[[StoreCalls, Lost], Coroutine[Any, Any, None]]) -> None:
    """Runs a test in an event loop of its own."""
    lost = Lost()
    with ThreadPoolExecutor(4) as executor:

        async def main() -> None:
            async with asyncio.timeout(TIMEOUT):
                await work(StoreCalls(executor, on_store_lost=lost), lost)

        asyncio.run(main())


@asynccontextmanager
async def following(feed: ChangeFeed) -> AsyncIterator[asyncio.Event]:
    """Watches a feed, from when it knows the end of the log."""
    wake = asyncio.Event()
    with feed.watching(wake):
        await wake.wait()
        wake.clear()
        yield wake


def test_watchers_share_one_poller_and_their_readings(log: WatchedEngine) -> None:
    """Any number of watchers at one place costs one look at the end and one page."""

    async def work(store: StoreCalls, _lost: Lost) -> None:
        feed = ChangeFeed(log, store, poll_interval=timedelta(hours=1))
        async with following(feed):
            with feed.watching(asyncio.Event()), feed.watching(asyncio.Event()):
                pages = await asyncio.gather(*(feed.read_after(0, EVERYTHING) for _ in range(20)))

        assert log.end_count == 1
        assert log.page_count == 1
        assert all(page == pages[0] for page in pages)
        assert len(pages[0].changed) == 1

    run(work)


def test_watchers_of_other_filters_or_places_read_their_own(log: WatchedEngine) -> None:
    """What is shared is a page: the same place, the same filter, the same end."""

    async def work(store: StoreCalls, _lost: Lost) -> None:
        feed = ChangeFeed(log, store)
        low = parse_filter("likelihood = LOW", FINDING_FIELDS)
        async with following(feed):
            everything, nothing = await asyncio.gather(
                feed.read_after(0, EVERYTHING), feed.read_after(0, low)
            )

        assert (len(everything.changed), len(nothing.changed)) == (1, 0)
        assert everything.cursor == nothing.cursor
        assert log.page_count == 2

    run(work)


def test_watcher_that_leaves_ends_nobody_elses_reading(log: WatchedEngine) -> None:
    """A shared reading goes on when one of those who wait for it is cancelled."""

    async def work(store: StoreCalls, _lost: Lost) -> None:
        feed = ChangeFeed(log, store)
        async with following(feed):
            log.may_read.clear()
            leaving = asyncio.create_task(feed.read_after(0, EVERYTHING))
            staying = asyncio.create_task(feed.read_after(0, EVERYTHING))
            await asyncio.to_thread(log.is_read.wait, TIMEOUT)
            leaving.cancel()
            await asyncio.wait([leaving])
            log.may_read.set()

            assert len((await staying).changed) == 1
        assert leaving.cancelled()
        assert log.page_count == 1

    run(work)


def test_nobody_polls_for_nobody(log: WatchedEngine) -> None:
    """The poller ends with the last watcher, and begins anew with the next."""

    async def work(store: StoreCalls, _lost: Lost) -> None:
        feed = ChangeFeed(log, store)
        for _ in range(2):
            async with following(feed):
                (poller,) = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait([poller])
            assert asyncio.all_tasks() == {asyncio.current_task()}
            feed._end = 0  # so that the next one has something to tell

        assert log.engine._listeners == ()

    run(work)


def test_lost_store_is_every_watchers_answer(log: WatchedEngine) -> None:
    """While the log cannot be read watchers are told so, and the next one finds it again."""

    async def work(store: StoreCalls, lost: Lost) -> None:
        feed = ChangeFeed(log, store, poll_interval=timedelta(milliseconds=50))
        log.fault = StoreUnavailableError("gone")
        async with following(feed):
            with pytest.raises(StoreUnavailableError):
                feed.has_after(0)
        assert lost.count == 1
        log.fault = None
        async with following(feed):
            assert feed.has_after(0)

    run(work)


def test_log_deleted_to_its_end_is_read_past(
    engine: Engine, log: WatchedEngine, finding_id: str
) -> None:
    """A watcher of changes that are no longer there gets to the end and stays there."""

    async def work(store: StoreCalls, _lost: Lost) -> None:
        feed = ChangeFeed(log, store)
        grow(engine, finding_id, 3)
        async with following(feed):
            end = engine.last_cursor()
            engine._database.write(
                lambda c: c.exec_driver_sql("DELETE FROM finding_changes WHERE change_id > 1")
            )
            page = await feed.read_after(1, EVERYTHING)

            assert (page.changed, page.cursor) == ([], end)
            assert not feed.has_after(page.cursor)

    run(work)


class Client:
    """The other end of a stream: takes responses, or does not."""

    def __init__(self) -> None:
        self.responses: list[wire.WatchFindingsResponse] = []
        self.reads = asyncio.Event()
        self.is_sent_to = asyncio.Event()

    async def send(self, response: wire.WatchFindingsResponse) -> None:
        self.responses.append(response)
        self.is_sent_to.set()
        await self.reads.wait()


def make_watch(log: WatchedEngine, store: StoreCalls) -> Watch:
    """Makes what serves streams."""
    return Watch(
        log,
        store,
        tokens=PageTokens(log.engine.page_token_keys()),
        drain=Drain(),
        limits=Limits(max_streams=8),
        pace=Pace(),
    )


def stream(watch: Watch, send: Callable[[wire.WatchFindingsResponse], Awaitable[None]]) -> Any:
    """Opens a stream at the present."""
    calls.begin_call(Call(method="WatchFindings", peer="tests"))
    set_caller(ANONYMOUS)
    return asyncio.create_task(watch.run(wire.WatchFindingsRequest(), EVERYTHING, send=send))


def test_client_that_does_not_read_makes_nobody_read(
    engine: Engine, log: WatchedEngine, finding_id: str
) -> None:
    """While a response is not taken no page is read; then all of them, none twice."""

    async def work(store: StoreCalls, _lost: Lost) -> None:
        watch, slow, quick = make_watch(log, store), Client(), Client()
        quick.reads.set()
        streams = [stream(watch, client.send) for client in (slow, quick)]
        await slow.is_sent_to.wait()
        grow(engine, finding_id, 3 * PAGE_CHANGES + 1)
        while len(quick.responses) < 5:
            quick.is_sent_to.clear()
            await quick.is_sent_to.wait()
        read_count = log.page_count
        assert len(slow.responses) == 1

        slow.reads.set()
        while len(slow.responses) < 5:
            slow.is_sent_to.clear()
            await slow.is_sent_to.wait()

        assert slow.responses[-1].cursor == quick.responses[-1].cursor
        assert log.page_count == read_count + 4
        for one in streams:
            one.cancel()
        await asyncio.wait(streams)

    run(work)


def test_watcher_overtaken_by_retention_is_told(
    engine: Engine, log: WatchedEngine, finding_id: str
) -> None:
    """A client so slow that what it has not read is deleted learns that it missed something."""

    async def work(store: StoreCalls, _lost: Lost) -> None:
        watch, slow = make_watch(log, store), Client()
        streaming = stream(watch, slow.send)
        await slow.is_sent_to.wait()
        grow(engine, finding_id, 3)
        mark = {"name": RETENTION_MARK, "change_id": engine.last_cursor(), "change_time": NOON}
        engine._database.write(lambda c: c.execute(insert(retention_marks), mark))
        slow.reads.set()

        with pytest.raises(CursorExpiredError) as caught:
            await streaming
        assert caught.value.oldest_time == NOON + timedelta(microseconds=1)

    run(work)
