"""Log files as they are delivered: measured, and taken apart where they are too large.

The text of each record stays as AWS wrote it. `amiguard_core.log_files` does the reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import BinaryIO

from amiguard_core.log_files.inflate import Inflated, TextTooLargeError, inflate
from amiguard_core.log_files.reader import LogReader, Unreadable

__all__ = ["LogReader", "Unreadable", "inflate_within", "pieces_of"]

_BETWEEN_RECORDS = re.compile(rb"\}(?:[ \t\r,\x1e\0]|\xef\xbb\xbf)*+\{|\n")
"""What is between two records of a file whose records are objects, at the least."""
_HOLDS_OBJECTS = re.compile(rb"\s*+\{")
_CHUNK_BYTES = 1024 * 1024


def pieces_of(stream: BinaryIO) -> Iterator[bytes]:
    """Yields what a stream holds from here on, some of it at a time."""
    return iter(partial(stream.read, _CHUNK_BYTES), b"")


def inflate_within(content: bytes, *, max_records: int, max_inflated_bytes: int) -> Inflated | None:
    """Returns the text of a log file that may go whole, else None.

    It has to be within the limits of one batch. Of damaged gzip, which ends early, only the
    records go: so a forwarder knows that the server never saw the rest.
    """
    try:
        inflated = inflate(content, max_bytes=max_inflated_bytes)
    except TextTooLargeError:
        return None
    if inflated.damage is not None:
        return None
    text = inflated.text
    # The exact count takes longer, which a bound that is good enough saves almost always.
    if _HOLDS_OBJECTS.match(text) and b"\0" not in text:
        bound = 1 + sum(1 for _ in _BETWEEN_RECORDS.finditer(text))
        if bound <= max_records:
            return inflated
    reader = LogReader(max_record_bytes=max(len(text), 1))
    if next(islice(reader.read([text]), max_records, None), None) is not None:
        return None
    return replace(inflated, padding_bytes=inflated.padding_bytes + reader.padding_bytes)
