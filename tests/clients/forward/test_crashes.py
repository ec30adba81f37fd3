"""A forwarder that is killed at any point loses nothing and doubles nothing."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest

from amiguard_client import Client
from tests.clients.forward.cloud import BUCKET, Call, Cloud, s3_event, sns
from tests.clients.forward.process import forwarding
from tests.clients.live_server import Live
from tests.data.draws import Draws
from tests.data.log_files import deliver, write_log_files
from tests.data.scenario import scenario
from tests.data.shapes import Record, encode
from tests.data.variations import eventbridge
from tests.robustness.operators import Tuned
from tests.robustness.oracle import ServerView, find_differences
from tests.robustness.waiting import wait_until

KILLS = 5
SEEDS = (1, 2, 3, 4)
"""Together 20 kills. A red run is played again by its seed, as far as threads allow."""


def fill(cloud: Cloud, queue: str, records: list[Record], draws: Draws) -> None:
    """Sends half of the records as log files and the others one by one, in every form."""
    files = deliver(records[::2], seed=draws.randrange(1_000))
    bodies = []
    for file in files:
        cloud.put(file.key(), file.content())
        bodies.append(
            draws.choice((s3_event(file.key()), {"s3Bucket": BUCKET, "s3ObjectKey": [file.key()]}))
        )
    bodies += map(eventbridge, records[1::2])
    draws.shuffle(bodies)
    cloud.send(queue, *(sns(body) if draws.random() < 0.3 else body for body in bodies))


class Trap:
    """Holds back one call of AWS, of those made after it was set; then the caller is killed."""

    def __init__(self, cloud: Cloud, *, after: int, is_done: bool) -> None:
        self._left = after
        self._is_done = is_done
        self._lock = threading.Lock()
        self.sprung = threading.Event()
        self.over = threading.Event()
        cloud.gate.act = self._act

    def _act(self, _call: Call) -> int | None:
        with self._lock:
            self._left -= 1
            is_caught = self._left <= 0
        if not is_caught:
            return None
        self.sprung.set()
        self.over.wait(60)
        # Either AWS did what was asked and nobody heard of it, or it did not.
        return None if self._is_done else 503


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", SEEDS)
def test_sqs_survives_kills(
    cloud: Cloud, live: Live, live_client: Client, tmp_path: Path, seed: int
) -> None:
    """Killed at drawn calls of AWS, again and again, it comes to what the rule says in the end."""
    draws = Draws(seed)
    records = scenario(seed, searches=30, launches=30, noise=20)
    queue = cloud.make_queue()
    fill(cloud, queue, records, draws)
    command = ("sqs", queue, "--wait", "1s", "--visibility", "1s", "--in-flight", 4)
    log = tmp_path / "forwarder.log"

    for _ in range(KILLS):
        trap = Trap(cloud, after=draws.randint(1, 16), is_done=draws.random() < 0.5)
        with forwarding(*command, target=live.target, log=log) as process:
            assert trap.sprung.wait(60), log.read_text()
            process.kill()
        trap.over.set()
        cloud.gate.act = lambda _call: None
    last = tmp_path / "last.log"
    with forwarding(*command, target=live.target, log=last) as process:
        process.wait_for_word("forwarding ")
        wait_until(lambda: cloud.depth(queue) == (0, 0), "the queue is empty", seconds=120)
        assert process.stop() == 0, last.read_text()

    assert find_differences(ServerView(live_client), map(encode, records), Tuned()) == []
    assert "Traceback" not in log.read_text() + last.read_text()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", SEEDS[:1])
def test_directory_survives_kills(
    live: Live, live_client: Client, tmp_path: Path, seed: int
) -> None:
    """Killed after drawn numbers of files, it goes on where it was, and ends with them all."""
    draws = Draws(seed)
    records = scenario(seed, searches=30, launches=30, noise=20)
    files = write_log_files(tmp_path / "trail", deliver(records, seed=seed))
    state = tmp_path / "state"
    state.touch()
    options = ("--settle", "0s", "--poll", "0.05s", "--state", state, "--in-flight", 2)
    command = ("directory", tmp_path / "trail", *options)
    log = tmp_path / "forwarder.log"

    def count() -> int:
        return len(state.read_bytes().splitlines())

    def reaches(goal: int) -> bool:
        return count() >= goal

    for _ in range(KILLS):
        goal = min(count() + draws.randint(1, len(files) // 4), len(files))
        with forwarding(*command, target=live.target, log=log) as process:
            wait_until(partial(reaches, goal), "files are forwarded", seconds=60)
            process.kill()
    with forwarding(*command, "--once", target=live.target, log=log) as process:
        assert process.popen.wait(60) == 0, log.read_text()

    assert find_differences(ServerView(live_client), map(encode, records), Tuned()) == []
    assert count() == len(files)
