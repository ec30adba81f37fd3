"""Bounded inflation of gzip, whoever made it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from amiguard_core.errors import InputTooLargeError, RecordMalformedError

GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WBITS = 16 + zlib.MAX_WBITS


class Decompressor(Protocol):
    """What `zlib.decompressobj` gives, and isal's and zlib-ng's twins of it."""

    @property
    def eof(self) -> bool:
        """Whether the end of a member was reached."""

    @property
    def unused_data(self) -> bytes:
        """What follows the member."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Inflates up to a length; 0 is no limit."""


@dataclass(frozen=True, slots=True)
class Codec:
    """An implementation of zlib: its decompressor and the error it raises for damaged data."""

    decompressobj: Callable[..., Decompressor]
    error: type[Exception]


ZLIB = Codec(zlib.decompressobj, zlib.error)


def inflate(data: bytes, *, max_bytes: int, codec: Codec = ZLIB) -> bytes:
    """Returns the text of a gzip file of any number of members; other data comes back as it is.

    Never holds more than `max_bytes` and one byte of text. Raises RecordMalformedError for data
    that is damaged or cut short, InputTooLargeError for text over `max_bytes`.
    """
    if not data.startswith(GZIP_MAGIC):
        if len(data) > max_bytes:
            raise _too_large(max_bytes)
        return data
    parts: list[bytes] = []
    room = max_bytes
    while data:
        member = codec.decompressobj(wbits=_GZIP_WBITS)
        try:
            text = member.decompress(data, room + 1)
        except codec.error:
            raise RecordMalformedError("$", got="damaged gzip", wanted="gzip") from None
        if len(text) > room:
            raise _too_large(max_bytes)
        if not member.eof:
            raise RecordMalformedError("$", got="gzip that is cut short", wanted="whole gzip")
        parts.append(text)
        room -= len(text)
        data = member.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(max_bytes: int) -> InputTooLargeError:
    return InputTooLargeError("$", got="more once inflated", wanted=f"at most {max_bytes} bytes")
