"""The one place where a gRPC status becomes an exception of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from amiguard_client import errors
from amiguard_client.errors import AmiguardError, FieldViolation
from amiguard_client.proxies import unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

_BY_CODE: Mapping[grpc.StatusCode, type[AmiguardError]] = {
    grpc.StatusCode.UNAVAILABLE: errors.UnreachableError,
    # A server that stops cuts off the calls that outlast its grace.
    grpc.StatusCode.CANCELLED: errors.UnreachableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.UnreachableError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.OverloadedError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequestError,
    grpc.StatusCode.ALREADY_EXISTS: errors.ConflictError,
    grpc.StatusCode.ABORTED: errors.ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.ConflictError,
    grpc.StatusCode.OUT_OF_RANGE: errors.CursorExpiredError,
}
_OVERSIZE_HINT = "larger than max"
"""gRPC itself answers an oversized message with RESOURCE_EXHAUSTED and this text, not the server:
sending the same again cannot help. A structured detail from gRPC would let this go."""
_HTTP_STATUS = re.compile(r"Received http2 header with status: (\d+)")
"""What gRPC says of an answer that no gRPC server gives: those answer with 200."""
BETWEEN = "a proxy or load balancer in between answered"
"""How the same reads to a person."""

_RESET_HINT = "RST_STREAM"
"""gRPC itself answers with INTERNAL and this text where a server or a proxy cut the call off."""

_BY_REASON: Mapping[str, type[AmiguardError]] = {
    # Our own mistake, or the server's: nothing a caller could wait for or mend.
    "STREAM_PROTOCOL": errors.ServerFaultError,
    "STORE_CONFLICT": errors.OverloadedError,
}


@dataclass(slots=True)
class _Details:
    """What a google.rpc.Status carries besides code and message."""

    reason: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[FieldViolation] = field(default_factory=list)
    retry_after: timedelta | None = None
    request_id: str | None = None


def error_of(failure: grpc.RpcError, *, target: str) -> AmiguardError:
    """Returns the exception that says what a caller can do about a failed call."""
    code, text = _code_and_text(failure)
    details = _details_of(failure)
    kind = _BY_REASON.get(details.reason or "") or _BY_CODE.get(code, errors.ServerFaultError)
    if code is grpc.StatusCode.INTERNAL and _RESET_HINT in text:
        kind = errors.UnreachableError
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _OVERSIZE_HINT in text:
        kind = errors.InvalidRequestError
    error = kind(
        _sentence(kind, text, code=code, target=target, details=details),
        code=code.name,
        reason=details.reason,
        metadata=details.metadata,
        retry_after=details.retry_after,
        request_id=details.request_id,
    )
    if isinstance(error, errors.InvalidRequestError):
        error.violations = tuple(details.violations)
    return error


def _sentence(
    kind: type[AmiguardError],
    text: str,
    *,
    code: grpc.StatusCode,
    target: str,
    details: _Details,
) -> str:
    """Returns what a person should read: the server's text, with what it leaves out."""
    if kind is errors.UnreachableError and details.reason is not None:
        # A reason is the server's own, so a proxy has done its part.
        return f"{target} takes no calls: {text}"
    http = _HTTP_STATUS.match(text)
    if http:
        return f"{target} cannot be reached: {BETWEEN} with HTTP status {http[1]}"
    if kind is errors.UnreachableError:
        return unreachable(target, text)
    if kind is errors.ServerFaultError:
        request = f" (request {details.request_id})" if details.request_id else ""
        return f"{target} failed with {code.name}: {text}{request}"
    missing = [
        f"{v.field}: {v.description}" for v in details.violations if v.description not in text
    ]
    return f"{text} ({'; '.join(missing)})" if missing else text


def _code_and_text(failure: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    if isinstance(failure, grpc.Call):
        code = failure.code() or grpc.StatusCode.UNKNOWN
        return code, failure.details() or code.name
    return grpc.StatusCode.UNKNOWN, str(failure)


def _details_of(failure: grpc.RpcError) -> _Details:
    details = _Details()
    try:
        status = rpc_status.from_call(failure)
    except (ValueError, DecodeError):
        # A proxy that rewrites the code leaves details that belong to another error.
        status = None
    for packed in status.details if status is not None else ():
        try:
            _read_detail(packed, details)
        except DecodeError:
            continue
    return details


def _read_detail(packed: Any, details: _Details) -> None:
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.RequestInfo()
    if packed.Unpack(info):
        details.reason = info.reason
        details.metadata = dict(info.metadata)
    elif packed.Unpack(bad_request):
        details.violations += [
            FieldViolation(violation.field, violation.description)
            for violation in bad_request.field_violations
        ]
    elif packed.Unpack(retry):
        details.retry_after = retry.retry_delay.ToTimedelta()
    elif packed.Unpack(request):
        details.request_id = request.request_id or None
