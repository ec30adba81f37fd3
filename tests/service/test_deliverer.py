"""Laws of the tasks that deliver, on each kind of store and with receivers that really answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from threading import Event as Flag
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from amiguard_service.deliverer import POLL_INTERVAL, Deliverer
from amiguard_service.delivery import RetryLimits
from amiguard_service.engine import Engine
from amiguard_service.lifecycle import Edit
from amiguard_service.senders import make_sender
from amiguard_service.sinks import Sink, SinkKind, SinkProgress
from amiguard_service.store.errors import StatementTimeoutError, StoreUnavailableError
from amiguard_service.store_calls import StoreCalls
from tests.service.operating import occur
from tests.service.receiving import TIMEOUT, Answer, Received, Receiver, receiving
from tests.service.waiting import until
from tests.store.clock import ManualClock

T = TypeVar("T")


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
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody's system."""
    with receiving() as started:
        yield started


def sink_of(receiver: Receiver, name: str = "siem", **values: Any) -> Sink:
    """Makes a sink of a receiver."""
    given: dict[str, Any] = {"private_network": True, "secrets": (b"s" * 32,)} | values
    return Sink(name, SinkKind.WEBHOOK, receiver.url, "", **given)


def using(
    engine: Engine,
    executor: Executor,
    *sinks: Sink,
    work: Callable[[Deliverer], Coroutine[Any, Any, T]],
) -> T:
    """Runs some work with the deliverer of a server, whose chance always falls on the longest."""

    async def run() -> T:
        deliverer = Deliverer(
            engine,
            StoreCalls(executor, on_store_lost=lambda _: None),
            sinks,
            make_sender=lambda sink: make_sender(sink, clock=engine.now),
            draw=lambda: 1.0,
        )
        await deliverer.open()
        try:
            return await asyncio.wait_for(work(deliverer), TIMEOUT)
        finally:
            await deliverer.close()

    return asyncio.run(run())


def take_turns(engine: Engine, executor: Executor, sink: Sink, count: int = 1) -> None:
    """Takes turns for a sink."""

    async def work(deliverer: Deliverer) -> None:
        for _ in range(count):
            await deliverer.take_turn(sink)

    using(engine, executor, sink, work=work)


def known(engine: Engine, *sinks: Sink) -> None:
    """Makes sinks known before anything is found."""
    engine.sinks.add(sink.sink_id for sink in sinks)


def find(engine: Engine, number: int = 1) -> str:
    """Finds something that is found with no other number; returns the finding's id."""
    return occur(engine, number, name=f"acme-{number}-*")


def progress(engine: Engine, name: str = "siem") -> SinkProgress:
    """Returns how far a sink has come."""
    return next(one for one in engine.sinks.progress() if one.sink_id == name)


def test_receiver_that_fails_for_an_hour_gets_everything_after_it(
    engine: Engine, executor: Executor, receiver: Receiver, clock: ManualClock
) -> None:
    """An outage costs no finding, and the receiver is asked about once a minute meanwhile."""
    sink = sink_of(receiver)
    known(engine, sink)
    receiver.answer = Answer(500)
    expected = {find(engine, number) for number in range(1, 6)}
    end = clock.now + timedelta(hours=1)

    async def outlast(deliverer: Deliverer) -> None:
        while clock.now < end:
            await deliverer.take_turn(sink)
            clock.now += timedelta(seconds=30)
        receiver.answer = Answer()
        while progress(engine).pending_count:
            await deliverer.take_turn(sink)
            clock.now += timedelta(seconds=30)

    using(engine, executor, sink, work=outlast)

    ids = [received.event["subject"] for received in drained(receiver)]
    assert 50 <= len(ids) - len(expected) <= 80
    assert set(ids[-len(expected) :]) == {f"findings/{finding_id}" for finding_id in expected}
    assert clock.now - end <= timedelta(minutes=11)
    assert progress(engine).failure_count == 0


def drained(receiver: Receiver) -> list[Received]:
    """Returns what has come so far."""
    return [receiver.requests.get_nowait() for _ in range(receiver.requests.qsize())]


def test_crash_between_delivery_and_its_record_delivers_again_under_the_same_key(
    engine: Engine, other: Engine, executor: Executor, receiver: Receiver, clock: ManualClock
) -> None:
    """What a server sent and did not live to write down is sent once more, for the same thing."""
    sink = sink_of(receiver)
    known(engine, sink)
    find(engine)

    class Died(BaseException):
        """Stands for the end of the process."""

    def die(*_: object, **__: object) -> None:
        raise Died

    engine.sinks.settle = die  # type: ignore[assignment]  # the process ends before it
    with pytest.raises(Died):
        take_turns(engine, executor, sink)
    clock.now += timedelta(minutes=1)
    take_turns(other, executor, sink)

    first, second = drained(receiver)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert progress(other).pending_count == 0


def test_revisions_of_a_finding_arrive_in_order(
    engine: Engine, executor: Executor, receiver: Receiver, clock: ManualClock
) -> None:
    """Whatever fails in between, the receiver never sees a finding go back."""
    sink = sink_of(receiver)
    known(engine, sink)
    finding_id = find(engine)

    async def work(deliverer: Deliverer) -> None:
        for number in range(12):
            receiver.answer = Answer((204, 503, 422)[number % 3])
            engine.update_finding(finding_id, Edit(assignee=f"user-{number}"), actor="tests")
            await deliverer.take_turn(sink)
            clock.now += timedelta(minutes=11)
        receiver.answer = Answer()
        await deliverer.take_turn(sink)

    using(engine, executor, sink, work=work)

    revisions = [received.event["revision"] for received in drained(receiver)]
    found = engine.get_finding(finding_id)
    assert found is not None
    assert revisions == sorted(revisions)
    assert revisions[-1] == found.revision


def test_slow_sink_holds_up_no_other(
    engine: Engine, executor: Executor, receiver: Receiver
) -> None:
    """While one receiver does not answer, another one gets what it is owed."""
    never = Flag()
    with receiving() as slow:
        slow.answer = Answer(waits_for=never)
        sinks = (sink_of(slow, "slow"), sink_of(receiver, "quick"))
        known(engine, *sinks)
        find(engine)

        async def work(deliverer: Deliverer) -> None:
            deliverer.start()
            await until(lambda: receiver.requests.qsize() and slow.requests.qsize())

        using(engine, executor, *sinks, work=work)
        never.set()

    assert progress(engine, "slow").delivered_count == 0


def test_receiver_that_never_answers_is_given_up_in_time(
    engine: Engine, executor: Executor, receiver: Receiver
) -> None:
    """An attempt ends at the sink's timeout, and counts as a failure."""
    never = Flag()
    receiver.answer = Answer(waits_for=never)
    sink = sink_of(receiver, timeout=timedelta(milliseconds=200))
    known(engine, sink)
    find(engine)

    take_turns(engine, executor, sink)
    never.set()

    assert progress(engine).last_error == "no answer within 0.2 s"


def test_refused_finding_ends_among_the_dead_letters_and_is_sent_on_demand(
    engine: Engine, executor: Executor, receiver: Receiver, clock: ManualClock
) -> None:
    """A receiver that does not want one finding gets all others, and that one when it is asked."""
    sink = sink_of(receiver, limits=RetryLimits(max_attempts=2))
    known(engine, sink)
    bad, good = find(engine, 1), find(engine, 2)

    def judge(received: Received) -> Answer:
        return Answer(422 if bad in received.event["subject"] else 204)

    receiver.answer = judge
    with capture_logs() as logs:
        for _ in range(5):
            take_turns(engine, executor, sink)
            clock.now += timedelta(minutes=1)
    (letter,) = engine.sinks.list_dead_letters("siem", after="", limit=10)
    receiver.answer = Answer()
    engine.sinks.retry("siem")
    take_turns(engine, executor, sink)

    subjects = [
        received.event["subject"].removeprefix("findings/") for received in drained(receiver)
    ]
    assert sorted(subjects[:2]) == sorted([bad, good])
    assert subjects[2:] == [bad, bad]
    assert (letter.finding_id, letter.attempt_count) == (bad, 2)
    assert [entry["event"] for entry in logs] == ["deliveries.dead"]
    assert progress(engine).dead_letter_count == 0


def test_outage_is_logged_once_and_so_is_its_end(
    engine: Engine, executor: Executor, receiver: Receiver, clock: ManualClock
) -> None:
    """A log of an outage is two lines, however long it lasts; neither holds the URL."""
    sink = sink_of(receiver)
    known(engine, sink)
    find(engine)
    receiver.answer = Answer(503, body=b"in maintenance")
    with capture_logs() as logs:
        for status in (503, 503, 503, 204):
            receiver.answer = Answer(status, body=b"in maintenance" if status != 204 else b"")
            take_turns(engine, executor, sink)
            clock.now += timedelta(minutes=11)

    assert [entry["event"] for entry in logs] == ["sink.failing", "sink.recovered"]
    assert logs[0]["answer"] == "HTTP 503: in maintenance"
    assert "hook" not in str(logs)


def test_two_servers_deliver_each_finding_once(
    engine: Engine, other: Engine, executor: Executor, receiver: Receiver
) -> None:
    """Servers of one database share the work and double none of it."""
    sink = sink_of(receiver)
    known(engine, sink)
    expected = {f"findings/{find(engine, number)}" for number in range(1, 21)}

    def deliverer_of(server: Engine) -> Deliverer:
        store = StoreCalls(executor, on_store_lost=lambda _: None)
        make = lambda sink: make_sender(sink, clock=server.now)  # noqa: E731 - of this server
        return Deliverer(server, store, [sink], make_sender=make)

    async def work() -> None:
        both = [deliverer_of(engine), deliverer_of(other)]
        for one in both:
            await one.open()
            one.start()
        await until(lambda: receiver.requests.qsize() >= len(expected))
        for one in both:
            await one.close(timedelta(seconds=TIMEOUT))

    asyncio.run(asyncio.wait_for(work(), TIMEOUT))

    subjects = [received.event["subject"] for received in drained(receiver)]
    assert len(subjects) == len(expected)
    assert set(subjects) == expected


def test_end_lets_the_attempt_under_way_finish(
    engine: Engine, executor: Executor, receiver: Receiver
) -> None:
    """A server that stops writes down what it has sent, so that nobody sends it again."""
    go_on = Flag()
    receiver.answer = Answer(waits_for=go_on)
    sink = sink_of(receiver)
    known(engine, sink)
    find(engine)

    async def work(deliverer: Deliverer) -> None:
        deliverer.start()
        await until(receiver.requests.qsize)
        deliverer.drain()
        asyncio.get_running_loop().call_soon(go_on.set)
        await deliverer.close(timedelta(seconds=TIMEOUT))

    using(engine, executor, sink, work=work)

    assert (progress(engine).delivered_count, progress(engine).pending_count) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "events"),
    [
        (StoreUnavailableError("lost"), []),
        (StatementTimeoutError("canceling statement"), ["task.timed_out"]),
        (RuntimeError("a bug"), ["task.failed"]),
    ],
)
def test_turn_that_fails_is_tried_again(
    engine: Engine,
    executor: Executor,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    *,
    fault: Exception,
    events: list[str],
) -> None:
    """A lost database passes in silence, anything else with a line in the log; both pass."""
    sink = sink_of(receiver)
    known(engine, sink)
    find(engine)
    begin, faults = engine.sinks.begin_turn, [fault]

    def fail_once(*args: Any, **values: Any) -> Any:
        if faults:
            raise faults.pop()
        return begin(*args, **values)

    monkeypatch.setattr(engine.sinks, "begin_turn", fail_once)

    async def work(deliverer: Deliverer) -> None:
        deliverer.start()
        await until(receiver.requests.qsize)

    with capture_logs() as logs:
        using(engine, executor, sink, work=work)

    assert [entry["event"] for entry in logs] == events


def test_quiet_sink_rests(engine: Engine, executor: Executor, receiver: Receiver) -> None:
    """With nothing to do a turn sends nothing and asks for the whole rest."""
    sink = sink_of(receiver)

    async def work(deliverer: Deliverer) -> timedelta:
        return await deliverer.take_turn(sink)

    assert using(engine, executor, sink, work=work) == POLL_INTERVAL
    assert receiver.requests.empty()


def test_test_goes_past_what_waits(engine: Engine, executor: Executor, receiver: Receiver) -> None:
    """A sink can be tried while it is being left alone, and what waits goes on waiting."""
    sink = sink_of(receiver)
    known(engine, sink)
    find(engine)
    receiver.answer = Answer(500)
    take_turns(engine, executor, sink)
    receiver.answer = Answer()

    trial = using(engine, executor, sink, work=lambda deliverer: deliverer.test(sink))

    types = [received.event["type"] for received in drained(receiver)]
    assert (trial.outcome.is_delivered, trial.outcome.answer) == (True, "HTTP 204")
    assert types == ["dev.amiguard.v1.finding.changed", "dev.amiguard.v1.sink.test"]
    assert (progress(engine).pending_count, progress(engine).failure_count) == (1, 1)
