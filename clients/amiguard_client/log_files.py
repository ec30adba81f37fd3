"""Log files as they were delivered: opened, measured, and taken apart where they are too large.

The text of each record stays as AWS wrote it; nothing is parsed into values and written again.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import zlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

GZIP_MAGIC = b"\x1f\x8b"
_ARRAY_START = re.compile(r'\s*\{\s*"Records"\s*:\s*\[')
_BETWEEN_RECORDS = re.compile(rb"\}\s*,\s*\{")
_SPACE_AND_COMMAS = re.compile(r"[\s,]*")
_CHUNK_BYTES = 1024 * 1024
_DAMAGE = (OSError, EOFError, zlib.error)
"""What reading gzip raises for data that is damaged or cut short."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record, or the rest of a file, that cannot be sent, with the JSON path and the reason."""

    message: str
    path: str = "$"


def open_text(stream: BinaryIO) -> BinaryIO:
    """Returns the inflated text of a stream that can seek, gzip or not."""
    start = stream.read(len(GZIP_MAGIC))
    stream.seek(0)
    if start == GZIP_MAGIC:
        return cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    return stream


def fits(content: bytes, *, max_records: int, max_inflated_bytes: int) -> bool:
    """Says whether a whole log file is within the limits of one batch.

    Damaged gzip fits: whoever receives it has the last word on what cannot be read.
    """
    try:
        text = open_text(io.BytesIO(content)).read(max_inflated_bytes + 1)
    except _DAMAGE:
        return True
    if len(text) > max_inflated_bytes:
        return False
    # The exact count costs a parse, which a bound that is good enough saves almost always.
    lines = text.count(b"\n") + 1
    if max(lines, sum(1 for _ in _BETWEEN_RECORDS.finditer(text)) + 1) <= max_records:
        return True
    records = split(io.BytesIO(text), max_record_bytes=max_inflated_bytes)
    return next(islice(records, max_records, None), None) is None


def split(text: BinaryIO, *, max_record_bytes: int) -> Iterator[bytes | Unreadable]:
    """Yields the records of a log file in order, holding a few of them at a time.

    `{"Records": [...]}` is taken apart at its elements, anything else at its lines, leaving out
    blank ones. What follows the first byte that makes no sense is one `Unreadable`.
    """
    reader = _Reader(text)
    try:
        start = reader.peek()
        opening = _ARRAY_START.match(start)
        if opening is not None:
            yield from _split_array(reader, opening.end(), max_record_bytes)
        else:
            yield from _split_lines(reader, max_record_bytes)
    except _DAMAGE:
        yield Unreadable("got damaged gzip, wanted whole gzip; the rest of the file is not read")


class _Reader:
    """A growing window of text; bytes that are no UTF-8 pass through it unharmed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.window = ""

    def peek(self) -> str:
        """Returns the first text, leaving it in the window."""
        self.grow()
        return self.window

    def grow(self) -> bool:
        """Adds text to the window; says whether there was any."""
        more = self._stream.read(_CHUNK_BYTES)
        self.window += self._decoder.decode(more, final=not more)
        return bool(more)

    def drop(self, count: int) -> None:
        """Removes that many characters from the front of the window."""
        self.window = self.window[count:]


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


def _split_lines(reader: _Reader, max_record_bytes: int) -> Iterator[bytes | Unreadable]:
    is_skipping = False
    has_more = True
    while has_more:
        has_more = reader.grow()
        *lines, rest = reader.window.split("\n")
        if not has_more:
            lines.append(rest)
            rest = ""
        reader.window = rest
        for line in lines:
            if not is_skipping and line.strip():
                yield _sized(_to_bytes(line.strip("\r\n")), max_record_bytes)
            is_skipping = False
        if len(rest) > max_record_bytes and not is_skipping:
            yield Unreadable(f"got more than {max_record_bytes} bytes in one line")
            is_skipping = True
        if is_skipping:
            reader.window = ""


def _split_array(
    reader: _Reader, start: int, max_record_bytes: int
) -> Iterator[bytes | Unreadable]:
    # Numbers stay text: Python refuses to read an integer of more than 4,300 digits.
    decode = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
    position = start
    while True:
        position = _end_of_space(reader, position)
        if reader.window[position : position + 1] == "]":
            return
        try:
            _, end = decode(reader.window, position)
        except (ValueError, RecursionError) as error:
            reader.drop(position)
            position = 0
            is_waiting = isinstance(error, json.JSONDecodeError)
            if is_waiting and len(reader.window) <= max_record_bytes and reader.grow():
                continue
            yield _stuck(reader.window, max_record_bytes)
            return
        yield _sized(_to_bytes(reader.window[position:end]), max_record_bytes)
        position = end
        if position > _CHUNK_BYTES:
            reader.drop(position)
            position = 0


def _end_of_space(reader: _Reader, position: int) -> int:
    """Returns where the next record starts, or the end of the file."""
    while True:
        match = _SPACE_AND_COMMAS.match(reader.window, position)
        position = match.end() if match else position
        if position < len(reader.window):
            return position
        # Little gzip can be very much space, which is not to be kept.
        reader.drop(position)
        position = 0
        if not reader.grow():
            return position


def _sized(record: bytes, max_record_bytes: int) -> bytes | Unreadable:
    if len(record) > max_record_bytes:
        return Unreadable(f"got {len(record)} bytes, wanted at most {max_record_bytes}")
    return record


def _stuck(window: str, max_record_bytes: int) -> Unreadable:
    if len(window) > max_record_bytes:
        got = f"no end of it within {max_record_bytes} bytes"
    elif not window.strip():
        got = "the end of the file"
    else:
        got = "text that is no JSON"
    return Unreadable(f"got {got}, wanted a record; the rest of the file is not read", "$.Records")
