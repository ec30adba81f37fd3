"""Durations on the command line and in files: `90s`, `15m`, `24h`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import click

WANTED = "a number and a unit, such as 90s, 15m or 24h"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])|([0-9]{1,9}\.[0-9]{1,6})s", re.ASCII)


if TYPE_CHECKING:
    _DurationType = click.ParamType[timedelta]
else:
    # Generic from click 8.2 on only.
    _DurationType = click.ParamType


def duration_of(text: str) -> timedelta | None:
    """Returns the duration a text stands for, None where it is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    if match[3]:
        return timedelta(seconds=float(match[3]))
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def duration_text(duration: timedelta) -> str:
    """Returns a duration of 0 or more as `duration_of` reads it, in the largest unit that fits."""
    seconds, rest = divmod(duration, timedelta(seconds=1))
    if rest:
        fraction = f"{rest.microseconds:06}".rstrip("0")
        return f"{seconds}.{fraction}s"
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


class Duration(_DurationType):
    """A whole number and a unit; seconds may have a fraction."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Returns the duration a text stands for."""
        if isinstance(value, timedelta):
            return value
        duration = duration_of(str(value))
        if duration is None:
            self.fail(f"got {value!r}, wanted {WANTED}", param, ctx)
        return duration
