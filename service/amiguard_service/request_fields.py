"""Fields that requests of several kinds have: read and checked, and named where refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from amiguard_core.errors import PolicyError
from amiguard_service.refusals import FieldInvalidError

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_NANOS_PER_SECOND: Final = 1_000_000_000
_SHOWN: Final = 64
"""Characters of a wrong value that an error repeats."""


@contextmanager
def fields_of(message: str) -> Iterator[None]:
    """Names the fields of what is refused as the request does, in which they stand in `message`."""
    try:
        yield
    except PolicyError as error:
        raise FieldInvalidError(
            f"{message}.{error.field}", got=error.got, expected=error.wanted
        ) from error
    except FieldInvalidError as error:
        if error.field == message:
            raise
        raise FieldInvalidError(
            f"{message}.{error.field}", got=error.got, expected=error.expected
        ) from error


def read_request_id(text: str) -> str | None:
    """Returns the id of a request in one spelling; None where it has none."""
    if text and not _UUID.fullmatch(text):
        raise FieldInvalidError("request_id", got=shown(text), expected="a UUID")
    return text.lower() or None


def read_etag(etag: str, *, field: str) -> str:
    """Returns the etag of a change that has to have one."""
    if not etag:
        raise FieldInvalidError(field, got="nothing", expected="the etag that was read last")
    return etag


def read_paths(mask: FieldMask, *, known: frozenset[str], given: Iterable[str]) -> set[str]:
    """Returns the fields that a change sets: those of its mask, else those that are given."""
    paths = set(mask.paths)
    for path in sorted(paths - known - {"*"}):
        expected = f"one of {', '.join(sorted(known))}"
        raise FieldInvalidError("update_mask", got=shown(path), expected=expected)
    if "*" in paths:
        return set(known)
    return paths or set(given)


def read_duration(duration: Duration, *, field: str) -> timedelta:
    """Returns the duration in a field; raises FieldInvalidError for none."""
    try:
        if abs(duration.nanos) < _NANOS_PER_SECOND and duration.seconds * duration.nanos >= 0:
            return duration.ToTimedelta()
    except OverflowError:
        pass
    got = f"{duration.seconds} s and {duration.nanos} ns"
    raise FieldInvalidError(field, got=got, expected="a duration of up to 10,000 years")


def shown(text: str) -> str:
    """Returns a wrong value as an error repeats it."""
    return repr(text[:_SHOWN]) if text else "nothing"
