"""The records of a log file that is no sound JSON, taken apart without reading them."""

from __future__ import annotations

import re

_OPENING = re.compile(rb'\s*\{\s*"Records"\s*:\s*\[')
_CLOSING = re.compile(rb"\]\s*\}\s*")
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{},]', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def split_records(text: bytes, *, max_records: int) -> tuple[list[bytes], bool]:
    """Returns the elements of `{"Records": [...]}` as they stand, and whether the file is whole.

    Only strings and brackets are looked at, so that what is wrong inside one element is that
    element's alone. Where the file is cut short the last element is, or those after it are
    missing. Nothing for a text of another form. Stops one past `max_records`.
    """
    opening = _OPENING.match(text)
    if opening is None:
        return [], False
    records: list[bytes] = []
    start, depth = opening.end(), 0
    for token in _TOKEN.finditer(text, start):
        mark = token[0]
        if mark in b"{[":
            depth += 1
        elif mark in b"}]":
            depth -= 1
            if depth < 0:
                last = text[start : token.start()].strip()
                is_whole = _CLOSING.fullmatch(text, token.start()) is not None
                return [*records, last] if last else records, is_whole
        elif mark == b"," and depth == 0:
            records.append(text[start : token.start()].strip())
            start = token.end()
            if len(records) > max_records:
                return records, False
    last = text[start:].strip()
    return [*records, last] if last else records, False


def mend_surrogates(text: bytes) -> bytes:
    """Returns JSON with a replacement character for every escape of half a character.

    A text that somebody cut after so many UTF-16 units can end in one; the rest of it is sound.
    """
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["lone"] else escape[0], text)
