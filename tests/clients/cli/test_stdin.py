"""A pipe gives records as they come, whatever form they come in."""

from __future__ import annotations

import gzip
import io
import os
import threading
from contextlib import closing
from typing import BinaryIO, cast

import pytest

from amiguard_client import Records
from amiguard_client.cli.stdin import Pipe
from amiguard_client.log_files import Unreadable


def read(content: bytes) -> list[bytes | Unreadable]:
    """Returns the records that a pipe holds."""
    return [record for group in Pipe(io.BytesIO(content)).read() for record in group.records]


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_lines_become_records(ending: bytes) -> None:
    """One record a line is read as records, blank lines left out."""
    assert read(b'\n{"a":1}\n\n{"b":2}\n{"c":3}' + ending) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def test_a_line_that_is_broken_is_an_item_of_its_own() -> None:
    """Lines stay lines when one of them is no record, so that each can be rejected for itself."""
    assert read(b'nonsense\n{"b":2}\n') == [b"nonsense", b'{"b":2}']


@pytest.mark.parametrize(
    "document",
    [
        b'{"Records":[{"a":1}]}\n',
        b'{ "Records" :\n [{"a":1}]}',
        b'[{"a":1}]',
        gzip.compress(b'{"Records":[{"a":1}]}', mtime=0),
        gzip.compress(b'{"Records":[{"a"', mtime=0) + gzip.compress(b":1}]}", mtime=0),
    ],
)
def test_documents_are_taken_apart(document: bytes) -> None:
    """A log file in a pipe gives its records as they stand in it."""
    assert read(document) == [b'{"a":1}']


def test_groups_are_bounded() -> None:
    """However much a little gzip inflates to, a group holds a piece of it."""
    record = b'{"a":"%s"}' % (b"x" * 1_000)
    groups = list(Pipe(io.BytesIO(gzip.compress(record * 20_000))).read())

    assert sum(len(group.records) for group in groups) == 20_000
    assert max(len(group.records) for group in groups) <= 2_000


@pytest.mark.parametrize("nothing", [b"", b"\n \n"])
def test_nothing_is_nothing(nothing: bytes) -> None:
    """Empty input holds no records."""
    assert read(nothing) == []


def test_positions_go_on_from_group_to_group() -> None:
    """A record is named by its position in all of the input."""
    source, sink = os.pipe()
    with closing(os.fdopen(source, "rb")) as stream, closing(os.fdopen(sink, "wb", 0)) as writer:
        groups = Pipe(cast("BinaryIO", stream)).read()
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
            next(Pipe(stream).read())
            arrived.set()

        thread = threading.Thread(target=wait_for_a_group)
        thread.start()
        writer.write(b'{"a":1}\n')

        assert arrived.wait(timeout=30)
        thread.join(timeout=30)
