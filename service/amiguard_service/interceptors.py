"""The outermost layer of every call: who calls, what goes wrong, and the one line in the log.

It is total: whatever a handler raises, the peer gets a status from the table in `errors` and never
a traceback or the text of a driver. Cancellation passes through.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError

from amiguard_service import calls, identity, logs
from amiguard_service.calls import Call
from amiguard_service.drain import Drain
from amiguard_service.errors import STATUS_METADATA_KEY, answer_to
from amiguard_service.identity import OPEN_SERVICES, Authenticator
from amiguard_service.refusals import RequestUnreadableError

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = Any
"""A grpc.aio.ServicerContext: its stubs and those of a handler's behavior contradict each other."""

_UNREADABLE: Final = object()
"""Stands for a request whose bytes are no message: gRPC itself would answer UNKNOWN."""


class OutermostInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every method of the server."""

    def __init__(self, authenticator: Authenticator, drain: Drain) -> None:
        self._authenticator = authenticator
        self._drain = drain
        self._log = structlog.get_logger()

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
        if not handler.response_streaming:
            return self._wrap_unary(handler, method)
        behavior = handler.stream_stream or handler.unary_stream
        if inspect.isasyncgenfunction(behavior):
            return self._wrap_generator(handler, method, behavior)
        return self._wrap_writer(handler, method, behavior)

    def _wrap_unary(self, handler: Handler, method: str) -> Handler:
        behavior: Any = handler.unary_unary
        make = grpc.unary_unary_rpc_method_handler
        if handler.request_streaming:
            behavior = handler.stream_unary
            make = grpc.stream_unary_rpc_method_handler

        async def serve(request: Any, context: Context) -> Any:
            async with self._serving(method, context):
                return await _settled(behavior(_checked(request), context))

        return make(serve, _total(handler), handler.response_serializer)

    def _wrap_writer(self, handler: Handler, method: str, behavior: Any) -> Handler:
        async def serve(request: Any, context: Context) -> None:
            async with self._serving(method, context):
                await _settled(behavior(_checked(request), context))

        return _with_stream_of_responses(handler, serve)

    def _wrap_generator(self, handler: Handler, method: str, behavior: Any) -> Handler:
        async def serve(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self._serving(method, context):
                async for response in behavior(_checked(request), context):
                    yield response

        return _with_stream_of_responses(handler, serve)

    @asynccontextmanager
    async def _serving(self, method: str, context: Context) -> AsyncIterator[None]:
        call = Call(method=method.lstrip("/"), peer=context.peer())
        calls.begin_call(call)
        is_open = method.strip("/").partition("/")[0] in OPEN_SERVICES
        code = grpc.StatusCode.OK
        try:
            # An open call, such as a health check that is watched for ever, holds no drain up.
            with nullcontext() if is_open else self._drain.serving():
                if not is_open:
                    self._admit(call, context)
                yield
                code = _code_of(context)
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.AbortError:
            # Only a library's handler aborts by itself, and grpc.aio does not tell with which code.
            code = grpc.StatusCode.UNKNOWN
            raise
        except Exception as error:  # noqa: BLE001 - nothing may get past the outermost layer
            answer = answer_to(error)
            code = answer.code
            if code is grpc.StatusCode.INTERNAL:
                self._log.error(
                    logs.RPC_FAILED, request_id=call.request_id, method=call.method, exc_info=error
                )
            status = answer.to_status(call.request_id).SerializeToString()
            await context.abort(code, answer.message, ((STATUS_METADATA_KEY, status),))
        finally:
            log = self._log.debug if is_open else self._log.info
            log(
                logs.RPC_DONE,
                request_id=call.request_id,
                principal=call.principal,
                method=call.method,
                code=code.name,
                duration_ms=call.duration_ms,
                **call.counts,
            )

    def _admit(self, call: Call, context: Context) -> None:
        principal = self._authenticator.identify(context.invocation_metadata() or ())
        call.principal = principal.name
        identity.authorize(principal, call.method)
        identity.set_caller(principal)


def _with_stream_of_responses(handler: Handler, serve: Any) -> Handler:
    make = (
        grpc.stream_stream_rpc_method_handler
        if handler.request_streaming
        else grpc.unary_stream_rpc_method_handler
    )
    return make(serve, _total(handler), handler.response_serializer)


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


def _checked(request: Any) -> Any:
    if request is _UNREADABLE:
        raise RequestUnreadableError
    return request


async def _settled(result: Any) -> Any:
    """Returns what a handler gives, whether or not it is a coroutine."""
    return await result if inspect.isawaitable(result) else result


def _code_of(context: Context) -> grpc.StatusCode:
    """Returns the code a handler has set, OK where it has set none.

    grpc.aio gives a bare number, whatever its stubs say.
    """
    return next((c for c in grpc.StatusCode if c.value[0] == context.code()), grpc.StatusCode.OK)
