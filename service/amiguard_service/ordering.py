"""The order of a list: `order_by` of a request, read into keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from amiguard_service._syntax import TextSyntaxError, byte_offset, shown

ORDER_FIELDS: Final = (
    "create_time",
    "update_time",
    "last_launch_time",
    "likelihood_score",
    "occurrence_count",
)
"""What findings can be ordered by. All of them are numbers or times, so no collation matters."""

_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class OrderSyntaxError(TextSyntaxError):
    """An `order_by` does not parse."""


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One field to order by."""

    field: str
    descending: bool = False


TIE_BREAK: Final = OrderKey("name")
"""The last key of every order. Names are unique, so an order with it is total and can be paged."""

DEFAULT_ORDER: Final = (OrderKey("update_time", descending=True), TIE_BREAK)


def parse_order_by(text: str) -> tuple[OrderKey, ...]:
    """Returns the keys of an order, greatest weight first, always ending with the name.

    The text is fields of `ORDER_FIELDS`, comma-separated, each with an optional `desc` or `asc`
    after white space, no field twice; newest change first when there is none. Anything else is
    an OrderSyntaxError.
    """
    position = _skip_space(text, 0)
    if position == len(text):
        return DEFAULT_ORDER
    keys: list[OrderKey] = []
    while True:
        key, position = _read_key(text, position, keys)
        keys.append(key)
        if position == len(text):
            return (*keys, TIE_BREAK)
        if text[position] != ",":
            raise _refusal(text, position, "',' or the end")
        position = _skip_space(text, position + 1)


def _read_key(text: str, position: int, before: list[OrderKey]) -> tuple[OrderKey, int]:
    """Returns the key at `position` and where the text goes on after it."""
    field = _word_at(text, position)
    if field not in ORDER_FIELDS:
        raise _refusal(text, position, "one of " + ", ".join(ORDER_FIELDS))
    if any(field == key.field for key in before):
        raise _refusal(text, position, "each field at most once")
    position = _skip_space(text, position + len(field))
    direction = _word_at(text, position)
    if direction not in {"", "asc", "desc"}:
        raise _refusal(text, position, "'desc', 'asc', ',' or the end")
    key = OrderKey(field, descending=direction == "desc")
    return key, _skip_space(text, position + len(direction))


def _skip_space(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _word_at(text: str, position: int) -> str:
    word = _WORD.match(text, position)
    return word[0] if word else ""


def _refusal(text: str, position: int, expected: str) -> OrderSyntaxError:
    return OrderSyntaxError(
        byte_offset(text, position), expected=expected, got=shown(text, position)
    )
