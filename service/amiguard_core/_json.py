"""Parses the JSON of one record, and says in our words what is wrong with it."""

from __future__ import annotations

import re

import msgspec

from amiguard_core._node import Node
from amiguard_core.errors import RecordMalformedError

_TYPE_COMPLAINT = re.compile(r"Expected `(.+)`, got `(.+)`")
_decode_any = msgspec.json.Decoder().decode
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def replace_lone_surrogates(text: bytes) -> bytes:
    """Returns JSON with a replacement character for every escape of half a character.

    A text that somebody cut after so many UTF-16 units can end in one; the rest of it is sound.
    """
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["lone"] else escape[0], text)


def is_json(text: object) -> bool:
    """Says whether a part of an input is JSON by itself."""
    try:
        return isinstance(text, bytes) and parse(text) is not None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def parse(raw: bytes) -> Node:
    """Returns a value. Raises a MsgspecError, UnicodeDecodeError or RecursionError."""
    raw.decode()
    try:
        return Node(_decode_any(raw))
    except msgspec.DecodeError:
        replaced = replace_lone_surrogates(raw)
        if replaced == raw:
            raise
        return Node(_decode_any(replaced))


def parse_inner(node: Node) -> Node:
    """Returns the value that a string is the JSON text of."""
    text = node.value
    if not isinstance(text, str):
        raise node.refuse("a record as a JSON string")
    try:
        return Node(_decode_any(text), key=node.path)
    except msgspec.DecodeError:
        raise node.refuse("a record as a JSON string", got="text that is no JSON") from None


def malformed(error: Exception) -> RecordMalformedError:
    """Turns a parser's complaint into ours, keeping the path it names."""
    if isinstance(error, RecursionError):
        return RecordMalformedError("$", got="nesting too deep to read", wanted="a record")
    if isinstance(error, UnicodeDecodeError):
        return RecordMalformedError(
            "$", got=f"an invalid byte at offset {error.start}", wanted="UTF-8"
        )
    message, _, path = str(error).partition(" - at `")
    path = path.rstrip("`")
    typed = _TYPE_COMPLAINT.fullmatch(message)
    got, wanted = (typed[2], typed[1]) if typed else (message, "JSON of a record")
    # Somewhere below a key that the parser does not name is no path.
    return RecordMalformedError(
        path if path and "[...]" not in path else "$", got=got, wanted=wanted
    )
