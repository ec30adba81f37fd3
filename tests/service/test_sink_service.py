"""Laws of SinkService, on a server at work that delivers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from amiguard.v1 import sink_service_pb2 as wire
from amiguard.v1.sink_service_pb2_grpc import SinkServiceStub
from amiguard_service.delivery import RetryLimits
from amiguard_service.engine import Engine
from amiguard_service.identity import Role
from amiguard_service.sinks import Sink, SinkKind
from tests.clients.live_server import people
from tests.service.operating import occur
from tests.service.receiving import TIMEOUT, Answer, Receiver, receiving
from tests.service.running import Refused, Running, refusal, serving
from tests.service.waiting import until_in_thread

READS = ("ListSinks", "ListDeadLetters")


@dataclass
class Delivering:
    """A server at work, what it delivers to, and a client's view of it."""

    engine: Engine
    running: Running
    receiver: Receiver

    def call(self, request: Any, *, by: str | None = None) -> Any:
        """Makes the call that a request is for, with somebody's token if need be."""
        stub = SinkServiceStub(self.running.channel)
        method = getattr(stub, type(request).__name__.removesuffix("Request"))
        metadata = [] if by is None else [("authorization", f"Bearer {by}")]
        return method(request, timeout=TIMEOUT, metadata=metadata)

    def refused(self, request: Any, *, by: str | None = None) -> Refused:
        """Makes a call that is refused, and returns how."""
        with pytest.raises(grpc.RpcError) as caught:
            self.call(request, by=by)
        return refusal(caught.value)

    def sink(self, name: str = "siem") -> wire.Sink:
        """Returns a sink."""
        sinks: list[wire.Sink] = list(self.call(wire.ListSinksRequest()).sinks)
        return next(sink for sink in sinks if sink.name == f"sinks/{name}")

    def kill(self, number: int = 1) -> str:
        """Makes a dead letter; returns the id of its finding."""
        self.receiver.answer = Answer(422, body=b"no")
        before = self.sink().dead_letter_count
        finding_id = occur(self.engine, number, name=f"acme-{number}-*")
        until_in_thread(lambda: self.sink().dead_letter_count > before)
        return finding_id


def sink_of(receiver: Receiver, name: str = "siem") -> Sink:
    """Makes a sink that gives up at the first failure."""
    return Sink(
        name,
        SinkKind.WEBHOOK,
        receiver.url,
        "http://127.0.0.1",
        secrets=(b"s" * 32,),
        filter="region = eu-west-1",
        minimum_likelihood="LOW",
        limits=RetryLimits(max_attempts=1),
        private_network=True,
    )


@pytest.fixture
def delivering(engine: Engine) -> Iterator[Delivering]:
    """A server with a sink, and one that is in its settings no more."""
    engine.sinks.add(["former"])
    with receiving() as receiver:
        sink = sink_of(receiver)
        with serving(engine, sinks=[sink]) as running:
            yield Delivering(engine, running, receiver)


def test_finding_is_delivered_and_told_of(delivering: Delivering) -> None:
    """What is found reaches the receiver, and the list says that it did."""
    finding_id = occur(delivering.engine)
    received = delivering.receiver.take()
    until_in_thread(lambda: delivering.sink().delivered_count)

    sink = delivering.sink()
    assert received.event["subject"] == f"findings/{finding_id}"
    assert (sink.kind, sink.state) == (wire.Sink.KIND_WEBHOOK, wire.Sink.STATE_DELIVERING)
    assert (sink.url, sink.filter) == ("http://127.0.0.1", "region = eu-west-1")
    assert (sink.minimum_likelihood, sink.payload) == ("LOW", wire.Sink.PAYLOAD_FINDING)
    assert (sink.delivered_count, sink.pending_count, sink.dead_letter_count) == (1, 0, 0)
    assert sink.HasField("last_delivery_time")
    assert not sink.HasField("last_error_time")
    assert not sink.lag.ToTimedelta()


def test_sink_that_is_configured_no_more_is_told_of(delivering: Delivering) -> None:
    """What waits for it does not vanish from sight."""
    former = delivering.sink("former")

    assert former.state == wire.Sink.STATE_NOT_CONFIGURED
    assert (former.kind, former.url) == (wire.Sink.KIND_UNSPECIFIED, "")


def test_failing_sink_says_so(delivering: Delivering) -> None:
    """With what came back, how long something has waited and when it is tried again."""
    delivering.receiver.answer = Answer(503, body=b"in maintenance")
    limits = RetryLimits()
    patient = replace(sink_of(delivering.receiver, "patient"), limits=limits)
    with serving(delivering.engine, sinks=[patient]) as running:
        other = replace(delivering, running=running)
        occur(delivering.engine)
        until_in_thread(lambda: other.sink("patient").failure_count)

        sink = other.sink("patient")

    assert sink.state == wire.Sink.STATE_FAILING
    assert sink.last_error == "HTTP 503: in maintenance"
    assert sink.pending_count == 1
    assert sink.HasField("resume_time")
    assert sink.lag.ToTimedelta()


def test_dead_letters_are_listed_and_retried(delivering: Delivering) -> None:
    """Each says what became of it; a retry delivers it once the receiver takes it."""
    first, second = delivering.kill(1), delivering.kill(2)
    letters = delivering.call(wire.ListDeadLettersRequest(sink="sinks/siem")).dead_letters
    while not delivering.receiver.requests.empty():
        delivering.receiver.take()
    delivering.receiver.answer = Answer()

    one = wire.RetryDeadLettersRequest(sink="sinks/siem", finding=f"findings/{first}")
    retried = [delivering.call(one).retried_count]
    subjects = [delivering.receiver.take().event["subject"]]
    retried.append(delivering.call(wire.RetryDeadLettersRequest(sink="sinks/siem")).retried_count)
    subjects.append(delivering.receiver.take().event["subject"])

    assert {letter.finding for letter in letters} == {f"findings/{first}", f"findings/{second}"}
    assert [(letter.attempt_count, letter.last_error) for letter in letters] == [
        (1, "HTTP 422: no")
    ] * 2
    assert retried == [1, 1]
    assert subjects == [f"findings/{first}", f"findings/{second}"]


def test_lists_come_in_pages(delivering: Delivering) -> None:
    """Every sink and every dead letter once, and a token is good for its own list alone."""
    ids = {delivering.kill(number) for number in range(1, 4)}

    sinks = pages(delivering, wire.ListSinksRequest(page_size=1), "sinks")
    letters = pages(
        delivering, wire.ListDeadLettersRequest(sink="sinks/siem", page_size=2), "dead_letters"
    )
    token = delivering.call(wire.ListSinksRequest(page_size=1)).next_page_token

    assert [sink.name for sink in sinks] == ["sinks/former", "sinks/siem"]
    assert [letter.finding for letter in letters] == sorted(f"findings/{one}" for one in ids)
    wrong = wire.ListDeadLettersRequest(sink="sinks/siem", page_token=token)
    assert delivering.refused(wrong).reason == "PAGE_TOKEN_MISMATCH"


def pages(delivering: Delivering, request: Any, field: str) -> list[Any]:
    """Reads a list to its end."""
    found: list[Any] = []
    while True:
        page = delivering.call(request)
        found += getattr(page, field)
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


@pytest.mark.parametrize(("status", "answer"), [(204, "HTTP 204"), (500, "HTTP 500: oh")])
def test_test_says_what_came_back(delivering: Delivering, status: int, answer: str) -> None:
    """A failure is an answer like any other."""
    delivering.receiver.answer = Answer(status, body=b"oh" if status == 500 else b"")

    response = delivering.call(wire.TestSinkRequest(sink="sinks/siem"))

    assert delivering.receiver.take().event["type"] == "dev.amiguard.v1.sink.test"
    assert (response.delivered, response.answer) == (status == 204, answer)
    assert response.duration.ToTimedelta()


@pytest.mark.parametrize(
    "request_of",
    [wire.TestSinkRequest, wire.RetryDeadLettersRequest, wire.ListDeadLettersRequest],
)
def test_unknown_sink_is_not_found(delivering: Delivering, request_of: Any) -> None:
    """Nor is a name that can be none taken for one."""
    unknown = delivering.refused(request_of(sink="sinks/nobody"))
    malformed = [delivering.refused(request_of(sink=name)) for name in ("", "siem", "sinks/")]

    assert unknown == Refused(StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": "sinks/nobody"})
    assert {(one.code, one.fields) for one in malformed} == {
        (StatusCode.INVALID_ARGUMENT, ("sink",))
    }


@pytest.mark.parametrize("request_of", [wire.TestSinkRequest, wire.RetryDeadLettersRequest])
def test_former_sink_can_be_neither_tested_nor_retried(
    delivering: Delivering, request_of: Any
) -> None:
    """There is nowhere to send to."""
    assert delivering.refused(request_of(sink="sinks/former")).reason == "RESOURCE_NOT_FOUND"


def test_finding_of_a_retry_has_a_name(delivering: Delivering) -> None:
    """A bare id is refused with the field."""
    request = wire.RetryDeadLettersRequest(sink="sinks/siem", finding="x")

    assert delivering.refused(request).fields == ("finding",)


def test_reading_and_changing_need_their_roles(engine: Engine) -> None:
    """As in tuning: whoever reads may look, and only an administrator may act."""
    everybody = people(**{role.value: role for role in Role})
    requests = (
        wire.ListSinksRequest(),
        wire.ListDeadLettersRequest(sink="sinks/siem"),
        wire.RetryDeadLettersRequest(sink="sinks/siem"),
        wire.TestSinkRequest(sink="sinks/siem"),
    )
    with (
        receiving() as receiver,
        serving(engine, authenticator=everybody, sinks=[sink_of(receiver)]) as running,
    ):
        delivering = Delivering(engine, running, receiver)
        for request in requests:
            is_read = type(request).__name__.removesuffix("Request") in READS
            delivering.call(request, by="admin")
            if is_read:
                delivering.call(request, by="read")
            for role in Role:
                if role is Role.ADMIN or (role is Role.READ and is_read):
                    continue
                assert delivering.refused(request, by=role.value).reason == "ROLE_MISSING"
