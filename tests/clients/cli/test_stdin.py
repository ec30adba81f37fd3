"""Standard input is read as lines where it is lines, and as a document where it is one."""

from __future__ import annotations

import gzip
import io
import os
import threading
from contextlib import closing
from typing import BinaryIO, cast

import pytest

from amiguard_client import LogStream, Records
from amiguard_client.cli.stdin import read_stdin


def read(content: bytes) -> list[Records | bytes]:
    """Returns the groups of lines, or the document, that standard input holds."""
    parts: list[Records | bytes] = []
    for part in read_stdin(io.BytesIO(content)):
        if isinstance(part, LogStream):
            with part.stream as stream:
                parts.append(stream.read())
        else:
            parts.append(part)
    return parts


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_lines_become_records(ending: bytes) -> None:
    """One record a line is read as records, blank lines left out."""
    parts = read(b'\n{"a":1}\n\n{"b":2}\n{"c":3}' + ending)

    records = [record for part in parts if isinstance(part, Records) for record in part.records]
    assert records == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def test_a_line_that_is_broken_does_not_make_a_document() -> None:
    """Lines stay lines when one of them is no record, so that each can be rejected for itself."""
    parts = read(b'nonsense\n{"b":2}\n')

    assert all(isinstance(part, Records) for part in parts)


@pytest.mark.parametrize(
    "document",
    [
        b'{"Records":[{"a":1}]}\n',
        b'{ "Records" :\n [{"a":1}]}',
        b'{\n  "detail": {\n    "a": 1\n  }\n}\n',
        gzip.compress(b'{"Records":[]}', mtime=0),
    ],
)
def test_documents_stay_whole(document: bytes) -> None:
    """A log file, gzip, or a record over several lines is passed on as it is."""
    assert read(document) == [document]


@pytest.mark.parametrize("nothing", [b"", b"\n \n"])
def test_nothing_is_nothing(nothing: bytes) -> None:
    """Empty input holds no records."""
    assert read(nothing) == []


def test_positions_go_on_from_group_to_group() -> None:
    """A record is named by its position in all of the input."""
    source, sink = os.pipe()
    with closing(os.fdopen(source, "rb")) as stream, closing(os.fdopen(sink, "wb", 0)) as writer:
        groups = read_stdin(cast("BinaryIO", stream))
        writer.write(b'{"a":1}\n{"b":2}\n')
        first = next(groups)
        writer.write(b'{"c":3}\n')
        second = next(groups)
        writer.close()

        assert list(groups) == []
    assert first == Records([b'{"a":1}', b'{"b":2}'], name="<stdin>", first_index=0)
    assert second == Records([b'{"c":3}'], name="<stdin>", first_index=2)


def test_lines_are_passed_on_while_more_may_come() -> None:
    """What has arrived is passed on though the input goes on."""
    source, sink = os.pipe()
    arrived = threading.Event()
    with closing(os.fdopen(source, "rb")) as stream, closing(os.fdopen(sink, "wb", 0)) as writer:

        def wait_for_a_group() -> None:
            next(read_stdin(stream))
            arrived.set()

        thread = threading.Thread(target=wait_for_a_group)
        thread.start()
        writer.write(b'{"a":1}\n')

        assert arrived.wait(timeout=30)
        thread.join(timeout=30)
