"""Reads the values of a filter: words, quoted strings, integers and times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from amiguard_service._filter_tree import (
    ComparisonValue,
    Field,
    Kind,
    Operator,
    TextPattern,
)

_PIECES = re.compile(r"\\(.)|(\*)|([^\\*]+)", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INTEGER_LIMIT = 2**63
_HOUR_AND_MINUTE = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = re.compile(
    rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[Tt]({_HOUR_AND_MINUTE}:[0-5][0-9])"
    # Further digits than microseconds may only be zeros: dropping others would move the time.
    rf"(?:\.([0-9]{{1,6}})0*)?([Zz]|[+-]{_HOUR_AND_MINUTE})"
)


@dataclass(frozen=True, slots=True)
class Value:
    """A value as written, split at each `*` that was not escaped."""

    parts: tuple[str, ...]
    is_quoted: bool

    @classmethod
    def of_word(cls, word: str) -> Value:
        """Returns the value of a word without quotes."""
        return cls(tuple(word.split("*")), is_quoted=False)

    @classmethod
    def of_quoted(cls, body: str) -> Value:
        r"""Returns the value of what stands between two quotes, with its `\` escapes undone."""
        parts = [""]
        for piece in _PIECES.finditer(body):
            escaped, star, run = piece.groups()
            if star:
                parts.append("")
            else:
                parts[-1] += escaped or run
        return cls(tuple(parts), is_quoted=True)

    @property
    def text(self) -> str:
        """The value where `*` means nothing but itself."""
        return "*".join(self.parts)

    @property
    def pattern(self) -> TextPattern:
        """The value where `*` stands for any run of characters; `**` is the same as `*`."""
        first, *rest = self.parts
        if not rest:
            return TextPattern((first,))
        last = rest.pop()
        return TextPattern((first, *(part for part in rest if part), last))


BARE_STAR: Final = Value.of_word("*")
"""Asks for presence. In quotes it is a text of one character, which a name pattern can be."""

_ANY_TEXT: Final = TextPattern(("", ""))
"""Matches the empty text too, so a comparison with it would not ask what it seems to ask."""


def convert(
    value: Value, field: Field, *, operator: Operator
) -> tuple[ComparisonValue | None, str]:
    """Returns the value in the type of the field, None where it is none, and what was expected."""
    match field.kind:
        case Kind.ENUM:
            name = value.text.removeprefix(field.prefix)
            return name if name in field.values else None, "one of " + ", ".join(field.values)
        case Kind.INTEGER:
            return _integer(value.text), "an integer of at most 64 bits"
        case Kind.TIME:
            return _time(value.text), "an RFC 3339 time in microseconds: 2025-02-28T13:00:00Z"
        case _ if operator.is_ordering:
            plain = value.pattern if value.pattern.is_plain else None
            return plain, f"text without '*' after '{operator}'"
        case _:
            pattern = None if value.pattern == _ANY_TEXT else value.pattern
            return pattern, "text besides '*' (':*' asks whether there is any)"


def _integer(text: str) -> int | None:
    """Returns the integer, None where it is none or does not fit 64 bits."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -_INTEGER_LIMIT <= number < _INTEGER_LIMIT else None


def _time(text: str) -> datetime | None:
    """Returns an RFC 3339 time in UTC, None where it is none or finer than a microsecond."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    date, time, fraction, zone = found.groups()
    offset = "+00:00" if zone in {"Z", "z"} else zone
    try:
        return datetime.fromisoformat(f"{date}T{time}.{fraction or '0':0<6}{offset}").astimezone(
            UTC
        )
    except (ValueError, OverflowError):
        # No such day, or an offset that leads out of the years 1 to 9999.
        return None
