"""Records from standard input: a document, or lines that are sent as they come."""

from __future__ import annotations

import json
import re
import select
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from amiguard_client.cli.discovery import STDIN_NAME
from amiguard_client.log_files import GZIP_MAGIC
from amiguard_client.packing import LogStream, Records

_GROUP_BYTES = 1024 * 1024
_LINGER_SECONDS = 0.2
"""How long to wait for more lines before sending those there are."""
_MAX_FIRST_LINE = 4 * 1024 * 1024
_IN_MEMORY_BYTES = 16 * 1024 * 1024
_LOG_FILE = re.compile(rb'\s*\{\s*"Records"\s*:')


def read_stdin(stream: BinaryIO) -> Iterator[Records | LogStream]:
    """Yields what standard input holds, with lines in groups while they still arrive."""
    start = b""
    while b"\n" not in start.lstrip() and len(start) < _MAX_FIRST_LINE:
        more = _read_some(stream)
        if not more:
            break
        start += more
    if not start.strip():
        return
    if is_one_record_a_line(start):
        yield from _read_lines(stream, start)
        return
    yield LogStream(spool(stream, start), name=STDIN_NAME)


def spool(stream: BinaryIO, start: bytes = b"") -> BinaryIO:
    """Returns a copy of a stream that can seek, for others to close."""
    copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - handed on
    copy.write(start)
    shutil.copyfileobj(stream, copy)
    copy.seek(0)
    return cast("BinaryIO", copy)


def is_one_record_a_line(start: bytes) -> bool:
    """Says whether text that begins so is one record a line rather than one document."""
    if start.startswith(GZIP_MAGIC) or _LOG_FILE.match(start):
        return False
    line = start.lstrip().partition(b"\n")[0]
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        # A first line that is no object may be a broken record or a document over several lines.
        return not line.strip().startswith((b"{", b"["))


def _read_lines(stream: BinaryIO, start: bytes) -> Iterator[Records]:
    index = 0
    rest = start
    while True:
        *lines, rest = rest.split(b"\n")
        group = [line for line in lines if line.strip()]
        if group:
            yield Records(group, name=STDIN_NAME, first_index=index)
            index += len(group)
        more = _read_group(stream)
        if not more:
            break
        rest += more
    if rest.strip():
        yield Records([rest], name=STDIN_NAME, first_index=index)


def _read_group(stream: BinaryIO) -> bytes:
    """Waits for text, then takes what follows it closely; empty at the end."""
    parts = [_read_some(stream)]
    size = len(parts[0])
    while parts[-1] and size < _GROUP_BYTES and _has_more_soon(stream):
        parts.append(_read_some(stream))
        size += len(parts[-1])
    return b"".join(parts)


def _read_some(stream: BinaryIO) -> bytes:
    """Waits for text and returns what there is, rather than waiting until a buffer is full."""
    raw = getattr(stream, "raw", stream)
    return raw.read(_GROUP_BYTES) or b""


def _has_more_soon(stream: BinaryIO) -> bool:
    try:
        ready, _, _ = select.select([stream], [], [], _LINGER_SECONDS)
    except (OSError, ValueError):
        # Not something that can be waited for, such as a file on Windows: reading will tell.
        return True
    return bool(ready)
