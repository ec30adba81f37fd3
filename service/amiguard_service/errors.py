"""The one table from exceptions to statuses.

Every error carries a google.rpc.ErrorInfo, whose reason is a value of ErrorReason, and a
RequestInfo with the id under which the server's log has the call. An exception that is not in the
table is an INTERNAL error of which the caller learns the request id and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from amiguard.v1 import error_reason_pb2 as reasons
from amiguard_core.errors import PolicyError
from amiguard_service import refusals
from amiguard_service.filters import FilterSyntaxError
from amiguard_service.lifecycle import StateTransitionError
from amiguard_service.ordering import OrderSyntaxError
from amiguard_service.store.changes import CursorAheadError, CursorExpiredError
from amiguard_service.store.errors import (
    SchemaChangedError,
    StatementTimeoutError,
    StoreBrokenError,
    StoreConflictError,
    StoreUnavailableError,
)
from amiguard_service.tokens import PageTokenMismatch

DOMAIN: Final = "amiguard.dev"
STATUS_METADATA_KEY: Final = "grpc-status-details-bin"

_STORE_RETRY: Final = timedelta(seconds=2)
"""A database that restarts is back in seconds."""
_CONFLICT_RETRY: Final = timedelta(milliseconds=100)
"""Whoever the call collided with is done by then."""
_MAX_NAMES: Final = 20
"""Names that metadata lists, as the contract says."""
_DRAIN_RETRY: Final = timedelta(seconds=1)
"""Another replica answers at once; a single server that restarts takes about this long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller is told instead of an answer. The reason is a value of ErrorReason."""

    code: StatusCode
    reason: reasons.ErrorReason.ValueType
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    details: tuple[Message, ...] = ()

    @property
    def reason_name(self) -> str:
        """The reason as it goes over the wire."""
        return reasons.ErrorReason.Name(self.reason).removeprefix("ERROR_REASON_")

    def to_status(self, request_id: str) -> status_pb2.Status:
        """Returns the message that goes into the trailing metadata."""
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        info = error_details_pb2.ErrorInfo(
            reason=self.reason_name, domain=DOMAIN, metadata=self.metadata
        )
        for detail in (info, *self.details, error_details_pb2.RequestInfo(request_id=request_id)):
            status.details.add().Pack(detail)
        return status


def answer_to(error: Exception) -> Answer:
    """Returns what a caller is told of an exception."""
    for kind in type(error).__mro__:
        make = _TABLE.get(kind)
        if make is not None:
            return make(error)
    return Answer(
        StatusCode.INTERNAL,
        reasons.ERROR_REASON_INTERNAL,
        "the server failed; its log has the cause under the request id",
    )


def _field_invalid(error: refusals.FieldInvalidError) -> Answer:
    return _bad_request(error, error.field, f"got {error.got}, expected {error.expected}")


def _order_invalid(error: OrderSyntaxError) -> Answer:
    return _bad_request(error, "order_by", str(error))


def _request_unreadable(_error: Exception) -> Answer:
    return Answer(
        StatusCode.INVALID_ARGUMENT,
        reasons.ERROR_REASON_INVALID_FIELD,
        "got bytes that are no request of this method, expected a message of the contract",
    )


def _request_missing(error: refusals.RequestMissingError) -> Answer:
    return Answer(StatusCode.DEADLINE_EXCEEDED, reasons.ERROR_REASON_REQUEST_MISSING, str(error))


def _bad_request(error: Exception, name: str, description: str) -> Answer:
    violation = error_details_pb2.BadRequest.FieldViolation(field=name, description=description)
    return Answer(
        StatusCode.INVALID_ARGUMENT,
        reasons.ERROR_REASON_INVALID_FIELD,
        str(error),
        details=(error_details_pb2.BadRequest(field_violations=[violation]),),
    )


def _filter_syntax(error: FilterSyntaxError) -> Answer:
    violation = error_details_pb2.BadRequest.FieldViolation(field="filter", description=str(error))
    return Answer(
        StatusCode.INVALID_ARGUMENT,
        reasons.ERROR_REASON_FILTER_SYNTAX,
        str(error),
        {"offset": str(error.offset), "expected": error.expected},
        (error_details_pb2.BadRequest(field_violations=[violation]),),
    )


def _page_token_mismatch(error: PageTokenMismatch) -> Answer:
    return Answer(
        StatusCode.INVALID_ARGUMENT,
        reasons.ERROR_REASON_PAGE_TOKEN_MISMATCH,
        str(error),
        {"method": error.call},
    )


def _not_found(error: refusals.ResourceNotFoundError) -> Answer:
    return Answer(
        StatusCode.NOT_FOUND,
        reasons.ERROR_REASON_RESOURCE_NOT_FOUND,
        str(error),
        {"name": error.name},
    )


def _policy_invalid(error: PolicyError) -> Answer:
    return _bad_request(error, error.field, f"got {error.got}, expected {error.wanted}")


def _etag_mismatch(error: refusals.EtagMismatchError) -> Answer:
    return Answer(
        StatusCode.ABORTED,
        reasons.ERROR_REASON_ETAG_MISMATCH,
        str(error),
        {"name": error.name, "current_etag": error.current},
    )


def _request_id_reused(error: refusals.RequestIdReusedError) -> Answer:
    return Answer(
        StatusCode.ALREADY_EXISTS,
        reasons.ERROR_REASON_REQUEST_ID_REUSED,
        str(error),
        {"request_id": error.request_id},
    )


def _resource_exists(error: refusals.ResourceExistsError) -> Answer:
    return Answer(
        StatusCode.ALREADY_EXISTS,
        reasons.ERROR_REASON_RESOURCE_EXISTS,
        str(error),
        {"name": error.name},
    )


def _loses_true_positives(error: refusals.LosesTruePositivesError) -> Answer:
    return Answer(
        StatusCode.FAILED_PRECONDITION,
        reasons.ERROR_REASON_LOSES_TRUE_POSITIVES,
        str(error),
        {"names": ",".join(error.names[:_MAX_NAMES]), "count": str(len(error.names))},
    )


def _state_transition(error: StateTransitionError) -> Answer:
    return Answer(
        StatusCode.FAILED_PRECONDITION,
        reasons.ERROR_REASON_STATE_TRANSITION,
        str(error),
        {"name": error.name, "state": error.state.value},
    )


def _cursor_expired(error: CursorExpiredError) -> Answer:
    oldest_time = Timestamp()
    oldest_time.FromDatetime(error.oldest_time)
    return Answer(
        StatusCode.OUT_OF_RANGE,
        reasons.ERROR_REASON_CURSOR_EXPIRED,
        str(error),
        {"oldest_cursor_time": oldest_time.ToJsonString()},
    )


def _cursor_ahead(error: CursorAheadError) -> Answer:
    return _bad_request(error, "cursor", str(error))


def _stream_protocol(error: refusals.StreamProtocolError) -> Answer:
    return Answer(
        StatusCode.FAILED_PRECONDITION,
        reasons.ERROR_REASON_STREAM_PROTOCOL,
        str(error),
        {"expected": error.expected},
    )


def _window_overrun(error: refusals.WindowOverrunError) -> Answer:
    return Answer(
        StatusCode.RESOURCE_EXHAUSTED,
        reasons.ERROR_REASON_STREAM_PROTOCOL,
        str(error),
        {"expected": error.expected},
    )


def _mostly_malformed(error: refusals.MostlyMalformedError) -> Answer:
    return Answer(
        StatusCode.INVALID_ARGUMENT,
        reasons.ERROR_REASON_MOSTLY_MALFORMED,
        str(error),
        {"record_count": str(error.record_count), "rejected_count": str(error.rejected_count)},
    )


def _overloaded(error: refusals.OverloadedError) -> Answer:
    return Answer(
        StatusCode.RESOURCE_EXHAUSTED,
        reasons.ERROR_REASON_OVERLOADED,
        str(error),
        {"limit": error.limit},
        (_retry_info(error.retry_after),),
    )


def _draining(error: refusals.DrainingError) -> Answer:
    return Answer(
        StatusCode.UNAVAILABLE,
        reasons.ERROR_REASON_DRAINING,
        str(error),
        details=(_retry_info(_DRAIN_RETRY),),
    )


def _token_invalid(error: refusals.TokenInvalidError) -> Answer:
    return Answer(StatusCode.UNAUTHENTICATED, reasons.ERROR_REASON_TOKEN_INVALID, str(error))


def _role_missing(error: refusals.RoleMissingError) -> Answer:
    return Answer(
        StatusCode.PERMISSION_DENIED,
        reasons.ERROR_REASON_ROLE_MISSING,
        str(error),
        {"role": error.role},
    )


def _store_unavailable(_error: StoreUnavailableError) -> Answer:
    return _no_store("the database is unavailable; nothing was done, try again later")


def _schema_changed(error: SchemaChangedError) -> Answer:
    return _no_store(f"{error}; nothing was done")


def _store_broken(_error: StoreBrokenError) -> Answer:
    return _no_store(
        "the database is damaged or was taken away; nothing was done, the server's log says what "
        "to do"
    )


def _no_store(message: str) -> Answer:
    return Answer(
        StatusCode.UNAVAILABLE,
        reasons.ERROR_REASON_STORE_UNAVAILABLE,
        message,
        details=(_retry_info(_STORE_RETRY),),
    )


def _store_conflict(_error: StoreConflictError) -> Answer:
    return Answer(
        StatusCode.ABORTED,
        reasons.ERROR_REASON_STORE_CONFLICT,
        "the call conflicted with concurrent ones; nothing was done, try again",
        details=(_retry_info(_CONFLICT_RETRY),),
    )


def _statement_timeout(_error: StatementTimeoutError) -> Answer:
    return Answer(
        StatusCode.RESOURCE_EXHAUSTED,
        reasons.ERROR_REASON_STATEMENT_TIMEOUT,
        "the database ended the call, which took longer than its statement_timeout allows; nothing "
        "was done, ask for less or try again later",
        details=(_retry_info(_STORE_RETRY),),
    )


def _not_offered(_error: NotImplementedError) -> Answer:
    return Answer(
        StatusCode.UNIMPLEMENTED,
        reasons.ERROR_REASON_NOT_OFFERED,
        "this server does not offer this call",
    )


def _retry_info(delay: timedelta) -> error_details_pb2.RetryInfo:
    duration = Duration()
    duration.FromTimedelta(delay)
    return error_details_pb2.RetryInfo(retry_delay=duration)


_TABLE: Final[Mapping[type, Callable[[Any], Answer]]] = MappingProxyType(
    {
        CursorAheadError: _cursor_ahead,
        CursorExpiredError: _cursor_expired,
        DecodeError: _request_unreadable,
        FilterSyntaxError: _filter_syntax,
        NotImplementedError: _not_offered,
        OrderSyntaxError: _order_invalid,
        PageTokenMismatch: _page_token_mismatch,
        PolicyError: _policy_invalid,
        SchemaChangedError: _schema_changed,
        StateTransitionError: _state_transition,
        StatementTimeoutError: _statement_timeout,
        StoreBrokenError: _store_broken,
        StoreConflictError: _store_conflict,
        StoreUnavailableError: _store_unavailable,
        refusals.DrainingError: _draining,
        refusals.EtagMismatchError: _etag_mismatch,
        refusals.FieldInvalidError: _field_invalid,
        refusals.LosesTruePositivesError: _loses_true_positives,
        refusals.MostlyMalformedError: _mostly_malformed,
        refusals.OverloadedError: _overloaded,
        refusals.RequestIdReusedError: _request_id_reused,
        refusals.RequestMissingError: _request_missing,
        refusals.RequestUnreadableError: _request_unreadable,
        refusals.ResourceExistsError: _resource_exists,
        refusals.ResourceNotFoundError: _not_found,
        refusals.RoleMissingError: _role_missing,
        refusals.StreamAgedError: _draining,
        refusals.StreamProtocolError: _stream_protocol,
        refusals.TokenInvalidError: _token_invalid,
        refusals.WindowOverrunError: _window_overrun,
    }
)
