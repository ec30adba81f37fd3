"""What `soar` is made of: connections by settings, one kind of error, values as plain data."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from types import UnionType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

from amiguard_client.channel import DEFAULT_TIMEOUT, ClientCertificate, connect
from amiguard_client.client import Client
from amiguard_client.errors import (
    AmiguardError,
    InvalidRequestError,
    OverloadedError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Settings: TypeAlias = Mapping[str, Any]
"""How to reach a server.

`server` is its address, HOST:PORT, and all that is required. `token` is sent with each call. `ca`
is the PEM text of who vouches for the server's certificate, those the system trusts where it is
left out; `cert` and `key` are the PEM texts of a certificate of one's own. `insecure` is true for
plain text. `timeout_seconds` bounds each call, 30 where it is left out.
"""

_KINDS: Mapping[str, tuple[type, ...]] = {
    "server": (str,),
    "token": (str,),
    "ca": (str,),
    "cert": (str,),
    "key": (str,),
    "insecure": (bool,),
    "timeout_seconds": (int, float),
}
_PEM = ("ca", "cert", "key")
_CHECKED: Mapping[str, tuple[type | UnionType, str]] = {
    "str": (str, "text"),
    "str | None": (str | None, "text"),
    "int": (int, "a whole number"),
    "Mapping[str, str | None]": (Mapping, "an object"),
}
"""What a parameter may be given, by its annotation."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SoarError(Exception):
    """Why a step failed, in one line.

    `code` is the name of a gRPC status code and `reason` the cause as the wire contract names it,
    None where there is none. `is_retryable` says that the same step may succeed later, after
    `retry_after_seconds` where the server says so. `request_id` is what the server's log knows the
    call by.
    """

    def __init__(self, message: str, *, cause: AmiguardError | None = None) -> None:
        super().__init__(" ".join(message.split()))
        self.code = cause.code if cause else "INVALID_ARGUMENT"
        self.reason = cause.reason if cause else None
        self.is_retryable = isinstance(cause, OverloadedError | UnreachableError)
        retry_after = cause.retry_after if cause else None
        self.retry_after_seconds = retry_after.total_seconds() if retry_after else None
        self.request_id = cause.request_id if cause else None

    def as_dict(self) -> dict[str, Any]:
        """Returns the same as plain data, for steps that hand errors on instead of raising."""
        return {
            "message": str(self),
            "code": self.code,
            "reason": self.reason,
            "is_retryable": self.is_retryable,
            "retry_after_seconds": self.retry_after_seconds,
            "request_id": self.request_id,
        }


def step(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Makes whatever a function raises for a reason its caller can know a SoarError.

    The kinds of the plain arguments are checked first: what a playbook looks for and does not find
    comes as None, or as a list.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            _check(signature.bind(*args, **kwargs))
            return function(*args, **kwargs)
        except AmiguardError as error:
            raise SoarError(_told(error), cause=error) from error
        except (RecursionError, TypeError, ValueError) as error:
            # protobuf and json raise these for a value that a field or a text cannot hold.
            raise SoarError(str(error)) from error

    return run


def _check(bound: inspect.BoundArguments) -> None:
    for name, value in bound.arguments.items():
        kind, wanted = _CHECKED.get(bound.signature.parameters[name].annotation, (object, ""))
        if not isinstance(value, kind):
            raise TypeError(f"{name}: got {type(value).__name__}, expected {wanted}")


@contextmanager
def connected(connection: Settings | Client) -> Iterator[Client]:
    """Gives a client for one step: the caller's own, or one that is closed after it."""
    if isinstance(connection, Client):
        yield connection
        return
    with _connect(connection) as client:
        yield client


def plain(value: Any) -> Any:
    """Returns a value as data for JSON: times as RFC 3339 text, durations as `..._seconds`."""
    if is_dataclass(value):
        made: dict[str, Any] = {}
        for field in fields(value):
            part = getattr(value, field.name)
            if isinstance(part, timedelta):
                made[f"{field.name}_seconds"] = part.total_seconds()
            else:
                made[field.name] = plain(part)
        return made
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    # A member of an enum is to be its text and nothing more.
    return str(value) if isinstance(value, str) else value


def time_of(text: str | None, *, name: str) -> datetime | None:
    """Returns the time an RFC 3339 text stands for, UTC unless it says otherwise; None for None."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        wanted = "a time such as 2026-12-31T18:00:00Z"
        raise ValueError(f"{name}: got {text!r}, expected {wanted}") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _connect(settings: Settings) -> Client:
    if not isinstance(settings, Mapping):
        got = type(settings).__name__
        raise TypeError(f"connection: got {got}, expected settings or an amiguard_client.Client")
    for name, value in settings.items():
        if name not in _KINDS:
            raise ValueError(f"connection: got {name!r}, expected only {', '.join(_KINDS)}")
        is_flag = isinstance(value, bool)
        if not isinstance(value, _KINDS[name]) or is_flag != (name == "insecure"):
            wanted = " or ".join(kind.__name__ for kind in _KINDS[name])
            raise TypeError(f"connection.{name}: got {type(value).__name__}, expected {wanted}")
    if not settings.get("server"):
        raise ValueError("connection.server: got nothing, expected HOST:PORT")
    for name in _PEM:
        if settings.get(name) and "-----BEGIN " not in settings[name]:
            raise ValueError(f"connection.{name}: got another text, expected PEM")
    # Vaults and files tend to end a token with a new line.
    token = settings.get("token", "").strip()
    if not (token.isascii() and token.isprintable()):
        raise ValueError("connection.token: got other characters, expected printable ASCII")
    return connect(
        settings["server"],
        insecure=settings.get("insecure", False),
        root_certificates=settings["ca"].encode() if settings.get("ca") else None,
        client_certificate=_certificate_of(settings),
        token=token or None,
        timeout=timedelta(seconds=settings.get("timeout_seconds", DEFAULT_TIMEOUT.total_seconds())),
    )


def _certificate_of(settings: Settings) -> ClientCertificate | None:
    chain, key = settings.get("cert"), settings.get("key")
    if not chain and not key:
        return None
    if not chain or not key:
        raise ValueError("connection: got one of cert and key, expected both or none")
    return ClientCertificate(chain=chain.encode(), private_key=key.encode())


def _told(error: AmiguardError) -> str:
    """Returns what an error says, with the fields that were refused where it does not name them."""
    if not isinstance(error, InvalidRequestError):
        return str(error)
    unsaid = [v for v in error.violations if v.description not in str(error)]
    return "; ".join([str(error), *(f"{v.field}: {v.description}" for v in unsaid)])
