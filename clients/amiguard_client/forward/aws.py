"""AWS clients, made when they are needed, and what their errors mean to a forwarder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amiguard_client.forward.errors import (
    AwayError,
    BadObjectError,
    ForwardError,
    ObjectFaultError,
    SetupError,
)

INSTALL = "pip install 'amiguard[aws]'"

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
"""More than the longest wait for a message."""
_QUICK_ATTEMPTS = 2
"""Of one call, by the AWS client itself. What lasts longer is waited out in sight of the user."""

_PASSING_CODES = re.compile(
    r".*Throttl.*|RequestLimitExceeded|SlowDown|TooManyRequests.*|RequestTimeout|RequestExpired"
    r"|ExpiredToken.*|Internal.*|ServiceUnavailable.*|OverLimit"
)
_GONE_CODES = {"NoSuchKey", "NoSuchBucket", "404"}
_TOO_MANY_REQUESTS = 429
_SERVER_FAULT = 500
_QUEUE_REGION = re.compile(r"https://(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.amazonaws\.com")


def open_client(service: str, *, region: str | None = None, pool_size: int = 10) -> Any:
    """Returns a client of boto3, which may be used from any thread.

    Credentials, region, endpoint and proxies come from where AWS tools take them. Raises a
    SetupError where boto3 is not installed or what it finds is not enough.
    """
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise SetupError(f"boto3 is not installed: {INSTALL}") from None
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=pool_size,
        retries={"mode": "standard", "total_max_attempts": _QUICK_ATTEMPTS},
        user_agent_extra="amiguard",
    )
    with aws_errors(service):
        try:
            # A session of its own: the one that boto3 shares keeps what it once found.
            return boto3.Session().client(service, region_name=region, config=config)
        except ValueError as error:
            # What boto3 raises for an endpoint that is no URL, and the like.
            raise SetupError(f"{service}: {_one_line(error)}") from error


def queue_region(queue_url: str) -> str | None:
    """Returns the region that a queue's URL names, None where it names none."""
    match = _QUEUE_REGION.match(queue_url)
    return (match[1] or match[2]) if match is not None else None


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Turns the errors of a call into ours; `what` says what was called, or for what object."""
    from botocore import exceptions as botocore

    try:
        yield
    except botocore.ClientError as error:
        raise _meaning_of(error.response, str(error), what) from error
    except (
        botocore.NoCredentialsError,
        botocore.NoRegionError,
        botocore.PartialCredentialsError,
        botocore.ProfileNotFound,
    ) as error:
        raise SetupError(f"{what}: {_one_line(error)}") from error
    except botocore.ParamValidationError as error:
        raise BadObjectError(f"{what}: {_one_line(error)}") from error
    except (
        botocore.HTTPClientError,
        botocore.ConnectionError,
        botocore.IncompleteReadError,
        botocore.CredentialRetrievalError,
        botocore.MetadataRetrievalError,
    ) as error:
        raise AwayError(f"{what}: {_one_line(error)}") from error
    except botocore.BotoCoreError as error:
        raise ObjectFaultError(f"{what}: {_one_line(error)}") from error


def _meaning_of(response: Any, text: str, what: str) -> ForwardError:
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"{what}: {_one_line(text)}"
    if (
        _PASSING_CODES.fullmatch(code.rpartition(".")[2])
        or status >= _SERVER_FAULT
        or status == _TOO_MANY_REQUESTS
    ):
        return AwayError(message)
    if code in _GONE_CODES:
        return BadObjectError(message)
    return ObjectFaultError(message)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
