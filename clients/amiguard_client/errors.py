"""What can go wrong between a caller and the server: one exception per thing a caller can do."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from amiguard_client.submit import SubmitSummary

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that the server refused, and why."""

    field: str
    description: str


class AmiguardError(Exception):
    """Base of every error the client raises.

    `code` is the name of the gRPC status code. `reason` is the cause as the wire contract names it
    (`FILTER_SYNTAX`), None where the server gave none, and `metadata` holds what the contract lists
    for that cause. `retry_after` is how long the server asks to wait before the next attempt, and
    `request_id` what its log knows the call by; None where it does not say.

    An error that ended a submission carries in `summary` what was acknowledged before, and in
    `unacked_batch_count` how many batches were sent or ready to be sent and are not acknowledged;
    submitting them again is safe.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        reason: str | None = None,
        metadata: Mapping[str, str] = _NOTHING,
        retry_after: timedelta | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = metadata
        self.retry_after = retry_after
        self.request_id = request_id
        self.summary: SubmitSummary | None = None
        self.unacked_batch_count = 0

    def __str__(self) -> str:
        if not self.unacked_batch_count:
            return self.message
        noun = "batch is" if self.unacked_batch_count == 1 else "batches are"
        return f"{self.message}; {self.unacked_batch_count} {noun} not acknowledged"


class UnreachableError(AmiguardError):
    """The server cannot be reached or did not answer in time: check the address, or try later."""


class OverloadedError(AmiguardError):
    """The server is there and could not take this just now: slow down and try again."""


class UnauthenticatedError(AmiguardError):
    """The server does not know the caller: bring valid credentials."""


class PermissionDeniedError(AmiguardError):
    """The caller is known and may not do this: ask whoever grants roles."""


class NotFoundError(AmiguardError):
    """There is nothing under that name: check it."""


class InvalidRequestError(AmiguardError):
    """The request is wrong and will stay wrong: mend what `violations` and `reason` name."""

    violations: tuple[FieldViolation, ...] = ()


class ConflictError(AmiguardError):
    """Somebody was there first: read the present state again, then decide.

    `metadata` has `current_etag` after an etag that is not the current one, `state` after a
    transition the state does not allow, `request_id` after one that was used for something else.
    """


class CursorExpiredError(AmiguardError):
    """The change log no longer reaches back that far: list what there is, then start anew."""


class ServerFaultError(AmiguardError):
    """The server failed or broke the contract: report it to whoever runs it."""
