"""Durations on the command line: `90s`, `15m`, `24h`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)


if TYPE_CHECKING:
    _DurationType = click.ParamType[timedelta]
else:
    # Generic from click 8.2 on only.
    _DurationType = click.ParamType


class Duration(_DurationType):
    """A whole number and a unit."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Returns the duration a text stands for."""
        if isinstance(value, timedelta):
            return value
        match = _DURATION.fullmatch(str(value))
        if match is None:
            self.fail(
                f"got {value!r}, wanted a number and a unit, such as 90s, 15m or 24h", param, ctx
            )
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
