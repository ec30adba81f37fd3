"""Laws of the way in: nobody who holds calls or connections open keeps the others out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from amiguard.v1 import finding_service_pb2 as finding_wire
from amiguard.v1 import ingest_service_pb2 as wire
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from amiguard_service.engine import Engine
from amiguard_service.identity import Principal, Role, Token, Tokens
from amiguard_service.limits import Limits
from amiguard_service.server import Capacity
from tests.service.running import TIMEOUT, Running, refusal, serving

LIST = "/amiguard.v1.FindingService/GetFindings"
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


def token_of(name: str, *roles: Role) -> Token:
    """A token that is its principal's name."""
    return Token(Principal(name, frozenset(roles)), sha256(name.encode()).digest())


READER, OTHER_READER = token_of("reader", Role.READ), token_of("other-reader", Role.READ)
FORWARDER, OTHER = token_of("forwarder", Role.INGEST), token_of("other", Role.INGEST)
EVERYBODY = Tokens((READER, OTHER_READER, FORWARDER, OTHER))


def said_by(token: Token | None) -> tuple[tuple[str, str], ...]:
    """What a call presents."""
    return () if token is None else (("authorization", f"Bearer {token.principal.name}"),)


@pytest.fixture
def channels() -> Iterator[list[grpc.Channel]]:
    """Channels that are closed at the end of a test."""
    opened: list[grpc.Channel] = []
    yield opened
    for channel in opened:
        channel.close()


def connect(running: Running, channels: list[grpc.Channel]) -> grpc.Channel:
    """Returns another connection."""
    channel = grpc.insecure_channel(running.target, options=_OPTIONS)
    channels.append(channel)
    return channel


def assert_serves(running: Running, channels: list[grpc.Channel]) -> None:
    """A reader, a forwarder and a health check are served over a connection of their own."""
    channel = connect(running, channels)
    FindingServiceStub(channel).GetFindings(
        finding_wire.GetFindingsRequest(), metadata=said_by(READER), timeout=TIMEOUT
    )
    IngestServiceStub(channel).SubmitBatch(
        wire.SubmitBatchRequest(source="src", batch=wire.EventBatch(records=wire.RecordList())),
        metadata=said_by(FORWARDER),
        timeout=TIMEOUT,
    )
    health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)


class Silent:
    """Calls whose body never comes."""

    def __init__(self, channels: Sequence[grpc.Channel], count: int, token: Token | None) -> None:
        self._end = threading.Event()

        def nothing() -> Iterator[bytes]:
            self._end.wait(TIMEOUT)
            yield from ()

        self.calls: list[Any] = [
            channels[n % len(channels)]
            .stream_unary(LIST)
            .future(nothing(), metadata=said_by(token))  # type: ignore[arg-type]  # bytes, as they are
            for n in range(count)
        ]

    def codes(self) -> set[grpc.StatusCode]:
        """Returns how they ended."""
        codes = {call.exception(TIMEOUT).code() for call in self.calls}
        self._end.set()
        return codes


def test_open_health_watches_keep_nobody_out(engine: Engine, channels: list[grpc.Channel]) -> None:
    """They ask for no credentials, so there are few of them, and few for each connection."""
    with serving(engine, authenticator=EVERYBODY) as running:
        watches = []
        for _ in range(6):
            stub = health_pb2_grpc.HealthStub(connect(running, channels))
            watches += [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(100)]
        codes = [_first_code(watch) for watch in watches]

        assert_serves(running, channels)
        kept = codes.count(grpc.StatusCode.OK)
        for watch in watches:
            watch.cancel()

    assert (kept, set(codes)) == (48, {grpc.StatusCode.OK, EXHAUSTED})


def _first_code(watch: Any) -> grpc.StatusCode:
    try:
        next(watch)
    except grpc.RpcError as error:
        code = error.code()
        assert isinstance(code, grpc.StatusCode)
        return code
    return grpc.StatusCode.OK


@pytest.mark.parametrize("token", [None, OTHER], ids=["nobody", "wrong role"])
def test_calls_without_credentials_end_before_their_body(
    engine: Engine, channels: list[grpc.Channel], token: Token | None
) -> None:
    """Credentials come with the headers: nothing more of such a call is read or waited for."""
    with serving(engine, authenticator=EVERYBODY) as running:
        flood = [connect(running, channels) for _ in range(2)]
        silent = Silent(flood, 12, token)
        codes = silent.codes()

        assert_serves(running, channels)

    wanted = grpc.StatusCode.UNAUTHENTICATED if token is None else grpc.StatusCode.PERMISSION_DENIED
    assert codes == {wanted}


def test_calls_without_a_body_keep_nobody_out(engine: Engine, channels: list[grpc.Channel]) -> None:
    """Not even others of the same principal: until a message is there, no place is taken."""
    limits = Limits(first_message_seconds=2)
    with serving(engine, authenticator=EVERYBODY, capacity=Capacity(limits=limits)) as running:
        flood = [connect(running, channels) for _ in range(6)]
        silent = Silent(flood, 60, READER)
        assert_serves(running, channels)
        codes = silent.codes()

    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}


def test_stream_that_is_not_opened_ends(engine: Engine) -> None:
    """A stream of batches has to say what it is within the same time."""
    limits = Limits(first_message_seconds=0.2)
    with serving(engine, capacity=Capacity(limits=limits)) as running:
        end = threading.Event()

        def nothing() -> Iterator[wire.SubmitEventsRequest]:
            end.wait(TIMEOUT)
            yield from ()

        stream = IngestServiceStub(running.channel).SubmitEvents(nothing())
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        end.set()

    assert refusal(caught.value).reason == "REQUEST_MISSING"


def test_streams_that_are_not_opened_keep_nobody_out(
    engine: Engine, channels: list[grpc.Channel]
) -> None:
    """Also where nobody has credentials: a stream takes a place once it has said what it is."""
    end = threading.Event()

    def nothing() -> Iterator[wire.SubmitEventsRequest]:
        end.wait(TIMEOUT)
        yield from ()

    with serving(engine, capacity=Capacity(limits=Limits(max_streams=2))) as running:
        silent = IngestServiceStub(connect(running, channels))
        held = [silent.SubmitEvents(nothing()) for _ in range(6)]
        opening = [wire.SubmitEventsRequest(open=wire.OpenStream(source="src"))]
        answers = list(IngestServiceStub(connect(running, channels)).SubmitEvents(iter(opening)))
        for stream in held:
            stream.cancel()
        end.set()

    assert [answer.WhichOneof("message") for answer in answers] == ["opened"]


class TestPrincipals:
    """One principal leaves room for the others."""

    LIMITS = Limits(max_streams=4, max_streams_per_principal=3)

    def test_streams(self, engine: Engine, channels: list[grpc.Channel]) -> None:
        """Of those that send batches."""
        end = threading.Event()

        def opening() -> Iterator[wire.SubmitEventsRequest]:
            yield wire.SubmitEventsRequest(open=wire.OpenStream(source="src"))
            end.wait(TIMEOUT)

        capacity = Capacity(limits=self.LIMITS)
        with serving(engine, authenticator=EVERYBODY, capacity=capacity) as running:
            stub = IngestServiceStub(connect(running, channels))
            streams = [
                stub.SubmitEvents(opening(), metadata=said_by(token))
                for token in (FORWARDER, FORWARDER, FORWARDER)
            ]
            codes = [_first_code(stream) for stream in streams]
            one_more = _first_code(stub.SubmitEvents(opening(), metadata=said_by(FORWARDER)))
            of_other = _first_code(stub.SubmitEvents(opening(), metadata=said_by(OTHER)))
            end.set()

        assert (set(codes), one_more, of_other) == (
            {grpc.StatusCode.OK},
            EXHAUSTED,
            grpc.StatusCode.OK,
        )

    def test_watches(self, engine: Engine, channels: list[grpc.Channel]) -> None:
        """Of those that watch findings."""
        capacity = Capacity(limits=self.LIMITS)
        with serving(engine, authenticator=EVERYBODY, capacity=capacity) as running:
            stub = FindingServiceStub(connect(running, channels))
            request = finding_wire.WatchFindingsRequest()
            watches = [stub.WatchFindings(request, metadata=said_by(READER)) for _ in range(3)]
            codes = [_first_code(watch) for watch in watches]
            one_more = _first_code(stub.WatchFindings(request, metadata=said_by(READER)))
            of_other = _first_code(stub.WatchFindings(request, metadata=said_by(OTHER_READER)))

        assert (set(codes), one_more, of_other) == (
            {grpc.StatusCode.OK},
            EXHAUSTED,
            grpc.StatusCode.OK,
        )


def test_streams_end_at_their_age(engine: Engine) -> None:
    """A watcher is told to go on with another stream, as before a stop."""
    capacity = Capacity(limits=Limits(max_stream_age_seconds=0.2))
    with serving(engine, capacity=capacity) as running:
        watch = running.findings.WatchFindings(finding_wire.WatchFindingsRequest())
        next(watch)
        with pytest.raises(grpc.RpcError) as caught:
            next(watch)

    assert refusal(caught.value).reason == "DRAINING"


@pytest.mark.parametrize(
    "limits", [Limits(max_stream_age_seconds=0.2), Limits(max_stream_idle_seconds=0.2)], ids=str
)
def test_forwarders_are_asked_to_leave(engine: Engine, limits: Limits) -> None:
    """Of a stream that is old or idle, before it is cut: the client then goes on with another."""
    end = threading.Event()

    def opening() -> Iterator[wire.SubmitEventsRequest]:
        yield wire.SubmitEventsRequest(open=wire.OpenStream(source="src"))
        end.wait(TIMEOUT)

    with serving(engine, capacity=Capacity(limits=limits)) as running:
        stream = IngestServiceStub(running.channel).SubmitEvents(opening())
        kinds = [next(stream).WhichOneof("message") for _ in range(2)]
        end.set()
        rest = list(stream)

    assert (kinds, rest) == (["opened", "go_away"], [])


def test_calls_of_principals_that_are_gone_end(
    engine: Engine, channels: list[grpc.Channel]
) -> None:
    """Those of the others go on, over the same connection."""
    with serving(engine, authenticator=EVERYBODY) as running:
        stub = FindingServiceStub(connect(running, channels))
        request = finding_wire.WatchFindingsRequest()
        gone = stub.WatchFindings(request, metadata=said_by(READER))
        good = stub.WatchFindings(request, metadata=said_by(OTHER_READER))
        next(gone)
        next(good)

        count = running.call(lambda: running.server.reload(Tokens((OTHER_READER, FORWARDER))))
        with pytest.raises(grpc.RpcError) as ended:
            next(gone)
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetFindings(finding_wire.GetFindingsRequest(), metadata=said_by(READER))
        stub.GetFindings(finding_wire.GetFindingsRequest(), metadata=said_by(OTHER_READER))
        is_going_on = good.is_active()

    assert (count, is_going_on) == (1, True)
    assert {refusal(e.value).reason for e in (ended, refused)} == {"TOKEN_INVALID"}
