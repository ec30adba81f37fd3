"""Forwarding what others put into a directory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from amiguard_client.forward.dead_letters import FolderOfDeadLetters
from amiguard_client.forward.directory import DirectorySettings, DirectorySource, is_still_there
from amiguard_client.forward.errors import SetupError
from amiguard_client.forward.journal import Journal
from tests.clients.forward.scene import OTHER, Scene, letters, log_file, scene
from tests.clients.live_server import Live
from tests.clients.scripted_server import ScriptedServer, serve
from tests.data.demo import write_demo
from tests.robustness.waiting import wait_until

SEARCH = b'{"eventName":"DescribeImages"}'


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """A directory to be filled."""
    made = tmp_path / "trail"
    made.mkdir()
    return made


@contextmanager
def watching(
    here: Scene, trail: Path, *, settle_seconds: float = 0, dead: Path | None = None
) -> Iterator[DirectorySource]:
    """Gives a source of the directory, with a journal beside it."""
    settings = DirectorySettings(
        poll=timedelta(milliseconds=20),
        settle=timedelta(seconds=settle_seconds),
        is_once=here.settings.is_once,
    )
    letters_there = FolderOfDeadLetters(dead) if dead is not None else None
    with Journal(trail.parent / "state", keeps=is_still_there) as journal:
        yield DirectorySource(trail, journal, settings, here.counts, here.say, letters_there)


def forward(server: ScriptedServer, trail: Path, **how: object) -> Scene:
    """Forwards what is there."""
    with scene(server.target) as here, watching(here, trail, **how) as source:  # type: ignore[arg-type]  # by name
        here.forwarder.run(source)
    return here


def test_a_trail_is_forwarded_as_submit_would(live: Live, tmp_path: Path) -> None:
    """Log files of the S3 layout are forwarded, and CloudTrail's other feeds left out."""
    facts = write_demo(tmp_path / "trail")

    with scene(live.target) as here, watching(here, tmp_path / "trail") as source:
        here.forwarder.run(source)

    counted = here.counted()
    assert counted["objects forwarded"] == facts.log_file_count
    assert counted["records accepted"] == facts.record_count + facts.repeated_count
    assert "objects bad" not in counted


def test_a_file_is_forwarded_once_and_again_when_it_has_changed(
    server: ScriptedServer, trail: Path
) -> None:
    """The journal knows what was sent, across restarts, as it was when it was sent."""
    file = trail / "a.json.gz"
    file.write_bytes(log_file(SEARCH))
    (trail / "b.ndjson").write_bytes(OTHER)

    forward(server, trail)
    forward(server, trail)
    assert sorted(server.ingest.committed) == [[SEARCH], [OTHER]]
    file.write_bytes(log_file(SEARCH, OTHER))
    forward(server, trail)

    assert sorted(server.ingest.committed) == [[SEARCH], [SEARCH, OTHER], [OTHER]]


def test_only_complete_files_are_taken(server: ScriptedServer, trail: Path) -> None:
    """Files that have just changed, are empty, or are named as under way wait."""
    old = time.time() - 100
    for name in ("done.json", "a.json.part", ".hidden.json", ".tmp/b.json", "readme.txt"):
        path = trail / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(OTHER)
        os.utime(path, (old, old))
    (trail / "fresh.json").write_bytes(SEARCH)
    (trail / "empty.json").touch()

    first = forward(server, trail, settle_seconds=50)
    assert server.ingest.committed == [[OTHER]]
    left = f"{trail / 'fresh.json'}: left for the next run, as it has only just changed"
    assert set(first.said) == {left}
    os.utime(trail / "fresh.json", (old, old))
    forward(server, trail, settle_seconds=50)

    assert server.ingest.committed == [[OTHER], [SEARCH]]


def test_new_files_are_found_until_it_is_stopped(server: ScriptedServer, trail: Path) -> None:
    """It goes on looking; a stop ends the wait between two looks."""
    with (
        scene(server.target, once=False) as here,
        watching(here, trail) as source,
        here.running(source),
    ):
        for number in range(3):
            (trail / f"{number}.json").write_bytes(OTHER)
            wait_until(
                lambda n=number: len(server.ingest.committed) > n,  # type: ignore[misc]  # mypy takes no default
                "a file is forwarded",
                seconds=30,
            )

    assert here.failure is None


@pytest.mark.parametrize("has_dead_letters", [True, False])
def test_a_bad_file_is_told_of_once(
    live: Live, trail: Path, tmp_path: Path, *, has_dead_letters: bool
) -> None:
    """A bad file costs no other, stays where it is, and is read again when it has changed."""
    (trail / "bad.json.gz").write_bytes(log_file(SEARCH)[:-10])
    dead = tmp_path / "dead" if has_dead_letters else None

    for expected in (["bad"], [], ["bad"]):
        with scene(live.target) as here, watching(here, trail, dead=dead) as source:
            here.forwarder.run(source)

        assert [text for text in here.said if "bad.json.gz: " in text] == here.said
        assert len(here.said) == len(expected)
        if not expected:
            (trail / "bad.json.gz").write_bytes(b"no better")

    found = letters(tmp_path / "dead")
    assert [json.loads(path.read_text())["body"] for path in found] == (
        [str(trail / "bad.json.gz")] if has_dead_letters else []
    )


def test_a_file_that_is_taken_away_or_too_large_costs_no_other(
    server: ScriptedServer, trail: Path
) -> None:
    """What cannot be opened is told in a line."""
    for name in ("a", "b"):
        (trail / f"{name}.json").write_bytes(OTHER)

    with scene(server.target) as here, watching(here, trail) as source:
        deliveries = source.take(5)
        (trail / "a.json").unlink()
        outcomes = [
            [part.open for group in delivery.groups() for part in group] for delivery in deliveries
        ]

    with pytest.raises(Exception, match="taken away"):
        outcomes[0][0]()


def test_a_directory_that_goes_away_ends_the_forwarder(server: ScriptedServer, trail: Path) -> None:
    """A directory that is not there is a mistake, and no empty one."""
    trail.rmdir()

    with pytest.raises(SetupError, match="got no directory"):
        forward(server, trail)


def test_files_wait_for_a_server_that_is_away(trail: Path) -> None:
    """A file counts as forwarded only once the server has acknowledged it."""
    (trail / "a.json").write_bytes(OTHER)
    with serve() as gone:
        target = gone.target
    with (
        scene(target, once=False, grace=timedelta(0)) as here,
        watching(here, trail) as source,
        here.running(source),
    ):
        here.wait_for_word("cannot be reached")

    with serve() as back:
        forward(back, trail)

    assert back.ingest.committed == [[OTHER]]
