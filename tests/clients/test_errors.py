"""Every status becomes the exception that says what a caller can do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from amiguard.v1.error_reason_pb2 import ErrorReason
from amiguard_client import (
    AmiguardError,
    Client,
    ConflictError,
    CursorExpiredError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ServerFaultError,
    UnauthenticatedError,
    UnreachableError,
    connect,
)
from tests.clients.scripted_server import ScriptedServer, overloaded, reason, serve, status

if TYPE_CHECKING:
    from google.protobuf.message import Message

CODES = grpc.StatusCode
KINDS: list[tuple[grpc.StatusCode, type[AmiguardError]]] = [
    (CODES.UNAVAILABLE, UnreachableError),
    (CODES.DEADLINE_EXCEEDED, UnreachableError),
    (CODES.CANCELLED, UnreachableError),
    (CODES.RESOURCE_EXHAUSTED, OverloadedError),
    (CODES.UNAUTHENTICATED, UnauthenticatedError),
    (CODES.PERMISSION_DENIED, PermissionDeniedError),
    (CODES.NOT_FOUND, NotFoundError),
    (CODES.INVALID_ARGUMENT, InvalidRequestError),
    (CODES.ALREADY_EXISTS, ConflictError),
    (CODES.ABORTED, ConflictError),
    (CODES.FAILED_PRECONDITION, ConflictError),
    (CODES.OUT_OF_RANGE, CursorExpiredError),
    (CODES.INTERNAL, ServerFaultError),
    (CODES.UNKNOWN, ServerFaultError),
    (CODES.DATA_LOSS, ServerFaultError),
    (CODES.UNIMPLEMENTED, ServerFaultError),
]


def failure_of(
    server: ScriptedServer,
    client: Client,
    code: grpc.StatusCode,
    text: str = "no",
    *details: Message,
) -> AmiguardError:
    """Returns what a call raises that the server answers with a status."""
    server.findings.failure = status(code, text, details)
    with pytest.raises(AmiguardError) as raised:
        client.get_finding("f")
    return raised.value


def test_every_code_has_a_kind() -> None:
    """Each status code but OK is mapped by one of the cases below."""
    assert {code for code, _ in KINDS} == set(CODES) - {CODES.OK}


@pytest.mark.parametrize(("code", "kind"), KINDS)
def test_code_decides_the_kind(
    server: ScriptedServer, client: Client, code: grpc.StatusCode, kind: type[AmiguardError]
) -> None:
    """A status becomes the exception of its code, and keeps code and text."""
    error = failure_of(server, client, code, "the text")

    assert type(error) is kind
    assert error.code == code.name
    assert "the text" in str(error)


@pytest.mark.parametrize(
    ("name", "code", "kind"),
    [
        ("INVALID_FIELD", CODES.INVALID_ARGUMENT, InvalidRequestError),
        ("PAGE_TOKEN_MISMATCH", CODES.INVALID_ARGUMENT, InvalidRequestError),
        ("FILTER_SYNTAX", CODES.INVALID_ARGUMENT, InvalidRequestError),
        ("ETAG_MISMATCH", CODES.ABORTED, ConflictError),
        ("STATE_TRANSITION", CODES.FAILED_PRECONDITION, ConflictError),
        ("CURSOR_EXPIRED", CODES.OUT_OF_RANGE, CursorExpiredError),
        ("REQUEST_ID_REUSED", CODES.ALREADY_EXISTS, ConflictError),
        ("STREAM_PROTOCOL", CODES.FAILED_PRECONDITION, ServerFaultError),
        ("STREAM_PROTOCOL", CODES.RESOURCE_EXHAUSTED, ServerFaultError),
        ("OVERLOADED", CODES.RESOURCE_EXHAUSTED, OverloadedError),
        ("RESOURCE_NOT_FOUND", CODES.NOT_FOUND, NotFoundError),
        ("TOKEN_INVALID", CODES.UNAUTHENTICATED, UnauthenticatedError),
        ("ROLE_MISSING", CODES.PERMISSION_DENIED, PermissionDeniedError),
        ("STORE_UNAVAILABLE", CODES.UNAVAILABLE, UnreachableError),
        ("STORE_CONFLICT", CODES.ABORTED, OverloadedError),
        ("MOSTLY_MALFORMED", CODES.INVALID_ARGUMENT, InvalidRequestError),
        ("DRAINING", CODES.UNAVAILABLE, UnreachableError),
        ("INTERNAL", CODES.INTERNAL, ServerFaultError),
        ("NOT_OFFERED", CODES.UNIMPLEMENTED, ServerFaultError),
    ],
)
def test_reason_and_metadata_are_kept(
    server: ScriptedServer,
    client: Client,
    name: str,
    code: grpc.StatusCode,
    kind: type[AmiguardError],
) -> None:
    """Each cause of the contract arrives by its name, with what it lists."""
    assert f"ERROR_REASON_{name}" in ErrorReason.keys()  # noqa: SIM118 - not a mapping

    error = failure_of(server, client, code, "no", reason(name, offset="7"))

    assert type(error) is kind
    assert (error.reason, dict(error.metadata)) == (name, {"offset": "7"})


def test_violations_name_fields(server: ScriptedServer, client: Client) -> None:
    """An invalid request says which fields are wrong and how, in data and in words."""
    details = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field="page_size", description="got -1, wanted 0 or more"
            )
        ]
    )

    error = failure_of(server, client, CODES.INVALID_ARGUMENT, "invalid request", details)

    assert isinstance(error, InvalidRequestError)
    assert error.violations == (FieldViolation("page_size", "got -1, wanted 0 or more"),)
    assert str(error) == "invalid request (page_size: got -1, wanted 0 or more)"


def test_violation_already_in_the_text_is_not_said_twice(
    server: ScriptedServer, client: Client
) -> None:
    """A server whose sentence names the fields is quoted as it is."""
    details = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field="a", description="got -1")
        ]
    )

    error = failure_of(server, client, CODES.INVALID_ARGUMENT, "a: got -1", details)

    assert str(error) == "a: got -1"


def test_overload_says_how_long(server: ScriptedServer, client: Client) -> None:
    """The pause a server asks for is kept."""
    details = overloaded(timedelta(seconds=3))

    error = failure_of(server, client, CODES.RESOURCE_EXHAUSTED, "slow down", *details)

    assert isinstance(error, OverloadedError)
    assert error.retry_after == timedelta(seconds=3)


def test_fault_says_what_to_look_for_in_the_log(server: ScriptedServer, client: Client) -> None:
    """A fault of the server carries, and says, the id its log knows the call by."""
    details = error_details_pb2.RequestInfo(request_id="r-17")

    error = failure_of(server, client, CODES.INTERNAL, "internal error", details)

    assert error.request_id == "r-17"
    assert str(error).endswith("internal error (request r-17)")


def test_call_that_was_cut_off_is_an_outage(server: ScriptedServer, client: Client) -> None:
    """A stream that a server or a proxy resets is told by gRPC as INTERNAL, and may be retried."""
    text = "Received RST_STREAM with error code 2"

    error = failure_of(server, client, CODES.INTERNAL, text)

    assert isinstance(error, UnreachableError)


def test_message_over_grpcs_own_limit_is_not_overload(
    server: ScriptedServer, client: Client
) -> None:
    """A message gRPC refuses for its size is a wrong request, which waiting cannot mend."""
    text = "SERVER: Received message larger than max (5000000 vs. 4194304)"

    error = failure_of(server, client, CODES.RESOURCE_EXHAUSTED, text)

    assert isinstance(error, InvalidRequestError)


def test_details_of_another_code_are_left_out(server: ScriptedServer, client: Client) -> None:
    """Details that do not belong to the status, as behind a proxy, are not believed."""
    packed = AnyMessage()
    packed.Pack(reason("FILTER_SYNTAX"))
    other = rpc_status.to_status(status_pb2.Status(code=3, message="other", details=[packed]))

    class Rewritten(grpc.Status):
        code = CODES.PERMISSION_DENIED
        details = "rewritten"
        trailing_metadata = other.trailing_metadata

    server.findings.failure = Rewritten()
    with pytest.raises(PermissionDeniedError) as raised:
        client.get_finding("f")

    assert raised.value.reason is None


def test_unreachable_names_the_target() -> None:
    """An error of the connection says which server was meant."""
    with serve() as stopped:
        target = stopped.target

    with connect(target, insecure=True) as client, pytest.raises(UnreachableError) as raised:
        client.get_finding("f")

    assert target in str(raised.value)
