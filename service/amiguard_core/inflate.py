"""Bounded inflation of gzip, whoever made it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from amiguard_core.errors import InputTooLargeError, RecordMalformedError

GZIP_MAGIC = b"\x1f\x8b"
MAX_MEMBERS = 1_000
"""CloudTrail writes one; whoever joins a day's files of one account writes a few hundred."""
_GZIP_WBITS = 16 + zlib.MAX_WBITS
_SLICE_BYTES = 1 << 18
_PADDING = re.compile(rb"\0*")


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
    room, position = max_bytes, 0
    for _ in range(MAX_MEMBERS):
        for text, end in _inflate_member(data, position, room, codec):
            room -= len(text)
            if room < 0:
                raise _too_large(max_bytes)
            parts.append(text)
            position = end
        padding = _PADDING.match(data, position)
        position = padding.end() if padding else position
        if position == len(data):
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise InputTooLargeError("$", got="more gzip members", wanted=f"at most {MAX_MEMBERS}")


def _inflate_member(
    data: bytes, position: int, room: int, codec: Codec
) -> Iterator[tuple[bytes, int]]:
    """Gives the text of the member at a position, in parts, and how far each has come."""
    member = codec.decompressobj(wbits=_GZIP_WBITS)
    while not member.eof:
        if position >= len(data):
            raise RecordMalformedError("$", got="gzip that is cut short", wanted="whole gzip")
        # In slices, because whatever follows a member is copied at its end.
        piece = data[position : position + _SLICE_BYTES]
        try:
            text = member.decompress(piece, room + 1)
        except codec.error:
            raise RecordMalformedError("$", got="damaged gzip", wanted="gzip") from None
        room -= len(text)
        position += len(piece)
        yield text, position - len(member.unused_data)


def _too_large(max_bytes: int) -> InputTooLargeError:
    return InputTooLargeError("$", got="more once inflated", wanted=f"at most {max_bytes} bytes")
