"""Times on the command line and in files: `2026-12-31`, `2026-12-31T18:00:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    _TimeType = click.ParamType[datetime]
else:
    # Generic from click 8.2 on only.
    _TimeType = click.ParamType

WANTED = "a date or an RFC 3339 time, such as 2026-12-31 or 2026-12-31T18:00:00Z"
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})?)?", re.ASCII
)


def time_of(text: str) -> datetime | None:
    """Returns the time a text stands for, None where it is none. A time without offset is UTC."""
    if not _TIME.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


class Time(_TimeType):
    """A date or a time; UTC unless it says otherwise."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Returns the time a text stands for."""
        if isinstance(value, datetime):
            return value
        time = time_of(str(value))
        if time is None:
            self.fail(f"got {value!r}, wanted {WANTED}", param, ctx)
        return time
