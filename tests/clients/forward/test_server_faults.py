"""A server that fails at everything: no object is to blame, and none is given up for it."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from amiguard_client import ServerFaultError
from tests.clients.forward.scene import letters, log_file, scene
from tests.clients.forward.test_directory import watching
from tests.clients.scripted_server import Act, Fault, serve

LIBRARY_ATTEMPTS = 5
"""Streams that the library itself opens for one submission that the server fails at."""
CODES = pytest.mark.parametrize(
    "code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS]
)


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """A directory with four good log files."""
    made = tmp_path / "trail"
    made.mkdir()
    for number in range(4):
        (made / f"{number}.json.gz").write_bytes(log_file(b'{"eventName":"Get%d"}' % number))
    return made


@CODES
def test_what_a_server_fails_at_as_a_whole_waits_for_it(
    trail: Path, tmp_path: Path, code: grpc.StatusCode
) -> None:
    """However long it fails at all of them, everything is forwarded once it is back."""
    with serve() as server:
        server.ingest.script = [Act(Fault.BREAK, code=code)] * (4 * LIBRARY_ATTEMPTS * 5)
        with (
            scene(server.target, in_flight=4, max_attempts=2, is_once=False) as here,
            watching(here, trail, dead=tmp_path / "dead") as source,
            here.running(source),
        ):
            here.wait_for_word("server is back")

    assert (letters(tmp_path / "dead"), here.failure) == ([], None)
    assert here.counted()["objects forwarded"] == 4
    assert here.counted().get("objects bad", 0) == 0


@CODES
def test_forwarder_that_runs_once_gives_up_with_the_servers_error(
    trail: Path, tmp_path: Path, code: grpc.StatusCode
) -> None:
    """Nothing becomes a dead letter, and the next run takes everything again."""
    with serve() as server:
        server.ingest.script = [Act(Fault.BREAK, code=code)] * 1_000
        with (
            scene(server.target, in_flight=4, max_attempts=2) as here,
            watching(here, trail, dead=tmp_path / "dead") as source,
            pytest.raises(ServerFaultError),
        ):
            here.forwarder.run(source)
        server.ingest.script = []
        with (
            scene(server.target) as again,
            watching(again, trail, dead=tmp_path / "dead") as source,
        ):
            again.forwarder.run(source)

    assert (letters(tmp_path / "dead"), here.counted().get("objects bad", 0)) == ([], 0)
    assert again.counted()["objects forwarded"] == 4


def test_object_that_the_server_fails_at_among_others_is_bad(trail: Path, tmp_path: Path) -> None:
    """The others are acknowledged before and after it."""
    failing = Act(Fault.BREAK, code=grpc.StatusCode.INTERNAL)
    with serve() as server:
        server.ingest.script = [Act(), *[failing] * (2 * LIBRARY_ATTEMPTS)]
        with (
            scene(server.target, in_flight=1, max_attempts=2) as here,
            watching(here, trail, dead=tmp_path / "dead") as source,
        ):
            here.forwarder.run(source)

    assert len(letters(tmp_path / "dead")) == here.counted()["objects bad"] == 1
    assert here.counted()["objects forwarded"] == 3
