"""Values as what JSON and YAML can hold, for programs that take nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


def to_plain(value: Any) -> Any:
    """Returns a value of this library as mappings, lists, texts, numbers, truth values and None.

    Fields keep their names, but a duration `gap` becomes the number `gap_seconds`. Times are texts
    of RFC 3339 in UTC.
    """
    match value:
        case StrEnum():
            return value.value
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case Mapping():
            return {key: to_plain(item) for key, item in value.items()}
        case tuple() | list():
            return [to_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return dict(_plain_field(name, item) for name, item in pairs)
    return value


def _plain_field(name: str, value: Any) -> tuple[str, Any]:
    if isinstance(value, timedelta):
        return f"{name}_seconds", value.total_seconds()
    return name, to_plain(value)
