"""Forwarding records from a pipe."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from amiguard_client.forward.dead_letters import FolderOfDeadLetters
from amiguard_client.forward.lines import MAX_RECORD_BYTES, LineSource
from tests.clients.forward.scene import OTHER, Scene, committed, letters, scene
from tests.clients.live_server import Live
from tests.clients.scripted_server import ScriptedServer, serve
from tests.data.scenario import scenario
from tests.data.shapes import encode
from tests.robustness.waiting import wait_until


@contextmanager
def pipe(here: Scene, *, dead: Path | None = None) -> Iterator[tuple[LineSource, int]]:
    """Gives the source of a pipe, and where to write to it."""
    reader, writer = os.pipe()
    letters_there = FolderOfDeadLetters(dead) if dead is not None else None
    with os.fdopen(reader, "rb"):
        yield LineSource(reader, "<pipe>", here.counts, here.say, letters_there), writer


def write(descriptor: int, text: bytes, *, closes: bool = True) -> threading.Thread:
    """Writes to a pipe as another process would."""

    def work() -> None:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if closes:
            os.close(descriptor)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"])
def test_every_line_is_forwarded(server: ScriptedServer, end: bytes) -> None:
    """Lines are records, the last of them also without its end, and blank ones are none."""
    records = [b'{"eventID":"%d"}' % number for number in range(5_000)]
    with scene(server.target) as here, pipe(here) as (source, writer):
        writing = write(writer, b"\n \n".join(records) + end)
        here.forwarder.run(source)
        writing.join()

    assert sorted(committed(server)) == sorted(records)
    assert source.lost_count == 0


def test_lines_go_as_they_come(server: ScriptedServer) -> None:
    """A line is forwarded while the pipe stays open and silent."""
    with (
        scene(server.target) as here,
        pipe(here) as (source, writer),
        here.running(source),
    ):
        write(writer, OTHER + b"\n", closes=False).join()
        wait_until(lambda: committed(server) == [OTHER], "the line is forwarded", seconds=30)
        os.close(writer)


def test_bad_lines_are_kept_with_their_place(live: Live, tmp_path: Path) -> None:
    """A line that is no record costs no other; it becomes a dead letter of its own."""
    good = [encode(record) for record in scenario(1, searches=2, launches=0, noise=0)]
    with scene(live.target) as here, pipe(here, dead=tmp_path) as (source, writer):
        writing = write(writer, b"\n".join([good[0], b"hello", good[1], b"\xff{"]))
        here.forwarder.run(source)
        writing.join()

    assert here.counted()["records accepted"] == 2
    assert sorted(json.loads(path.read_text())["body"] for path in letters(tmp_path)) == [
        "hello",
        "\udcff{",
    ]
    assert [text.split(":")[1].strip() for text in here.said] == ["record 1", "record 3"]


def test_a_line_without_end_is_not_held_in_memory(server: ScriptedServer, tmp_path: Path) -> None:
    """A line that is longer than any record is set aside, and the next one is forwarded."""
    endless = b"x" * (3 * MAX_RECORD_BYTES)
    with scene(server.target) as here, pipe(here, dead=tmp_path) as (source, writer):
        writing = write(writer, OTHER + b"\n" + endless + b"\n" + OTHER + b"\n")
        here.forwarder.run(source)
        writing.join()

    assert committed(server) == [OTHER, OTHER]
    (letter,) = letters(tmp_path)
    assert "over the limit" in json.loads(letter.read_text())["reason"]


def test_what_a_stop_leaves_is_counted() -> None:
    """Lines that were read and are not acknowledged are told of, as no pipe gives them again."""
    with serve() as gone:
        target = gone.target
    with (
        scene(target, once=False, grace=timedelta(0)) as here,
        pipe(here) as (source, writer),
        here.running(source),
    ):
        write(writer, OTHER + b"\n" + OTHER + b"\n", closes=False).join()
        here.wait_for_word("cannot be reached")
    os.close(writer)

    assert source.lost_count == 2


def test_a_stop_ends_the_wait_for_lines(server: ScriptedServer) -> None:
    """With nothing to read, a stop ends at once."""
    with (
        scene(server.target) as here,
        pipe(here) as (source, writer),
        here.running(source),
    ):
        pass
    os.close(writer)

    assert here.failure is None
