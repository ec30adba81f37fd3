"""Sizes on the command line: `500`, `64KiB`, `256MiB`, `1GiB`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

WANTED = "a number of bytes, such as 67108864, 64MiB or 1GiB"
_UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = re.compile(r"([0-9]{1,15})(KiB|MiB|GiB|)", re.ASCII)

if TYPE_CHECKING:
    _SizeType = click.ParamType[int]
else:
    # Generic from click 8.2 on only.
    _SizeType = click.ParamType


class Size(_SizeType):
    """A number of bytes; a unit may follow."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Returns the bytes a text stands for."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value))
        if match is None:
            self.fail(f"got {value!r}, wanted {WANTED}", param, ctx)
        return int(match[1]) * _UNITS[match[2]]
