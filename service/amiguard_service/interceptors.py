"""The outermost layer of every call: who calls, what goes wrong, and the one line in the log.

gRPC itself reads the message of a unary call before it calls anybody, and waits for it without an
end. So every method is served as one that streams its requests, and the message is read here.

It is total: whatever a handler raises, the peer gets a status from the table in `errors` and never
a traceback or the text of a driver. Cancellation passes through.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError

from amiguard_service import calls, identity, logs
from amiguard_service.calls import Call
from amiguard_service.drain import Drain
from amiguard_service.errors import STATUS_METADATA_KEY, answer_to
from amiguard_service.failed_logins import FailedLogins, address_of
from amiguard_service.identity import OPEN_SERVICES, Authenticator, Principal
from amiguard_service.limits import Limits
from amiguard_service.refusal_log import RefusalLog
from amiguard_service.refusals import (
    OverloadedError,
    RefusalError,
    RequestMissingError,
    RequestUnreadableError,
    StreamAgedError,
    TokenInvalidError,
)
from amiguard_service.touched import touched_by

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = Any
"""A grpc.aio.ServicerContext: its stubs and those of a handler's behavior contradict each other."""

_UNREADABLE: Final = object()
"""Stands for a request whose bytes are no message: gRPC itself would answer UNKNOWN."""


@dataclass(eq=False, slots=True)
class _Running:
    """A call that is being served, and the task that serves it."""

    call: Call
    context: Context
    task: asyncio.Task[Any] | None
    is_revoked: bool = False


class OutermostInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every method of the server.

    Credentials come with the headers of a call and are checked there: of a call without good ones
    no message is ever read.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        drain: Drain,
        *,
        limits: Limits | None = None,
        refused: RefusalLog | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._drain = drain
        self._limits = limits or Limits()
        self._refused = refused or RefusalLog()
        self._failed_logins = FailedLogins()
        self._running: set[_Running] = set()
        self._open_streams: Counter[str] = Counter()
        self._log = structlog.get_logger()

    def replace_authenticator(self, authenticator: Authenticator) -> int:
        """Goes on with other credentials; returns how many calls were ended for it.

        A call goes on where its credentials are still those of a principal that may make it.
        """
        self._authenticator = authenticator
        gone = [running for running in self._running if not self._is_still_good(running)]
        for running in gone:
            running.is_revoked = True
            if running.task is not None:
                running.task.cancel()
        return len(gone)

    def _is_still_good(self, running: _Running) -> bool:
        metadata = running.context.invocation_metadata() or ()
        try:
            principal = self._authenticator.identify(metadata)
            identity.authorize(principal, running.call.method)
        except RefusalError:
            return False
        return principal.name == running.call.principal

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Returns the handler of a method with everything around it; None where there is none."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        if method.strip("/").partition("/")[0] in OPEN_SERVICES:
            return self._wrap(handler, method, None)
        principal = None
        try:
            # Its stubs leave it out.
            metadata = getattr(handler_call_details, "invocation_metadata", None) or ()
            principal = self._authenticator.identify(metadata)
            identity.authorize(principal, method)
        except RefusalError as error:
            return self._refuse(method, principal, error)
        return self._wrap(handler, method, principal)

    def _refuse(self, method: str, principal: Principal | None, error: RefusalError) -> Handler:
        """Returns a handler that reads nothing."""

        async def serve(_requests: Any, context: Context) -> None:
            async with self._serving(method, context, principal):
                if isinstance(error, TokenInvalidError):
                    await self._slow_down(context.peer(), error)
                raise error

        return grpc.stream_stream_rpc_method_handler(serve)

    async def _slow_down(self, peer: str, error: TokenInvalidError) -> None:
        """Tells of credentials that are not good, and keeps who presents them waiting."""
        seconds = self._failed_logins.fail(peer)
        address = address_of(peer)
        self._refused.note(logs.LOGIN_FAILED, cause=address, address=address, reason=str(error))
        if seconds:
            self._failed_logins.waiting_count += 1
            try:
                await asyncio.sleep(seconds)
            finally:
                self._failed_logins.waiting_count -= 1

    def _wrap(self, handler: Handler, method: str, principal: Principal | None) -> Handler:
        behavior: Any = (
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream
        )
        read = self._read_stream if handler.request_streaming else self._read_one
        if not handler.response_streaming:

            async def answer(requests: Any, context: Context) -> Any:
                async with self._serving(method, context, principal) as call:
                    request = await read(requests, context)
                    call.touched |= touched_by(request)
                    response = await _settled(behavior(request, context))
                    call.touched |= touched_by(response)
                    return response

            return grpc.stream_unary_rpc_method_handler(
                answer, _total(handler), handler.response_serializer
            )

        async def generate(requests: Any, context: Context) -> AsyncIterator[Any]:
            async with self._serving(method, context, principal):
                request = await read(requests, context)
                async with self._bounded(context, principal):
                    async for response in behavior(request, context):
                        yield response

        async def write(requests: Any, context: Context) -> None:
            async with self._serving(method, context, principal):
                request = await read(requests, context)
                async with self._bounded(context, principal):
                    await _settled(behavior(request, context))

        is_generator = inspect.isasyncgenfunction(behavior)
        serve: Any = generate if is_generator else write
        return grpc.stream_stream_rpc_method_handler(
            serve, _total(handler), handler.response_serializer
        )

    async def _read_one(self, _requests: Any, context: Context) -> Any:
        """Returns the only message of a call; raises where it does not come in time."""
        try:
            async with asyncio.timeout(self._limits.first_message_seconds):
                request = await context.read()
        except TimeoutError:
            raise RequestMissingError(self._limits.first_message_seconds) from None
        if request is _UNREADABLE or request is grpc.aio.EOF:
            raise RequestUnreadableError
        return request

    async def _read_stream(self, requests: Any, _context: Context) -> Any:
        """Returns the messages of a call, the first of which has to come in time."""
        return _in_time(requests, self._limits.first_message_seconds)

    @asynccontextmanager
    async def _bounded(self, context: Context, principal: Principal | None) -> AsyncIterator[None]:
        """Bounds a stream of a service that asks for no credentials, in number and in time.

        Its peer decides how long it lasts, and nobody knows who that is.
        """
        if principal is not None:
            yield
            return
        limits, peer = self._limits, context.peer()
        if self._open_streams.total() >= limits.max_health_streams:
            raise OverloadedError(f"{limits.max_health_streams} streams without credentials")
        if self._open_streams[peer] >= limits.max_health_streams_per_connection:
            raise OverloadedError(
                f"{limits.max_health_streams_per_connection} streams without credentials "
                "for a connection"
            )
        self._open_streams[peer] += 1
        try:
            async with asyncio.timeout(limits.health_stream_seconds):
                yield
        except TimeoutError:
            raise StreamAgedError from None
        finally:
            self._open_streams[peer] -= 1
            if not self._open_streams[peer]:
                del self._open_streams[peer]

    @asynccontextmanager
    async def _serving(
        self, method: str, context: Context, principal: Principal | None
    ) -> AsyncIterator[Call]:
        call = Call(method=method.lstrip("/"), peer=context.peer())
        calls.begin_call(call)
        is_open = method.strip("/").partition("/")[0] in OPEN_SERVICES
        running = _Running(call, context, asyncio.current_task())
        if principal is not None:
            call.principal = principal.name
            identity.set_caller(principal)
            self._running.add(running)
        code = grpc.StatusCode.OK
        try:
            # An open call, such as a health check that is watched for ever, holds no drain up.
            with nullcontext() if is_open else self._drain.serving():
                yield call
                code = _code_of(context)
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            if not running.is_revoked:
                raise
            if running.task is not None:
                running.task.uncancel()
            code = grpc.StatusCode.UNAUTHENTICATED
            await self._abort(call, context, TokenInvalidError(got="a token that was revoked"))
        except grpc.aio.InternalError as error:
            # What was being sent when the peer left is no fault of anybody's.
            code = grpc.StatusCode.CANCELLED
            with suppress(grpc.aio.InternalError):
                await context.abort(code, "the peer has left")
            raise asyncio.CancelledError from error
        except grpc.aio.AbortError:
            # Only a library's handler aborts by itself, and grpc.aio does not tell with which code.
            code = grpc.StatusCode.UNKNOWN
            raise
        except Exception as error:  # noqa: BLE001 - nothing may get past the outermost layer
            code = answer_to(error).code
            await self._abort(call, context, error)
        finally:
            self._running.discard(running)
            self._tell(call, code, is_open=is_open)

    async def _abort(self, call: Call, context: Context, error: Exception) -> None:
        """Ends a call with the status of an error; always raises."""
        answer = answer_to(error)
        if answer.code is grpc.StatusCode.INTERNAL:
            self._log.error(
                logs.RPC_FAILED, request_id=call.request_id, method=call.method, exc_info=error
            )
        if isinstance(error, OverloadedError | RequestMissingError):
            limit = str(error)
            self._refused.note(
                logs.LIMIT_REACHED,
                cause=limit,
                limit=limit,
                principal=call.principal,
                address=address_of(call.peer),
            )
        status = answer.to_status(call.request_id).SerializeToString()
        await context.abort(answer.code, answer.message, ((STATUS_METADATA_KEY, status),))

    def _tell(self, call: Call, code: grpc.StatusCode, *, is_open: bool) -> None:
        # Of credentials that are not good another line tells, and not of each.
        is_quiet = is_open or code is grpc.StatusCode.UNAUTHENTICATED
        log = self._log.debug if is_quiet else self._log.info
        log(
            logs.RPC_DONE,
            request_id=call.request_id,
            principal=call.principal,
            method=call.method,
            code=code.name,
            duration_ms=call.duration_ms,
            **call.touched,
            **call.counts,
        )


async def _in_time(requests: AsyncIterator[Any], seconds: float) -> AsyncIterator[Any]:
    """Yields the messages of a stream; raises unless the first one comes within a time."""
    try:
        async with asyncio.timeout(seconds):
            first = await anext(requests, _UNREADABLE)
    except TimeoutError:
        raise RequestMissingError(seconds) from None
    if first is _UNREADABLE:
        return
    yield first
    async for request in requests:
        yield request


def _total(handler: Handler) -> Any:
    """Returns the deserializer, which for a lone request gives _UNREADABLE instead of raising.

    A lone request is read before the handler is called; of a stream, the handler reads.
    """
    deserialize = handler.request_deserializer
    if handler.request_streaming or deserialize is None:
        return deserialize

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return _UNREADABLE

    return read


async def _settled(result: Any) -> Any:
    """Returns what a handler gives, whether or not it is a coroutine."""
    return await result if inspect.isawaitable(result) else result


def _code_of(context: Context) -> grpc.StatusCode:
    """Returns the code a handler has set, OK where it has set none.

    grpc.aio gives a bare number, whatever its stubs say.
    """
    return next((c for c in grpc.StatusCode if c.value[0] == context.code()), grpc.StatusCode.OK)
