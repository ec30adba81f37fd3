"""Laws of the table from exceptions to statuses."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from amiguard.v1.error_reason_pb2 import ErrorReason
from amiguard_core.errors import PolicyError
from amiguard_service import refusals
from amiguard_service.errors import _TABLE, Answer, answer_to
from amiguard_service.filters import FINDING_FIELDS, FilterSyntaxError, parse_filter
from amiguard_service.ordering import OrderSyntaxError, parse_order_by
from amiguard_service.store.errors import (
    SchemaChangedError,
    StatementTimeoutError,
    StoreConflictError,
    StoreUnavailableError,
)
from amiguard_service.tokens import PageTokenMismatch

REQUEST_ID = "0123456789abcdef"
SECRET = "SELECT secret FROM a_table"


def details_of(status: status_pb2.Status) -> dict[str, object]:
    """The details of a status by the name of their kind."""
    kinds = (
        error_details_pb2.BadRequest,
        error_details_pb2.ErrorInfo,
        error_details_pb2.RequestInfo,
        error_details_pb2.RetryInfo,
    )
    found: dict[str, object] = {}
    for packed in status.details:
        for kind in kinds:
            detail = kind()
            if packed.Unpack(detail):
                found[kind.__name__] = detail
    return found


def filter_error() -> FilterSyntaxError:
    """The error of a filter that does not parse."""
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter("state = ", FINDING_FIELDS)
    return caught.value


def order_error() -> OrderSyntaxError:
    """The error of an order that does not parse."""
    with pytest.raises(OrderSyntaxError) as caught:
        parse_order_by("colour")
    return caught.value


ANSWERS = [
    (
        refusals.FieldInvalidError("page_size", got="-1", expected="0 or more"),
        StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
        {},
    ),
    (order_error(), StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {}),
    (DecodeError(SECRET), StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {}),
    (refusals.RequestUnreadableError(), StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {}),
    (
        PageTokenMismatch("GetFindings"),
        StatusCode.INVALID_ARGUMENT,
        "PAGE_TOKEN_MISMATCH",
        {"method": "GetFindings"},
    ),
    (
        filter_error(),
        StatusCode.INVALID_ARGUMENT,
        "FILTER_SYNTAX",
        {"offset": "8", "expected": filter_error().expected},
    ),
    (
        refusals.StreamProtocolError(got="batch", expected="open"),
        StatusCode.FAILED_PRECONDITION,
        "STREAM_PROTOCOL",
        {"expected": "open"},
    ),
    (
        refusals.WindowOverrunError(got="one more", expected="at most 2"),
        StatusCode.RESOURCE_EXHAUSTED,
        "STREAM_PROTOCOL",
        {"expected": "at most 2"},
    ),
    (
        refusals.OverloadedError("64 streams"),
        StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        {"limit": "64 streams"},
    ),
    (
        PolicyError("trusted_account", got="'12'", wanted="an account id of 12 digits"),
        StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
        {},
    ),
    (
        refusals.EtagMismatchError("allowlistEntries/x", got="1", current="2"),
        StatusCode.ABORTED,
        "ETAG_MISMATCH",
        {"name": "allowlistEntries/x", "current_etag": "2"},
    ),
    (
        refusals.RequestIdReusedError("6f1ed002"),
        StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
        {"request_id": "6f1ed002"},
    ),
    (
        refusals.ResourceExistsError("allowlistEntries/x"),
        StatusCode.ALREADY_EXISTS,
        "RESOURCE_EXISTS",
        {"name": "allowlistEntries/x"},
    ),
    (
        refusals.LosesTruePositivesError(tuple(f"findings/{n}" for n in range(21))),
        StatusCode.FAILED_PRECONDITION,
        "LOSES_TRUE_POSITIVES",
        {"names": ",".join(f"findings/{n}" for n in range(20)), "count": "21"},
    ),
    (
        refusals.ResourceNotFoundError("findings/x"),
        StatusCode.NOT_FOUND,
        "RESOURCE_NOT_FOUND",
        {"name": "findings/x"},
    ),
    (refusals.TokenInvalidError(got="no token"), StatusCode.UNAUTHENTICATED, "TOKEN_INVALID", {}),
    (
        refusals.RoleMissingError("read"),
        StatusCode.PERMISSION_DENIED,
        "ROLE_MISSING",
        {"role": "read"},
    ),
    (
        refusals.MostlyMalformedError(record_count=10, rejected_count=6),
        StatusCode.INVALID_ARGUMENT,
        "MOSTLY_MALFORMED",
        {"record_count": "10", "rejected_count": "6"},
    ),
    (StoreUnavailableError(SECRET), StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", {}),
    (
        SchemaChangedError("the database is at schema 12"),
        StatusCode.UNAVAILABLE,
        "STORE_UNAVAILABLE",
        {},
    ),
    (StoreConflictError(SECRET), StatusCode.ABORTED, "STORE_CONFLICT", {}),
    (StatementTimeoutError(SECRET), StatusCode.RESOURCE_EXHAUSTED, "STATEMENT_TIMEOUT", {}),
    (refusals.DrainingError(), StatusCode.UNAVAILABLE, "DRAINING", {}),
    (refusals.StreamAgedError(), StatusCode.UNAVAILABLE, "DRAINING", {}),
    (refusals.RequestMissingError(10), StatusCode.DEADLINE_EXCEEDED, "REQUEST_MISSING", {}),
    (NotImplementedError(SECRET), StatusCode.UNIMPLEMENTED, "NOT_OFFERED", {}),
    (RuntimeError(SECRET), StatusCode.INTERNAL, "INTERNAL", {}),
    (KeyError(SECRET), StatusCode.INTERNAL, "INTERNAL", {}),
]


@pytest.mark.parametrize(
    ("error", "code", "reason", "metadata"), ANSWERS, ids=lambda v: type(v).__name__
)
def test_each_exception_has_its_answer(
    error: Exception, code: StatusCode, reason: str, metadata: dict[str, str]
) -> None:
    """Each kind of failure has a code, a reason and the metadata that the contract lists."""
    answer = answer_to(error)

    assert (code, reason, metadata) == (answer.code, answer.reason_name, dict(answer.metadata))


@pytest.mark.parametrize("error", [row[0] for row in ANSWERS], ids=lambda e: type(e).__name__)
def test_every_status_says_why_and_which_request(error: Exception) -> None:
    """Every error carries an ErrorInfo under our domain, and the id of the request."""
    answer = answer_to(error)

    status = answer.to_status(REQUEST_ID)
    details = details_of(status)

    info = details["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert ("amiguard.dev", answer.reason_name) == (info.domain, info.reason)
    assert error_details_pb2.RequestInfo(request_id=REQUEST_ID) == details["RequestInfo"]
    assert (answer.code.value[0], answer.message) == (status.code, status.message)


@pytest.mark.parametrize("error", [row[0] for row in ANSWERS], ids=lambda e: type(e).__name__)
def test_no_driver_text_reaches_a_peer(error: Exception) -> None:
    """Nothing of what a driver or a library said is in what a peer is told."""
    status = answer_to(error).to_status(REQUEST_ID).SerializeToString()

    assert SECRET.encode() not in status


@pytest.mark.parametrize(
    "error",
    [
        refusals.OverloadedError("64 streams", retry_after=timedelta(seconds=3)),
        StoreUnavailableError("gone"),
        SchemaChangedError("the database is at schema 12"),
        StoreConflictError("again"),
        StatementTimeoutError("canceling statement"),
        refusals.DrainingError(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_what_may_succeed_later_says_when(error: Exception) -> None:
    """Where the same call may succeed later the caller learns how long to wait."""
    details = details_of(answer_to(error).to_status(REQUEST_ID))

    retry = details["RetryInfo"]
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToTimedelta() > timedelta(0)


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (refusals.FieldInvalidError("batch.records", got="", expected=""), ["batch.records"]),
        (order_error(), ["order_by"]),
        (filter_error(), ["filter"]),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_wrong_field_is_named(error: Exception, fields: list[str]) -> None:
    """A program learns which field of its request is wrong."""
    details = details_of(answer_to(error).to_status(REQUEST_ID))

    bad = details["BadRequest"]
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert fields == [violation.field for violation in bad.field_violations]


def test_a_kind_of_a_known_error_is_answered_like_it() -> None:
    """A subclass without an answer of its own has that of its base."""

    class OverrunAgainError(refusals.WindowOverrunError):
        pass

    answer = answer_to(OverrunAgainError(got="more", expected="less"))

    assert answer.code == StatusCode.RESOURCE_EXHAUSTED


def test_every_refusal_is_in_the_table() -> None:
    """No exception that is meant for a caller ends as an internal error."""
    kinds = [
        kind
        for kind in vars(refusals).values()
        if isinstance(kind, type)
        and issubclass(kind, refusals.RefusalError)
        and kind is not refusals.RefusalError
    ]

    missing = [kind.__name__ for kind in kinds if kind not in _TABLE]

    assert missing == []


def test_reasons_are_those_of_the_contract() -> None:
    """A reason goes over the wire as its name in the contract, without the prefix."""
    answer = Answer(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_RESOURCE_NOT_FOUND, "gone")

    assert answer.reason_name == "RESOURCE_NOT_FOUND"
