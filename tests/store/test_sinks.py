"""What sinks are still to be sent: nothing lost, nothing twice, and each finding as it stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy import select

from amiguard_service.delivery import Claim, Outcome, RetryLimits
from amiguard_service.engine import Engine
from amiguard_service.filters import FINDING_FIELDS, hide_suppressed, parse_filter
from amiguard_service.lifecycle import Closure, Edit
from amiguard_service.retention import Retention, SweepLimits
from amiguard_service.sink_book import LEASE_MARGIN, Settled
from amiguard_service.sinks import Sink, SinkKind, SinkProgress
from amiguard_service.store.sink_schema import sink_deliveries
from amiguard_service.stored import Disposition, StoredFinding
from tests.store.clock import ManualClock
from tests.store.test_changes import find

SINK = Sink(sink_id="siem", kind=SinkKind.WEBHOOK, url="https://siem.test/", shown_url="")
OK = Outcome(is_delivered=True, answer="HTTP 204")
DOWN = Outcome(is_delivered=False, answer="HTTP 500")
REFUSED = Outcome(is_delivered=False, answer="HTTP 422", is_refusal=True)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _sink(engine: Engine) -> None:
    """The sink is known before anything is found."""
    engine.sinks.add(["siem"])


def sink_of(text: str) -> Sink:
    """Makes the sink with a filter."""
    condition = hide_suppressed(parse_filter(text, FINDING_FIELDS))
    return Sink("siem", SinkKind.WEBHOOK, "https://siem.test/", "", condition=condition)


def claims(
    engine: Engine, sink: Sink = SINK, *, limit: int = 100
) -> list[tuple[Claim, StoredFinding]]:
    """Claims what is due."""
    return list(engine.sinks.begin_turn(sink, max_claims=limit).claims)


def settle(
    engine: Engine, claimed: list[tuple[Claim, StoredFinding]], outcome: Outcome, sink: Sink = SINK
) -> Settled:
    """Says that the same came of every claim."""
    results = [(claim, outcome) for claim, _ in claimed]
    return engine.sinks.settle(sink, results, draw=lambda: 1.0)


def deliver(
    engine: Engine, outcome: Outcome = OK, sink: Sink = SINK, *, limit: int = 100
) -> list[tuple[str, int]]:
    """Sends what is due; returns findings and their revisions."""
    claimed = claims(engine, sink, limit=limit)
    if claimed:
        settle(engine, claimed, outcome, sink)
    return [(found.finding_id, found.revision) for _, found in claimed]


def progress(engine: Engine) -> SinkProgress:
    """Returns how far the sink has come."""
    (only,) = engine.sinks.progress()
    return only


def edit(engine: Engine, finding_id: str, assignee: str) -> None:
    """Changes a finding."""
    engine.update_finding(finding_id, Edit(assignee=assignee), actor="tests")


def test_finding_is_delivered_once(engine: Engine) -> None:
    """What is delivered is not due again, and counts."""
    finding_id = find(engine, "alice")

    first, second = deliver(engine), deliver(engine)

    assert (first, second) == ([(finding_id, 1)], [])
    assert (progress(engine).delivered_count, progress(engine).pending_count) == (1, 0)


def test_new_sink_is_sent_what_changes_from_now_on(engine: Engine) -> None:
    """A sink that is added does not get what was found before; adding it again changes nothing."""
    find(engine, "alice")
    engine.sinks.add(["late"])
    late = Sink("late", SinkKind.WEBHOOK, "https://siem.test/", "")
    bob = find(engine, "bob")
    engine.sinks.add(["late"])

    assert [found.finding_id for _, found in claims(engine, late)] == [bob]


def test_only_the_newest_revision_is_sent(engine: Engine, clock: ManualClock) -> None:
    """Changes that come before a delivery are one delivery, of the finding as it stands."""
    finding_id = find(engine, "alice")
    deliver(engine, DOWN)
    for name in ("bob", "carol"):
        edit(engine, finding_id, name)

    clock.now += HOUR
    ((_, found),) = claims(engine)

    assert progress(engine).pending_count == 1
    assert (found.revision, found.assignee) == (3, "carol")


def test_change_during_an_attempt_is_sent_after_it_and_not_beside_it(engine: Engine) -> None:
    """While a revision is on its way nobody sends a later one, which could arrive before it."""
    finding_id = find(engine, "alice")
    first = claims(engine)
    edit(engine, finding_id, "bob")

    beside = claims(engine)
    settle(engine, first, OK)
    after = claims(engine)

    assert beside == []
    assert [found.assignee for _, found in after] == ["bob"]


def test_server_that_dies_is_followed_by_another_with_the_same_revision(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    """What a server claimed and never settled is anybody's once the attempt must have ended."""
    find(engine, "alice")
    ((_, sent),) = claims(engine)

    clock.now += SINK.timeout + LEASE_MARGIN - timedelta(seconds=1)
    early = claims(other)
    clock.now += timedelta(seconds=1)
    ((_, again),) = claims(other)

    assert early == []
    assert (again.finding_id, again.revision) == (sent.finding_id, sent.revision)


def test_late_failure_of_a_claim_that_was_lost_changes_nothing(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    """Once another server has taken a delivery over, only what that one says counts."""
    find(engine, "alice")
    slow = claims(engine)
    clock.now += HOUR
    taken = claims(other)

    settle(engine, slow, DOWN)
    clock.now += timedelta(seconds=5)
    beside = claims(engine)
    settle(other, taken, OK)
    clock.now += HOUR

    assert beside == []
    assert claims(engine) == []


def test_two_servers_share_the_work(engine: Engine, other: Engine) -> None:
    """However turns fall together, each delivery is made by one server."""
    expected = {find(engine, f"user-{number}") for number in range(40)}
    sent: dict[int, list[str]] = {0: [], 1: []}

    def run(number: int, server: Engine) -> None:
        while batch := deliver(server, limit=3):
            sent[number] += [finding_id for finding_id, _ in batch]

    threads = [Thread(target=run, args=args) for args in enumerate((engine, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    both = sent[0] + sent[1]
    assert len(both) == 40
    assert set(both) == expected
    assert progress(engine).delivered_count == 40


def test_failing_sink_is_left_alone_and_then_asked_with_one_delivery(
    engine: Engine, clock: ManualClock
) -> None:
    """Pauses grow up to a minute; the first success ends them, and all the rest follows."""
    for number in range(10):
        find(engine, f"user-{number}")
    attempts, pauses = [len(deliver(engine, DOWN))], []
    for _ in range(8):
        began = clock.now
        while not (sent := deliver(engine, DOWN)):
            clock.now += timedelta(seconds=0.5)
        attempts.append(len(sent))
        pauses.append((clock.now - began).total_seconds())

    clock.now += timedelta(minutes=1)
    first = deliver(engine)
    clock.now += timedelta(minutes=10)
    rest = deliver(engine)

    assert attempts == [10, *[1] * 8]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (len(first), len(rest)) == (1, 9)
    assert progress(engine).failure_count == 0


def test_refused_delivery_holds_up_no_other(engine: Engine, clock: ManualClock) -> None:
    """A receiver that does not want one finding is sent the others at once."""
    find(engine, "alice")
    deliver(engine, REFUSED)
    bob = find(engine, "bob")

    assert [finding_id for finding_id, _ in deliver(engine)] == [bob]
    assert progress(engine).last_error == "HTTP 422"
    clock.now += timedelta(seconds=1)
    assert len(deliver(engine)) == 1


def test_receiver_says_when_to_come_again(engine: Engine, clock: ManualClock) -> None:
    """Retry-After is kept to where it asks for more than we would wait."""
    find(engine, "alice")
    deliver(engine, Outcome(is_delivered=False, answer="HTTP 429", retry_after=HOUR))

    clock.now += HOUR - timedelta(seconds=1)
    early = deliver(engine)
    clock.now += timedelta(seconds=1)

    assert early == []
    assert len(deliver(engine)) == 1


@pytest.mark.parametrize(
    "limits", [RetryLimits(max_attempts=3), RetryLimits(max_age=timedelta(seconds=2))]
)
def test_limit_makes_a_dead_letter_which_stays(
    engine: Engine, clock: ManualClock, limits: RetryLimits
) -> None:
    """Past the limit nothing is tried again by itself, and nothing is forgotten."""
    sink = Sink("siem", SinkKind.WEBHOOK, "https://siem.test/", "", limits=limits)
    finding_id = find(engine, "alice")
    tried = 0
    for _ in range(20):
        tried += len(deliver(engine, DOWN, sink))
        clock.now += timedelta(seconds=1)
    clock.now += 300 * DAY
    (letter,) = engine.sinks.list_dead_letters("siem", after="", limit=10)

    assert tried == letter.attempt_count == 3
    assert (letter.finding_id, letter.last_error) == (finding_id, "HTTP 500")
    assert deliver(engine, sink=sink) == []
    assert progress(engine).dead_letter_count == 1
    assert progress(engine).pending_count == 0


def kill(engine: Engine, *names: str) -> list[str]:
    """Makes dead letters of new findings; returns their ids."""
    sink = Sink(
        "siem", SinkKind.WEBHOOK, "https://siem.test/", "", limits=RetryLimits(max_attempts=1)
    )
    ids = [find(engine, name) for name in names]
    settle(engine, claims(engine, sink), DOWN, sink)
    return ids


def test_dead_letters_are_retried_on_demand(engine: Engine) -> None:
    """All of a sink or that of one finding; at once, although the sink is being left alone."""
    alice, bob = kill(engine, "alice", "bob")

    one = engine.sinks.retry("siem", alice)
    first = deliver(engine)
    rest = engine.sinks.retry("siem")
    second = deliver(engine)

    assert (one, rest) == (1, 1)
    assert [[finding_id for finding_id, _ in sent] for sent in (first, second)] == [[alice], [bob]]
    assert engine.sinks.retry("siem") == 0


def test_dead_letter_comes_to_life_when_its_finding_changes(
    engine: Engine, clock: ManualClock
) -> None:
    """A new revision is another delivery, with attempts and an age of its own."""
    (alice,) = kill(engine, "alice")
    clock.now += 10 * DAY
    edit(engine, alice, "bob")
    twice = RetryLimits(max_attempts=2)

    sent = deliver(engine, DOWN, replace(SINK, limits=twice))

    assert sent == [(alice, 2)]
    assert (progress(engine).dead_letter_count, progress(engine).pending_count) == (0, 1)


def test_dead_letters_are_listed_in_pages(engine: Engine) -> None:
    """By the id of the finding, each once."""
    ids = sorted(kill(engine, "alice", "bob", "carol"))

    first = engine.sinks.list_dead_letters("siem", after="", limit=2)
    second = engine.sinks.list_dead_letters("siem", after=first[-1].finding_id, limit=2)

    assert [letter.finding_id for letter in first + second] == ids


def test_filter_says_what_is_sent(engine: Engine) -> None:
    """A finding that does not fulfil the condition is no delivery."""
    find(engine, "alice")
    edit(engine, find(engine, "bob"), "bob")

    sent = claims(engine, sink_of("assignee = bob"))

    assert [found.assignee for _, found in sent] == ["bob"]
    assert progress(engine).pending_count == 1


def test_finding_that_fulfils_the_filter_no_more_is_dropped(
    engine: Engine, clock: ManualClock
) -> None:
    """What was done with before it could be delivered is no news; the next change is."""
    sink = sink_of("state = OPEN")
    finding_id = find(engine, "alice")
    deliver(engine, DOWN, sink)
    closure = Closure(comment="mended", disposition=Disposition.TRUE_POSITIVE)
    engine.move_finding(finding_id, closure, actor="ann")
    clock.now += HOUR

    turn = engine.sinks.begin_turn(sink, max_claims=10)

    assert (turn.claims, turn.gone_count) == ((), 1)
    assert progress(engine).pending_count == 0


def test_deleted_finding_is_dropped(engine: Engine, clock: ManualClock) -> None:
    """Of a finding that retention has deleted there is nothing left to send."""
    find(engine, "alice")
    deliver(engine, DOWN)
    clock.now += 401 * DAY
    while engine.sweep(clock.now, SweepLimits()).has_more:
        pass

    turn = engine.sinks.begin_turn(SINK, max_claims=10)

    assert (turn.claims, turn.gone_count) == ((), 1)


def test_change_log_that_was_cut_costs_no_finding(engine: Engine, clock: ManualClock) -> None:
    """A sink that retention has overtaken gets every finding that changed meanwhile."""
    find(engine, "oldest")
    deliver(engine)
    clock.now += 2 * DAY
    last = find(engine, "last")
    deliver(engine)
    clock.now += 2 * DAY
    missed = [find(engine, f"user-{number}") for number in range(3)]
    clock.now += 40 * DAY
    limits = SweepLimits(retention=Retention(changes=DAY))
    while engine.sweep(clock.now, limits).has_more:
        pass
    late = find(engine, "late")

    turn = engine.sinks.begin_turn(SINK, max_claims=10)

    assert turn.has_gap
    # The last one that was read may be sent again, under the same key: clocks differ.
    assert {found.finding_id for _, found in turn.claims} == {*missed, late, last}
    assert not engine.sinks.begin_turn(SINK, max_claims=10).has_gap


def test_long_log_is_taken_up_in_pages(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a bounded number of changes, and the steps together all of them."""
    monkeypatch.setattr("amiguard_service.sink_book.PAGE_CHANGES", 5)
    finding_id = find(engine, "alice")
    for number in range(8):
        edit(engine, finding_id, f"user-{number}")
    bob = find(engine, "bob")

    first, second = deliver(engine), deliver(engine)

    assert [finding for finding, _ in first] == [finding_id]
    assert {finding for finding, _ in second} == {finding_id, bob}


def test_sinks_do_not_wait_for_each_other(engine: Engine) -> None:
    """Each has deliveries, pauses and counts of its own."""
    engine.sinks.add(["pager"])
    pager = Sink("pager", SinkKind.APPRISE, "json://localhost", "")
    find(engine, "alice")

    deliver(engine, DOWN)
    sent = deliver(engine, OK, pager)

    assert len(sent) == 1
    by_id = {one.sink_id: one for one in engine.sinks.progress()}
    assert (by_id["siem"].failure_count, by_id["pager"].failure_count) == (1, 0)
    assert (by_id["siem"].pending_count, by_id["pager"].pending_count) == (1, 0)


def test_quiet_sink_writes_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink without work costs a read: writers wait for nobody."""
    find(engine, "alice")
    deliver(engine)
    monkeypatch.setattr(engine._database, "write", None)

    assert claims(engine) == []


def test_commit_writes_nothing_for_sinks(engine: Engine) -> None:
    """A finding's own transaction knows of no sink: what is due is worked out later on."""
    find(engine, "alice")

    stored = engine._database.read(lambda c: c.execute(select(sink_deliveries)).all())

    assert stored == []


def test_progress_says_how_long_something_waits(engine: Engine, clock: ManualClock) -> None:
    """The lag counts from when the oldest change was taken up that is not delivered."""
    find(engine, "alice")
    deliver(engine, DOWN)
    began = clock.now
    clock.now += HOUR
    find(engine, "bob")
    deliver(engine, DOWN)

    now = progress(engine)

    assert (now.pending_count, now.oldest_pending_time) == (2, began)
    assert now.failure_count == 2
    assert now.last_error_time == clock.now


def test_every_order_of_steps_delivers_the_last_revision(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    """Whatever servers do and fail at, in the end the receiver has each finding as it stands."""
    received: dict[str, int] = {}
    ids = [find(engine, f"user-{number}") for number in range(4)]
    servers: tuple[Engine, ...] = (engine, other)
    held: list[tuple[Engine, list[tuple[Claim, StoredFinding]]]] = []

    def step(number: int) -> None:
        server = servers[number % 2]
        match number % 5:
            case 0:
                edit(engine, ids[number % 4], f"user-{number}")
            case 1:
                held.append((server, claims(server, limit=2)))
            case 2 if held:
                owner, claimed = held.pop()
                note(received, claimed)
                settle(owner, claimed, OK)
            case 3 if held:
                owner, claimed = held.pop(0)
                settle(owner, claimed, (DOWN, REFUSED)[number % 2])
            case _:
                clock.now += timedelta(seconds=number % 90)

    for number in [(7 * i * i + 3 * i) % 101 for i in range(300)]:
        step(number)
    held.clear()
    for _ in range(50):
        clock.now += HOUR
        claimed = claims(engine)
        note(received, claimed)
        settle(engine, claimed, OK)

    stored = {finding_id: found_revision(engine, finding_id) for finding_id in ids}
    assert received == stored
    assert progress(engine).pending_count == 0


def note(received: dict[str, int], claimed: list[tuple[Claim, StoredFinding]]) -> None:
    """Takes in what was sent; a revision never falls."""
    for _, found in claimed:
        assert found.revision >= received.get(found.finding_id, 0)
        received[found.finding_id] = found.revision


def found_revision(engine: Engine, finding_id: str) -> int:
    """Returns the revision of a stored finding."""
    found = engine.get_finding(finding_id)
    assert found is not None
    return found.revision
