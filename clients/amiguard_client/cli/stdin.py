"""Records from a pipe, which are sent as they come."""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from amiguard_client.cli.discovery import STDIN_NAME
from amiguard_client.log_files import LogReader, Unreadable
from amiguard_client.packing import Records

MAX_RECORD_BYTES = 16 * 1024 * 1024
_GROUP_BYTES = 1024 * 1024
_LINGER_SECONDS = 0.2
"""How long to wait for more text before sending the records there are."""


class Pipe:
    """What a pipe holds, in groups of records that came close together.

    `padding_bytes` counts the NUL bytes around its documents, once it was read.
    """

    def __init__(self, stream: BinaryIO, *, name: str = STDIN_NAME) -> None:
        self._stream = stream
        self._name = name
        self._reader = LogReader(max_record_bytes=MAX_RECORD_BYTES)
        self._next_index = 0

    @property
    def padding_bytes(self) -> int:
        """NUL bytes around the documents, which are left out."""
        return self._reader.padding_bytes

    def read(self) -> Iterator[Records]:
        """Yields the records; none of a pipe that is empty or blank."""
        while text := self._read_group():
            yield from self._group(self._reader.feed(text))
        if not self._reader.is_blank:
            yield from self._group(self._reader.finish())

    def _group(self, items: Iterable[bytes | Unreadable]) -> Iterator[Records]:
        group: list[bytes | Unreadable] = []
        size = 0
        for item in items:
            group.append(item)
            size += len(item) if isinstance(item, bytes) else 0
            if size >= _GROUP_BYTES:
                yield self._take(group)
                group, size = [], 0
        if group:
            yield self._take(group)

    def _take(self, group: list[bytes | Unreadable]) -> Records:
        first_index, self._next_index = self._next_index, self._next_index + len(group)
        return Records(group, name=self._name, first_index=first_index)

    def _read_group(self) -> bytes:
        """Waits for text, then takes what follows it closely; empty at the end."""
        parts = [self._read_some()]
        size = len(parts[0])
        while parts[-1] and size < _GROUP_BYTES and self._has_more_soon():
            parts.append(self._read_some())
            size += len(parts[-1])
        return b"".join(parts)

    def _read_some(self) -> bytes:
        """Waits for text and returns what there is, rather than waiting until a buffer is full."""
        raw = getattr(self._stream, "raw", self._stream)
        return raw.read(_GROUP_BYTES) or b""

    def _has_more_soon(self) -> bool:
        try:
            ready, _, _ = select.select([self._stream], [], [], _LINGER_SECONDS)
        except (OSError, ValueError):
            # Not something that can be waited for, such as a file on Windows: reading will tell.
            return True
        return bool(ready)
