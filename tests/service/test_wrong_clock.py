"""A server whose machine has a wrong clock, as a process of its own under libfaketime."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO

import grpc
import pytest

from amiguard_service import logs
from amiguard_service.engine import Engine
from tests.databases import Postgres
from tests.service.running import TIMEOUT
from tests.service.talking import PAIR, records, submit
from tests.service.test_main import environment
from tests.store.test_retention import listed, sweep
from tests.store.values import batch, launch, origin, search

FAKETIME = shutil.which("faketime")


def faked(off: str) -> dict[str, str]:
    """Returns the environment of a process whose clock is off: faketime itself passes no signal."""
    assert FAKETIME is not None
    shown = subprocess.run(
        [FAKETIME, "-f", off, "env"], check=True, capture_output=True, text=True, timeout=TIMEOUT
    ).stdout
    variables = dict(line.partition("=")[::2] for line in shown.splitlines())
    return {name: variables[name] for name in ("LD_PRELOAD", "FAKETIME")}


@contextmanager
def server(url: str, directory: Path, *, off: str) -> Iterator[tuple[str, SimpleQueue[str]]]:
    """Runs a server whose clock is off; gives its address, and the lines of its log."""
    ready = directory / "ready"
    serve = (sys.executable, "-m", "amiguard_service.main", "serve", "--insecure")
    options = ("--listen", "127.0.0.1:0", "--database", url, "--ready-file", str(ready))
    lines: SimpleQueue[str] = SimpleQueue()
    with subprocess.Popen(
        [*serve, *options],
        # The time that waits are measured in stays as it is.
        env=environment(**faked(off), FAKETIME_DONT_FAKE_MONOTONIC="1"),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        reader = Thread(target=read_into, args=(lines, process.stderr))
        reader.start()
        try:
            assert await_event(lines, logs.SERVER_LISTENING)
            yield ready.read_text(encoding="utf-8").strip(), lines
        finally:
            process.terminate()
            process.wait(TIMEOUT)
            reader.join(TIMEOUT)


def read_into(lines: SimpleQueue[str], log: IO[str]) -> None:
    """Keeps what a process says until it ends."""
    for line in log:
        lines.put(line)


def await_event(lines: SimpleQueue[str], event: str) -> dict[str, object]:
    """Returns the next line of a log that tells of an event."""
    while True:
        entry: dict[str, object] = json.loads(lines.get(timeout=TIMEOUT))
        if entry["event"] == event:
            return entry


@pytest.mark.skipif(FAKETIME is None, reason="faketime is not installed")
@pytest.mark.parametrize("off", ["+25h", "-25h", "+10000d"])
def test_server_with_a_wrong_clock_costs_no_finding(
    postgres: Postgres, tmp_path: Path, off: str
) -> None:
    """It says so, and neither deletes what another took in, nor has its own deleted."""
    url = postgres.clear()
    right = Engine.open(url)
    right.commit([batch(search(origin("s1")))])
    right.read_clocks()
    with (
        server(url, tmp_path, off=off) as (target, lines),
        grpc.insecure_channel(target) as channel,
    ):
        told = await_event(lines, logs.CLOCK_WRONG)
        submit(channel, records(PAIR[0]))
        reading = right.read_clocks()
        gone = sweep(right, reading.time).waiting_count
        submit(channel, records(PAIR[1]))
        right.commit([batch(launch(origin("l1", 60)))])
    found = len(listed(right))
    right.close()

    assert (told["level"], told["fault"]) == ("warning", "DIFFERS")
    assert (reading.fault, gone, found) == (None, 0, 2)
