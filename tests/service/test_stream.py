"""Laws of SubmitEvents: what may be said in which order, and what an ack means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import grpc
import pytest

from amiguard.v1 import finding_service_pb2, ingest_service_pb2
from amiguard.v1.error_reason_pb2 import ERROR_REASON_RECORD_MALFORMED
from amiguard_service.engine import Batch, Engine, Outcome
from amiguard_service.limits import Limits
from amiguard_service.server import Capacity
from amiguard_service.store.errors import StoreConflictError, StoreUnavailableError
from tests.service.running import TIMEOUT, Running, serving
from tests.service.talking import LAUNCH, PAIR, SEARCH, Talk, log_file, records

SMALL = Limits(max_batches_in_flight=2, max_streams=1, min_judged_records=10)
"""Limits that a test reaches in a few messages."""


class Gate:
    """Holds every commit of an engine until it is opened."""

    def __init__(self, engine: Engine) -> None:
        self._commit = engine.commit
        self._is_open = Event()
        self.reached = Event()
        self.groups: list[int] = []
        engine.commit = self._pass  # type: ignore[method-assign]  # stands in its way on purpose

    def open(self) -> None:
        """Lets commits pass from now on."""
        self._is_open.set()

    def _pass(self, batches: Sequence[Batch]) -> list[Outcome]:
        self.groups.append(len(batches))
        self.reached.set()
        assert self._is_open.wait(TIMEOUT)
        return self._commit(batches)


def failing(engine: Engine, error: Exception) -> None:
    """Makes every commit of an engine fail."""

    def fail(batches: Sequence[Batch]) -> list[Outcome]:
        del batches
        raise error

    engine.commit = fail  # type: ignore[method-assign]  # in place of the store's failure


@pytest.fixture
def small(engine: Engine) -> Iterator[Running]:
    """A server with limits that are soon reached."""
    with serving(engine, capacity=Capacity(limits=SMALL)) as started:
        yield started


def test_opening_is_answered_with_the_limits(running: Running) -> None:
    """A client learns from the server what the server will hold for it."""
    with Talk(running.channel) as talk:
        opened = talk.open()

    assert Limits().to_message() == opened


def test_each_batch_is_acked_in_the_order_sent(running: Running) -> None:
    """Acks come in the order of the batches, whichever is ready first."""
    batches = [
        log_file(*PAIR, sequence=1),
        records(SEARCH, sequence=2),
        log_file(sequence=3),
        records(sequence=4),
        records(LAUNCH, sequence=5),
    ]

    with Talk(running.channel) as talk:
        talk.open()
        for batch in batches:
            talk.send_batch(batch)
        talk.finish()
        acks = [response.ack for response in talk.rest()]

    assert [ack.sequence for ack in acks] == [1, 2, 3, 4, 5]
    assert [ack.accepted_count for ack in acks] == [2, 1, 0, 0, 1]


def test_acked_findings_can_be_read(running: Running) -> None:
    """An ack means that every finding the batch caused is committed."""
    with Talk(running.channel) as talk:
        talk.open()
        talk.send_batch(records(*PAIR, sequence=1))
        ack = talk.receive_ack()
        (name,) = ack.finding_names
        found = running.findings.GetFinding(finding_service_pb2.GetFindingRequest(name=name))

    assert found.finding.occurrence_count == 1
    assert (ack.accepted_count, ack.relevant_count, ack.duplicate_count) == (2, 2, 0)


def test_resending_a_batch_changes_nothing(running: Running) -> None:
    """A record sent twice has the effect of a record sent once."""
    with Talk(running.channel) as talk:
        talk.open()
        talk.send_batch(log_file(*PAIR, sequence=1))
        first = talk.receive_ack()
        talk.send_batch(log_file(*PAIR, sequence=2))
        second = talk.receive_ack()
        (name,) = first.finding_names
        found = running.findings.GetFinding(finding_service_pb2.GetFindingRequest(name=name))

    assert (first.duplicate_count, second.duplicate_count) == (0, 2)
    assert found.finding.occurrence_count == 1


def test_no_ack_before_the_commit(engine: Engine, running: Running) -> None:
    """A batch is acked only once it is durable, even where a later one needs no transaction."""
    gate = Gate(engine)

    with Talk(running.channel) as talk, ThreadPoolExecutor() as pool:
        talk.open()
        talk.send_batch(records(*PAIR, sequence=1))
        talk.send_batch(records(sequence=2))
        ack = pool.submit(talk.receive_ack)
        assert gate.reached.wait(TIMEOUT)
        was_early = ack.done()
        gate.open()
        acked = ack.result(TIMEOUT)

    assert not was_early
    assert acked.sequence == 1


def test_a_bad_record_fails_no_other(running: Running) -> None:
    """A bad record is counted and named by index, path and reason; the rest of its batch lands."""
    with Talk(running.channel) as talk:
        talk.open()
        talk.send_batch(records(SEARCH, b"{", LAUNCH, sequence=1))
        ack = talk.receive_ack()
        (rejection,) = ack.rejections

    assert (ack.accepted_count, ack.rejected_count, len(ack.finding_names)) == (2, 1, 1)
    assert (rejection.index, rejection.path) == (1, "$")
    assert rejection.reason == ERROR_REASON_RECORD_MALFORMED
    assert rejection.message


def test_unknown_messages_are_ignored(running: Running) -> None:
    """A kind of message that this server does not know changes nothing, whenever it comes."""
    with Talk(running.channel) as talk:
        talk.send(ingest_service_pb2.SubmitEventsRequest())
        talk.open()
        talk.send(ingest_service_pb2.SubmitEventsRequest())
        talk.send_batch(records(SEARCH, sequence=1))
        ack = talk.receive_ack()

    assert ack.sequence == 1


@pytest.mark.parametrize("sequence", [0, 2, -1])
def test_sequences_rise_by_one_from_one(running: Running, sequence: int) -> None:
    """A batch out of sequence ends the stream."""
    with Talk(running.channel) as talk:
        talk.open()
        talk.send_batch(records(sequence=sequence))
        _, refused = talk.end()

    assert refused.code == grpc.StatusCode.FAILED_PRECONDITION
    assert refused.reason == "STREAM_PROTOCOL"
    assert refused.metadata == {"expected": "sequence 1"}


def test_what_was_sent_before_a_fault_is_acked(running: Running) -> None:
    """A stream that breaks the protocol gets the acks of what it sent before, then the error."""
    with Talk(running.channel) as talk:
        talk.open()
        talk.send_batch(log_file(*PAIR, sequence=1))
        talk.send_batch(records(SEARCH, sequence=2))
        talk.send_batch(records(sequence=4))
        responses, refused = talk.end()

    assert [response.ack.sequence for response in responses] == [1, 2]
    assert refused.metadata == {"expected": "sequence 3"}


def test_a_batch_before_the_opening_is_refused(running: Running) -> None:
    """The first message opens the stream."""
    with Talk(running.channel) as talk:
        talk.send_batch(records(sequence=1))
        _, refused = talk.end()

    assert (
        refused.code,
        refused.reason,
    ) == (grpc.StatusCode.FAILED_PRECONDITION, "STREAM_PROTOCOL")
    assert refused.metadata == {"expected": "open"}


def test_a_stream_without_a_message_is_refused(running: Running) -> None:
    """A stream that ends before it was opened broke its protocol."""
    with Talk(running.channel) as talk:
        talk.finish()
        _, refused = talk.end()

    assert refused.metadata == {"expected": "open"}


def test_a_second_opening_is_refused(running: Running) -> None:
    """A stream is opened once."""
    with Talk(running.channel) as talk:
        talk.open()
        talk.send(ingest_service_pb2.SubmitEventsRequest(open=ingest_service_pb2.OpenStream()))
        _, refused = talk.end()

    assert refused.metadata == {"expected": "batch"}


@pytest.mark.parametrize("source", ["", "A", "a" * 65, "a b", "ä"])
def test_sources_are_checked(running: Running, source: str) -> None:
    """A source has 1 to 64 characters from [a-z0-9-]."""
    with Talk(running.channel) as talk:
        talk.send(
            ingest_service_pb2.SubmitEventsRequest(
                open=ingest_service_pb2.OpenStream(source=source)
            )
        )
        _, refused = talk.end()

    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert refused.fields == ("open.source",)


def test_a_batch_has_a_payload(running: Running) -> None:
    """A batch without a payload is refused; one with an empty list of records is not."""
    with Talk(running.channel) as talk:
        talk.open()
        talk.send_batch(records(sequence=1))
        talk.send_batch(ingest_service_pb2.EventBatch(sequence=2))
        responses, refused = talk.end()

    assert [response.ack.sequence for response in responses] == [1]
    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("batch",))


def test_a_client_within_the_window_is_never_stopped(small: Running) -> None:
    """Whoever sends a batch for each ack it gets can go on for ever."""
    count = 200

    with Talk(small.channel) as talk:
        talk.open()
        talk.send_batch(records(SEARCH, sequence=1))
        for sequence in range(2, count + 1):
            talk.send_batch(records(SEARCH, sequence=sequence))
            talk.receive_ack()
        talk.finish()
        (last,) = talk.rest()

    assert count == last.ack.sequence


def test_streams_past_the_limit_are_refused(small: Running) -> None:
    """One stream more than the server serves is told to come back later."""
    with Talk(small.channel) as first:
        # Only then: of two that begin together either may be the first.
        first.open()
        with Talk(small.channel) as second:
            opening = ingest_service_pb2.OpenStream(source="tests")
            second.send(ingest_service_pb2.SubmitEventsRequest(open=opening))
            second.finish()
            _, refused = second.end()

    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert refused.metadata == {"limit": "1 streams"}


def test_a_place_is_free_after_its_stream(small: Running) -> None:
    """A stream that ended, whichever way, takes no place."""
    for _ in range(3):
        with Talk(small.channel) as talk:
            talk.open()
            talk.finish()
            talk.rest()

    with Talk(small.channel) as talk:
        limits = talk.open()

    assert SMALL.to_message() == limits


def test_a_stream_of_mostly_bad_records_is_ended(small: Running) -> None:
    """Past a share of rejections the stream is ended, after what it sent is committed and acked."""
    bad = [b"no record"] * 4

    with Talk(small.channel) as talk:
        talk.open()
        for sequence in (1, 2):
            talk.send_batch(records(SEARCH, *bad, sequence=sequence))
            if sequence == 1:
                talk.receive_ack()
        responses, refused = talk.end()

    assert [(r.ack.sequence, r.ack.rejected_count) for r in responses] == [(2, 4)]
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MOSTLY_MALFORMED")
    assert refused.metadata == {"record_count": "10", "rejected_count": "8"}


def test_some_bad_records_end_no_stream(small: Running) -> None:
    """A stream goes on while no more than the share allowed is rejected."""
    with Talk(small.channel) as talk:
        talk.open()
        for sequence in range(1, 21):
            talk.send_batch(records(SEARCH, b"no record", sequence=sequence))
            talk.receive_ack()
        talk.finish()
        rest = talk.rest()

    assert rest == []


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (StoreUnavailableError("no such disk"), grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
        (StoreConflictError("deadlock detected"), grpc.StatusCode.ABORTED, "STORE_CONFLICT"),
        (RuntimeError("SELECT secret"), grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
def test_nothing_is_acked_that_was_not_committed(
    engine: Engine, running: Running, error: Exception, code: grpc.StatusCode, reason: str
) -> None:
    """Where the store fails the stream ends without an ack, and without the store's words."""
    failing(engine, error)

    with Talk(running.channel) as talk:
        talk.open()
        talk.send_batch(records(*PAIR, sequence=1))
        talk.send_batch(records(sequence=2))
        responses, refused = talk.end()

    assert responses == []
    assert (code, reason) == (refused.code, refused.reason)
    assert str(error) not in talk.call.details()


def test_one_batch_the_store_cannot_take_fails_nobody_elses(
    engine: Engine, running: Running
) -> None:
    """Batches that shared a transaction with one that cannot be stored are stored without it."""
    commit = engine.commit
    gate = Gate(engine)
    held = engine.commit

    def refuse_poison(batches: Sequence[Batch]) -> list[Outcome]:
        if gate.groups:
            if any(batch.source == "poison" for batch in batches):
                raise ValueError("this one")
            return commit(batches)
        return held(batches)

    engine.commit = refuse_poison  # type: ignore[method-assign]  # in place of a store's defect
    with (
        Talk(running.channel) as first,
        Talk(running.channel) as poison,
        Talk(running.channel) as good,
    ):
        first.open()
        poison.open("poison")
        good.open()
        first.send_batch(records(SEARCH, sequence=1))
        assert gate.reached.wait(TIMEOUT)
        poison.send_batch(records(LAUNCH, sequence=1))
        good.send_batch(records(LAUNCH, sequence=1))
        gate.open()
        _, refused = poison.end()
        ack = good.receive_ack()

    assert refused.code == grpc.StatusCode.INTERNAL
    assert ack.accepted_count == 1


def test_what_a_client_sent_before_it_went_may_be_sent_again(
    engine: Engine, running: Running
) -> None:
    """A client that vanishes before the ack can resend: what was committed counts once."""
    gate = Gate(engine)
    with Talk(running.channel) as talk:
        talk.open()
        talk.send_batch(records(*PAIR, sequence=1))
        assert gate.reached.wait(TIMEOUT)
    gate.open()

    with Talk(running.channel) as again:
        again.open()
        again.send_batch(records(*PAIR, sequence=1))
        ack = again.receive_ack()

    assert (ack.accepted_count, ack.duplicate_count) == (2, 2)
