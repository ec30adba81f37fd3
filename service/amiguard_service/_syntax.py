"""How a small text language of the API says where it stopped understanding."""

from __future__ import annotations

import re

_SHOWN_CHARACTERS = 40
"""Enough to recognize the place; a refusal never hands a long request back."""

_RUN = re.compile(r"\S+|\s")


class TextSyntaxError(ValueError):
    """A text of a request does not follow its language.

    `offset` is the zero-based byte offset in the UTF-8 form of the text where reading stopped;
    `expected` and `got` are phrases for a person and never longer than a line or two.
    """

    def __init__(self, offset: int, *, expected: str, got: str) -> None:
        super().__init__(f"offset {offset}: got {got}, expected {expected}")
        self.offset = offset
        self.expected = expected
        self.got = got


def byte_offset(text: str, index: int) -> int:
    """Returns how many bytes of UTF-8 come before the character at `index`."""
    return len(text[:index].encode(errors="surrogatepass"))


def shown(text: str, index: int) -> str:
    """Returns what stands at `index`, quoted and shortened, for the `got` of an error."""
    run = _RUN.match(text, index)
    if run is None:
        return "the end"
    if len(run[0]) > _SHOWN_CHARACTERS:
        return repr(run[0][:_SHOWN_CHARACTERS]) + "..."
    return repr(run[0])
