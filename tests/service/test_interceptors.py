"""Laws of the outermost layer: whatever a handler does, its peer gets a status that is ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeVar

import grpc
import pytest
import structlog
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from amiguard_service import calls
from amiguard_service.drain import Drain
from amiguard_service.identity import Authenticator, Everybody, Tokens, caller
from amiguard_service.interceptors import OutermostInterceptor
from amiguard_service.refusals import OverloadedError, ResourceNotFoundError
from tests.service.running import TIMEOUT

T = TypeVar("T")
Lines = list[MutableMapping[str, Any]]

SERVICE = "amiguard.v1.FindingService"
SECRET = "SELECT secret FROM /var/lib"
FAILURES: dict[str, Exception] = {
    "defect": RuntimeError(SECRET),
    "refusal": ResourceNotFoundError("findings/x"),
    "overload": OverloadedError("1 calls"),
    "absent": NotImplementedError(SECRET),
    "group": ExceptionGroup(SECRET, [ValueError(SECRET)]),
}
CODES = {
    "defect": grpc.StatusCode.INTERNAL,
    "refusal": grpc.StatusCode.NOT_FOUND,
    "overload": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "absent": grpc.StatusCode.UNIMPLEMENTED,
    "group": grpc.StatusCode.INTERNAL,
}
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream", "writer", "plain")


class Handlers(grpc.GenericRpcHandler):
    """A method of each kind, which does what its request says, and methods that abort or wait."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        name = handler_call_details.method.rpartition("/")[2]
        make = {
            "unary_unary": grpc.unary_unary_rpc_method_handler,
            "unary_stream": grpc.unary_stream_rpc_method_handler,
            "stream_unary": grpc.stream_unary_rpc_method_handler,
            "stream_stream": grpc.stream_stream_rpc_method_handler,
            "writer": grpc.unary_stream_rpc_method_handler,
            "plain": grpc.unary_unary_rpc_method_handler,
            "abort": grpc.unary_unary_rpc_method_handler,
            "wait": grpc.unary_unary_rpc_method_handler,
            "gone": grpc.unary_unary_rpc_method_handler,
        }.get(name)
        if make is None:
            return None
        return make(
            getattr(self, name),
            request_deserializer=StringValue.FromString,
            response_serializer=StringValue.SerializeToString,
        )

    async def unary_unary(self, request: StringValue, context: Any) -> StringValue:
        del context
        return act(request)

    async def unary_stream(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        del context
        yield StringValue(value="first")
        yield act(request)

    async def stream_unary(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        del context
        return [act(request) async for request in requests][-1]

    async def stream_stream(
        self, requests: AsyncIterator[StringValue], context: Any
    ) -> AsyncIterator[StringValue]:
        del context
        async for request in requests:
            yield act(request)

    async def writer(self, request: StringValue, context: Any) -> None:
        await context.write(StringValue(value="first"))
        await context.write(act(request))

    def plain(self, request: StringValue, context: Any) -> StringValue:
        del context
        return act(request)

    async def abort(self, request: StringValue, context: Any) -> StringValue:
        del request
        await context.abort(grpc.StatusCode.DATA_LOSS, "as it says")
        raise AssertionError

    async def gone(self, request: StringValue, context: Any) -> StringValue:
        """Fails as a write fails whose peer has left."""
        del request, context
        raise grpc.aio.InternalError("Failed execute_batch")

    async def wait(self, request: StringValue, context: Any) -> StringValue:
        del request, context
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError


def act(request: StringValue) -> StringValue:
    """Fails as told, or tells who calls."""
    if request.value in FAILURES:
        raise FAILURES[request.value]
    calls.count(record_count=2)
    return StringValue(value=caller().name)


@pytest.fixture
def log() -> Iterator[Lines]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def run(
    act: Callable[[grpc.aio.Channel, Handlers], Awaitable[T]],
    *,
    authenticator: Authenticator | None = None,
) -> T:
    """Returns what `act` gives of a channel to a server of the handlers."""

    async def serve() -> T:
        interceptor = OutermostInterceptor(authenticator or Everybody(), Drain())
        server = grpc.aio.server(interceptors=[interceptor])
        handlers = Handlers()
        server.add_generic_rpc_handlers((handlers,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
            ):
                return await act(channel, handlers)
        finally:
            await server.stop(None)

    return asyncio.run(serve())


async def call(channel: Any, kind: str, request: bytes) -> list[bytes]:
    """Calls the method of a kind and returns its answers."""
    path = f"/{SERVICE}/{kind}"
    if kind in {"unary_stream", "writer"}:
        return [answer async for answer in channel.unary_stream(path)(request)]
    if kind == "stream_unary":
        return [await channel.stream_unary(path)(iter([request]))]
    if kind == "stream_stream":
        return [answer async for answer in channel.stream_stream(path)(iter([request]))]
    return [await channel.unary_unary(path)(request)]


def failed(kind: str, request: bytes) -> grpc.aio.AioRpcError:
    """Returns the error of a call."""

    async def act(channel: grpc.aio.Channel, handlers: Handlers) -> grpc.aio.AioRpcError:
        del handlers
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind, request)
        return caught.value

    return run(act)


def request_of(text: str) -> bytes:
    """A request with a text."""
    return StringValue(value=text).SerializeToString()


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_that_answers_is_not_in_the_way(kind: str, log: Lines) -> None:
    """Answers of every kind of method get through, and the handler knows who calls."""
    answers = run(lambda channel, _: call(channel, kind, request_of("who?")))

    assert request_of("anonymous") == answers[-1]
    (line,) = [line for line in log if line["event"] == "rpc.done"]
    assert ("OK", 2, f"{SERVICE}/{kind}") == (line["code"], line["record_count"], line["method"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("failure", FAILURES)
def test_whatever_a_handler_raises_its_peer_gets_a_status_of_ours(
    kind: str, failure: str, log: Lines
) -> None:
    """Every exception becomes a status with reason and request id, and nothing else of it."""
    error = failed(kind, request_of(failure))

    status = rpc_status.from_call(error)
    request = error_details_pb2.RequestInfo()
    assert any(detail.Unpack(request) for detail in status.details)
    assert CODES[failure] == error.code()
    assert SECRET not in f"{error.details()}{status}"
    (line,) = [line for line in log if line["event"] == "rpc.done"]
    assert (CODES[failure].name, request.request_id) == (line["code"], line["request_id"])


def test_the_cause_of_a_defect_is_in_the_log(log: Lines) -> None:
    """What its peer is not told of a defect, the log has under the same request id."""
    failed("unary_unary", request_of("defect"))

    (failure,) = [line for line in log if line["event"] == "rpc.failed"]
    (done,) = [line for line in log if line["event"] == "rpc.done"]
    assert failure["exc_info"] is FAILURES["defect"]
    assert failure["request_id"] == done["request_id"]


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_no_request_are_the_callers_fault(kind: str) -> None:
    """A request that does not parse is an invalid argument, of every kind of method."""
    error = failed(kind, b"\xff\xff\xff")

    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "Unexpected" not in str(error.details())


def test_an_abort_of_a_handler_stands(log: Lines) -> None:
    """A handler of a library that aborts by itself is not overruled, and not logged as OK."""
    error = failed("abort", b"")

    (line,) = [line for line in log if line["event"] == "rpc.done"]
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "as it says")
    assert line["code"] == "UNKNOWN"


def test_a_cancelled_call_reaches_its_handler(log: Lines) -> None:
    """Cancellation passes through, and is logged as what it is."""

    async def act(channel: Any, handlers: Handlers) -> None:
        waiting = channel.unary_unary(f"/{SERVICE}/wait")(b"")
        await handlers.waiting.wait()
        waiting.cancel()
        await handlers.cancelled.wait()

    run(act)

    (line,) = [line for line in log if line["event"] == "rpc.done"]
    assert line["code"] == "CANCELLED"


def test_a_peer_that_leaves_is_no_defect(log: Lines) -> None:
    """What was being sent to it fails, and nobody has to be told."""
    failed("gone", b"")

    (line,) = [line for line in log if line["event"] == "rpc.done"]
    assert line["code"] == "CANCELLED"
    assert [line for line in log if line["event"] == "rpc.failed"] == []


def test_a_method_that_does_not_exist_is_unimplemented() -> None:
    """An unknown method is answered as such."""
    error = failed("no_such_method", b"")

    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_an_unknown_caller_reaches_no_handler(log: Lines) -> None:
    """Without credentials a handler is not even asked."""

    async def act(channel: grpc.aio.Channel, handlers: Handlers) -> grpc.StatusCode:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "wait", b"")
        assert not handlers.waiting.is_set()
        return caught.value.code()

    code = run(act, authenticator=Tokens(()))

    assert code == grpc.StatusCode.UNAUTHENTICATED
    assert [line["principal"] for line in log if line["event"] == "rpc.done"] == ["unknown"]
