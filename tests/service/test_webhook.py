"""Laws of webhooks, against a server that really answers, or does not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from google.protobuf.json_format import ParseDict
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from amiguard.ocsf import detection_finding
from amiguard.v1.finding_pb2 import Finding
from amiguard_service.convert import finding_message
from amiguard_service.delivery import Event, Outcome, event_of
from amiguard_service.engine import Engine
from amiguard_service.sinks import Payload, Sink, SinkKind
from amiguard_service.webhook import SinkResolver, Webhook
from tests.service.certificates import Authority, Identity
from tests.service.operating import occur
from tests.service.receiving import Answer, Received, Receiver, receiving

SECRET, OLD_SECRET = b"s" * 32, b"o" * 32
TEST = Event("test.1", datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody's system."""
    with receiving() as started:
        yield started


def sink_of(url: str, **values: Any) -> Sink:
    """Makes a sink on this machine."""
    given: dict[str, Any] = {"private_network": True, "secrets": (SECRET,)} | values
    return Sink("siem", SinkKind.WEBHOOK, url, "", **given)


def send(url: str, event: Event = TEST, **values: Any) -> Outcome:
    """Makes one attempt."""

    async def attempt() -> Outcome:
        webhook = Webhook(sink_of(url, **values), clock=lambda: datetime.now(UTC))
        try:
            return await webhook.prepare(event)()
        finally:
            await webhook.close()

    return asyncio.run(attempt())


def test_receiver_gets_a_cloud_event_of_the_finding(engine: Engine, receiver: Receiver) -> None:
    """What a CloudEvents library reads: the attributes, and the finding as the API gives it."""
    found = engine.get_finding(occur(engine))
    assert found is not None

    outcome = send(receiver.url, event_of(found))
    received = receiver.take()
    event = from_structured(HTTPMessage(dict(received.headers), received.body), JSONFormat())

    assert outcome == Outcome(is_delivered=True, answer="HTTP 204")
    assert event.get_id() == received.headers["webhook-id"] == f"{found.finding_id}.1"
    assert event.get_type() == "dev.amiguard.v1.finding.changed"
    assert event.get_subject() == f"findings/{found.finding_id}"
    assert event.get_time() == found.update_time
    assert event.get_extension("revision") == 1
    data = event.get_data()
    assert isinstance(data, dict)
    assert ParseDict(data, Finding()) == finding_message(found)


def test_receiver_gets_an_ocsf_event_where_the_sink_says_so(
    engine: Engine, receiver: Receiver
) -> None:
    """The same envelope, and in it the Detection Finding that everybody else gets of it."""
    found = engine.get_finding(occur(engine))
    assert found is not None

    send(receiver.url, event_of(found), payload=Payload.OCSF)
    event = receiver.take().event

    assert event["type"] == "dev.amiguard.v1.finding.changed"
    assert event["data"]["class_uid"] == 2004
    assert event["data"] == detection_finding(finding_message(found))


def test_test_says_that_it_is_one(receiver: Receiver) -> None:
    """Nobody can take a test for a finding."""
    send(receiver.url)
    received = receiver.take()

    assert received.event["type"] == "dev.amiguard.v1.sink.test"
    assert "subject" not in received.event
    assert received.headers["content-type"].startswith("application/cloudevents+json")


def verify(received: Received, secret: bytes) -> None:
    """Verifies a request as a receiver does that knows Standard Webhooks."""
    Verifier(secret).verify(received.body, dict(received.headers))


def test_others_verify_the_signature(receiver: Receiver) -> None:
    """A library of Standard Webhooks takes ours for ours, and nobody else's."""
    send(receiver.url)
    received = receiver.take()

    verify(received, SECRET)
    with pytest.raises(WebhookVerificationError):
        verify(received, OLD_SECRET)
    forged = Received(received.path, received.headers, received.body + b" ")
    with pytest.raises(WebhookVerificationError):
        verify(forged, SECRET)


def test_secret_is_changed_without_a_gap(receiver: Receiver) -> None:
    """While there are two secrets, a receiver may know either."""
    send(receiver.url, secrets=(SECRET, OLD_SECRET))
    received = receiver.take()

    verify(received, SECRET)
    verify(received, OLD_SECRET)


@pytest.mark.parametrize(
    ("status", "is_refusal"),
    [
        (400, True),
        (401, False),
        (404, False),
        (408, False),
        (410, False),
        (413, True),
        (422, True),
        (429, False),
        (500, False),
        (503, False),
    ],
)
def test_refusal_is_told_from_an_outage(
    receiver: Receiver, status: int, *, is_refusal: bool
) -> None:
    """Only answers that speak of the one request leave the others to be sent."""
    receiver.answer = Answer(status, body=b"no\x1b[31m\r\nway")

    outcome = send(receiver.url)

    assert outcome == Outcome(
        is_delivered=False, answer=f"HTTP {status}: no [31m way", is_refusal=is_refusal
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_success_is_one(receiver: Receiver, status: int) -> None:
    """Whatever a receiver says of success."""
    receiver.answer = Answer(status)

    assert send(receiver.url).is_delivered


def test_redirect_is_not_followed(receiver: Receiver) -> None:
    """A finding goes where the operator said, or nowhere."""
    elsewhere = receiver.url + "/elsewhere"
    receiver.answer = Answer(307, headers={"Location": elsewhere})

    outcome = send(receiver.url)

    assert not outcome.is_delivered
    assert outcome.answer == f"HTTP 307, a redirect to {elsewhere}, which is not followed"
    assert receiver.take().path == "/hook"
    assert receiver.requests.empty()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", timedelta(seconds=120)),
        ("0", timedelta(0)),
        ("soon", None),
        ("-1", None),
        ("9" * 40, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", timedelta(0)),
    ],
)
def test_retry_after_is_read(receiver: Receiver, text: str, expected: timedelta | None) -> None:
    """Seconds or a date; nonsense is as if it were not there."""
    receiver.answer = Answer(503, headers={"Retry-After": text})

    assert send(receiver.url).retry_after == expected


def test_retry_after_of_a_date_counts_from_now(receiver: Receiver) -> None:
    """A date of the future is a wait."""
    date = datetime.now(UTC) + timedelta(hours=2)
    receiver.answer = Answer(503, headers={"Retry-After": f"{date:%a, %d %b %Y %H:%M:%S} GMT"})

    retry_after = send(receiver.url).retry_after

    assert retry_after is not None
    assert timedelta(hours=1) < retry_after <= timedelta(hours=2)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\x00\xff garbage\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n", "no HTTP"),
        (b"", "closed before an answer came"),
    ],
)
def test_garbage_is_a_failure(receiver: Receiver, raw: bytes, said: str) -> None:
    """Whatever comes back, it is told in a line and tried again."""
    receiver.answer = Answer(raw=raw)

    outcome = send(receiver.url)

    assert (outcome.is_delivered, outcome.is_refusal) == (False, False)
    assert said in outcome.answer
    assert len(outcome.answer) <= 300


def test_success_counts_though_its_answer_never_ends(receiver: Receiver) -> None:
    """An event that is taken is taken, whatever the receiver goes on to say, or does not."""
    receiver.answer = Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", hangs=Flag())

    assert send(receiver.url) == Outcome(is_delivered=True, answer="HTTP 200")
    assert receiver.answer.hangs is not None
    receiver.answer.hangs.set()


def test_long_answer_is_not_read_to_its_end(receiver: Receiver) -> None:
    """A receiver cannot fill our memory or our tables."""
    receiver.answer = Answer(500, body=b"z" * 10_000_000)

    assert len(send(receiver.url).answer) == 300


def test_receiver_that_is_gone_is_a_failure() -> None:
    """Nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"

        assert send(url).answer == "cannot connect: Connection refused"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433"])
def test_private_address_is_refused_whatever_the_name(receiver: Receiver, host: str) -> None:
    """A name that means a private address is not connected to unless the operator says so."""
    url = receiver.url.replace("127.0.0.1", host)

    outcome = send(url, private_network=False)

    assert not outcome.is_delivered
    assert "is in a private network" in outcome.answer
    assert receiver.requests.empty()


def test_private_addresses_of_a_public_name_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a name with both kinds of addresses only the public ones are connected to."""

    def resolve(*_: object, **__: object) -> list[Any]:
        addresses = ("10.0.0.1", "8.8.8.8", "::1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 443)) for one in addresses]

    async def ask(*, only_public: bool) -> list[str]:
        resolver = SinkResolver(only_public=only_public)
        found = await resolver.resolve("siem.example.com", 443)
        await resolver.close()
        return [one["host"] for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert asyncio.run(ask(only_public=True)) == ["8.8.8.8"]
    assert asyncio.run(ask(only_public=False)) == ["10.0.0.1", "8.8.8.8", "::1"]


def test_certificate_has_to_be_trusted(tmp_path: Path) -> None:
    """By the system or by the operator's authorities, and it has to be of the host."""
    ours, others = Authority("ours"), Authority("others")
    for authority in (ours, others):
        (tmp_path / str(id(authority))).write_bytes(authority.certificate)
    trusted: dict[str, Any] = {"tls_ca": tmp_path / str(id(ours))}

    with receiving(context_of(tmp_path, ours.issue("127.0.0.1"))) as receiver:
        assert send(receiver.url, **trusted).is_delivered
        strangers = [
            send(receiver.url),
            send(receiver.url, tls_ca=tmp_path / str(id(others))),
        ]
    with receiving(context_of(tmp_path, ours.issue("127.0.0.2"))) as receiver:
        strangers.append(send(receiver.url, **trusted))

    assert ["certificate is not trusted" in outcome.answer for outcome in strangers] == [True] * 3


def context_of(folder: Path, identity: Identity) -> ssl.SSLContext:
    """Makes what a server needs to be the one of a certificate."""
    pair = folder / "pair.pem"
    pair.write_bytes(identity.certificate + identity.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context


def test_attempt_that_is_given_up_ends(receiver: Receiver) -> None:
    """Whoever bounds an attempt in time is not held up by a receiver that never answers."""
    never = Flag()
    receiver.answer = Answer(waits_for=never)

    async def attempt() -> None:
        webhook = Webhook(sink_of(receiver.url), clock=lambda: datetime.now(UTC))
        try:
            async with asyncio.timeout(0.1):
                await webhook.prepare(TEST)()
        finally:
            await webhook.close()

    with pytest.raises(TimeoutError):
        asyncio.run(attempt())
    never.set()
