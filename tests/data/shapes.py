"""The small forms that CloudTrail records repeat: sets, times, ids, and the bytes of a record."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypeAlias
from uuid import UUID

Json: TypeAlias = dict[str, Any]
Record: TypeAlias = Json


def items(members: Iterable[Json]) -> Json:
    """Returns a set as EC2 records write it: `{}` when empty, never null and never a bare list."""
    listed = list(members)
    return {"items": listed} if listed else {}


def utc(moment: datetime) -> str:
    """Returns an event time: whole seconds, UTC, with a `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch_ms(moment: datetime) -> int:
    """Returns a time inside a response, which EC2 writes in milliseconds since 1970."""
    return int(moment.timestamp()) * 1000


def encode(record: Json) -> bytes:
    """Returns the record as AWS writes it into a log file: one line, no spaces, UTF-8."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def derived_uuid(*parts: object) -> str:
    """Returns a UUID that the parts alone decide."""
    return str(UUID(bytes=_digest(parts)[:16], version=4))


def derived_id(prefix: str, *parts: object) -> str:
    """Returns an EC2 resource id that the parts alone decide."""
    return f"{prefix}-0{_digest((prefix, *parts)).hex()[:16]}"


def _digest(parts: tuple[object, ...]) -> bytes:
    return sha256(json.dumps(parts, default=str).encode()).digest()
