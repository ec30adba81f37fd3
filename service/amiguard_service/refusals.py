"""What a caller can be refused, one exception for each thing the caller can do about it.

Errors of the parts the servicers call (filters, tokens, the store) stand where they are raised.
"""

from __future__ import annotations

from datetime import timedelta


class RefusalError(Exception):
    """Base of them all. Its text is for the caller, and never holds a record or a secret."""


class FieldInvalidError(RefusalError):
    """A field of the request is missing or malformed."""

    def __init__(self, field: str, *, got: str, expected: str) -> None:
        super().__init__(f"{field}: got {got}, expected {expected}")
        self.field = field
        self.got = got
        self.expected = expected


class RequestUnreadableError(RefusalError):
    """The bytes of the request are no message of its type."""


class RequestMissingError(RefusalError):
    """The call was begun, and its first message did not come in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no request came within {seconds:g} seconds of the call; call again")


class ResourceNotFoundError(RefusalError):
    """There is no resource of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist")
        self.name = name


class StreamProtocolError(RefusalError):
    """The stream broke its own protocol."""

    def __init__(self, *, got: str, expected: str) -> None:
        super().__init__(f"got {got}, expected {expected}")
        self.expected = expected


class WindowOverrunError(StreamProtocolError):
    """The client had more batches in flight than the window allows."""


class MostlyMalformedError(RefusalError):
    """Most of what the stream sent was set aside."""

    def __init__(self, *, record_count: int, rejected_count: int) -> None:
        super().__init__(
            f"{rejected_count} of {record_count} records were not CloudTrail: see the rejections; "
            "the forwarder may be reading another log"
        )
        self.record_count = record_count
        self.rejected_count = rejected_count


class OverloadedError(RefusalError):
    """The caller is over its share of the server; the same call may succeed later."""

    def __init__(self, limit: str, *, retry_after: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(f"the server is at its limit of {limit}; try again later")
        self.limit = limit
        self.retry_after = retry_after


class DrainingError(RefusalError):
    """The server is about to stop; another one, or the next one, will take the call."""

    def __init__(self) -> None:
        super().__init__("the server is about to stop; reconnect and resend what was not acked")


class StreamAgedError(DrainingError):
    """The stream is as old as a stream may become; the client goes on with another one."""

    def __init__(self) -> None:
        RefusalError.__init__(
            self, "the stream is as old as one may become; reconnect and resend what was not acked"
        )


class TokenInvalidError(RefusalError):
    """The caller gave no bearer token, or none that is known."""

    def __init__(self, *, got: str) -> None:
        super().__init__(f"got {got}, expected metadata 'authorization: Bearer TOKEN'")


class RoleMissingError(RefusalError):
    """The caller is known but may not make this call."""

    def __init__(self, role: str) -> None:
        super().__init__(f"the token does not have the role {role}, which this call needs")
        self.role = role


class ResourceExistsError(RefusalError):
    """There is a resource of this name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} exists already")
        self.name = name


class EtagMismatchError(RefusalError):
    """The resource is no longer as the caller saw it; whoever reads it again can decide again."""

    def __init__(self, name: str, *, got: str, current: str) -> None:
        super().__init__(f"etag: got {got!r}, {name} is at {current!r}; read it again")
        self.name = name
        self.current = current


class RequestIdReusedError(RefusalError):
    """A request id came again with other arguments."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request_id {request_id} came before with other arguments")
        self.request_id = request_id


class LosesTruePositivesError(RefusalError):
    """The change would hide what people have found to be true."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(
            f"{len(names)} findings closed as TRUE_POSITIVE would vanish or fall to LOW, the first "
            f"of them {names[0]}"
        )
        self.names = names
