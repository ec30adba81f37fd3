"""The law of the ways in: the same input gives the same answer, whichever way it comes."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard.v1.ingest_service_pb2 import EventBatch
from amiguard_client import LogFile, LogStream, connect
from amiguard_client.cli.scan import Scan, scan_files, scan_stream
from amiguard_client.cli.stdin import Pipe
from amiguard_client.forward.counts import Counts
from amiguard_client.forward.lines import LineSource
from amiguard_client.log_files import Unreadable
from amiguard_client.log_folders import FoundFile
from amiguard_client.packing import Batch, Limits, Records, Submittable, pack
from amiguard_core.decode import Decoded, Rejection, decode_log_file, decode_records
from amiguard_core.events import LaunchPath
from amiguard_core.log_files.inflate import inflate
from amiguard_service.engine import Engine
from amiguard_service.unpack import Job, unpack
from tests.data.draws import Draws
from tests.data.forms import FORMS
from tests.data.scenario import scenario
from tests.data.shapes import encode
from tests.service.running import Running, serving
from tests.service.talking import submit

RUN_INSTANCES: Final = (LaunchPath.RUN_INSTANCES,)
LARGE: Final = Limits(
    max_batches_in_flight=8,
    max_records_per_batch=10_000,
    max_message_bytes=16 * 1024 * 1024,
    max_inflated_bytes=64 * 1024 * 1024,
)
SMALL: Final = Limits(max_records_per_batch=3, max_message_bytes=40_000, max_inflated_bytes=2_000)
"""Under these hardly a file goes whole."""


@dataclass(frozen=True)
class Answer:
    """What came out of an input: the searches and launches by their ids, and what was rejected."""

    searches: tuple[str, ...]
    launches: tuple[str, ...]
    record_count: int
    rejected: tuple[tuple[int, str], ...]


def answer_of(decoded: Decoded | Scan) -> Answer:
    """Returns the answer of a decoded file, whatever order things came in."""
    return Answer(
        tuple(sorted(search.origin.event_id for search in decoded.searches)),
        tuple(sorted(launch.origin.event_id for launch in decoded.launches)),
        decoded.record_count,
        tuple(sorted((rejected.index, rejected.path) for rejected in decoded.rejections)),
    )


def by_server(content: bytes) -> Answer:
    """What a server makes of a log file that it is sent whole."""
    return answer_of(
        unpack(
            Job(
                payload=content,
                launch_paths=RUN_INSTANCES,
                max_records=10_000,
                max_inflated_bytes=64 * 1024 * 1024,
            )
        )
    )


def by_batches(batches: Iterator[Batch]) -> Answer:
    """What a server makes of the batches that a client sends."""
    found = Scan()
    for batch in batches:
        if batch.log_file is not None:
            found.add_decoded("", decode_log_file(inflate(batch.log_file, max_bytes=10**8).text))
            continue
        decoded = decode_records(batch.records)
        places = [replace(r, index=batch.indexes[r.index]) for r in decoded.rejections]
        decoded.rejections = places
        decoded.rejections += [
            Rejection(index, unreadable.path, unreadable.message, b"")
            for index, unreadable in batch.unsendable
        ]
        found.add_decoded("", decoded)
    return answer_of(found)


def by_items(items: list[Submittable]) -> Answer:
    """What a server makes of what a library or a forwarder submits."""
    return by_batches(pack(items, LARGE))


def by_pipe(content: bytes) -> Answer:
    """What `submit -` makes of it."""
    groups = list(Pipe(io.BytesIO(content)).read())
    return by_items([Records([r for group in groups for r in group.records])])


def by_forwarded_pipe(content: bytes) -> Answer:
    """What `forward stdin` makes of it."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(content)

    writing = Thread(target=write)
    source = LineSource(reader, "<pipe>", Counts(), lambda _: None)
    items: list[bytes | Unreadable] = []
    with os.fdopen(reader, "rb"):
        writing.start()
        while (groups := source.take(8)) is not None:
            items += [item for group in groups for item in group.items]
        writing.join()
        source.close()
    return by_items([Records(items)])


WAYS: Final[Mapping[str, Callable[[bytes], Answer]]] = {
    "server": by_server,
    "file": lambda content: by_items([LogFile(content)]),
    "stream": lambda content: by_items([LogStream(io.BytesIO(content))]),
    "file in pieces": lambda content: by_batches(pack([LogFile(content)], SMALL)),
    "pipe": by_pipe,
    "hunt": lambda content: answer_of(_hunted(io.BytesIO(content))),
}


def _hunted(stream: io.BytesIO) -> Scan:
    found = Scan()
    scan_stream(stream, found, name="x", launch_paths=RUN_INSTANCES)
    return found


def records_of(seed: int, count: int) -> list[bytes]:
    """Returns searches, launches and other records."""
    return [encode(r) for r in scenario(seed, searches=count, launches=count, noise=2 * count)]


@given(
    form=st.sampled_from(sorted(FORMS)),
    seed=st.integers(0, 1_000),
    count=st.sampled_from([1, 2, 8]),
    bad=st.none() | st.sampled_from([b"oops", b'{"a":1}', b'{"eventVersion":', b'{"x":"']),
)
def test_an_input_gives_the_same_by_every_way(
    form: str, seed: int, count: int, bad: bytes | None
) -> None:
    """In whatever form and size records come, every way in reads all of them and tells the rest."""
    records = records_of(seed, count)
    content = FORMS[form](Draws(seed), records)
    if bad is not None:
        content += (
            b"\n" + bad + b"\n" if not content.startswith(b"\x1f\x8b") else gzip.compress(bad)
        )
    expected = answer_of(decode_records(records))

    answers = {name: way(content) for name, way in WAYS.items()}

    assert {answers["server"]} == set(answers.values())
    assert expected.searches == answers["server"].searches
    assert expected.launches == answers["server"].launches
    assert bool(answers["server"].rejected) == (bad is not None)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_forwarded_pipe_gives_the_same(form: str) -> None:
    """What is piped into a forwarder is read as it comes, in any form."""
    records = records_of(7, 3)
    content = FORMS[form](Draws(7), records)

    assert by_server(content) == by_forwarded_pipe(content)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all forms."""
    engine = Engine.open(f"sqlite:///{tmp_path_factory.mktemp('ways')}/amiguard.db")
    with serving(engine) as started:
        yield started
    engine.close()


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_running_server_and_a_file_agree(served: Running, tmp_path: Path, form: str) -> None:
    """A server that is at work acknowledges what a hunt over the same file reads."""
    content = FORMS[form](Draws(11), records_of(11, 4))
    path = tmp_path / "trail.json"
    path.write_bytes(content)
    hunted = scan_files([FoundFile(str(path))], launch_paths=RUN_INSTANCES)

    ack = submit(served.channel, EventBatch(log_file=content))
    with connect(served.target, insecure=True) as client:
        summary = client.submit([path], source="tests")

    assert hunted.record_count == ack.accepted_count == summary.accepted_count
    assert ack.rejected_count == summary.rejected_count == len(hunted.rejections) == 0


def test_what_is_larger_than_memory_allows_is_read_in_pieces() -> None:
    """A file of more text than is held gives what the sum of its parts gives."""
    record = records_of(3, 1)
    filler = b"".join(b'{"eventSource":"a","eventName":"b","n":%d}\n' % n for n in range(30_000))
    content = b"\n".join(record[:2]) + b"\n" + filler + b"\n".join(record[2:])
    limits = Limits(max_inflated_bytes=100_000)

    in_pieces = by_batches(pack([LogFile(content)], limits))

    assert answer_of(decode_log_file(content, max_records=10**6)) == in_pieces
