"""`amiguardctl forward` as the process it is in production."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.robustness.waiting import wait_until

STOP_SECONDS = 40


class Process:
    """A forwarder; what it says goes to a file."""

    def __init__(
        self, *args: object, target: str, log: Path, stdin: IO[bytes] | int = subprocess.DEVNULL
    ) -> None:
        self.log = log
        command = ["-m", "amiguard_client.cli", "--server", target, "forward", *map(str, args)]
        with log.open("ab") as file:
            self.popen = subprocess.Popen(
                [sys.executable, *command],
                stdin=stdin,
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def kill(self) -> None:
        """Ends it in the midst of whatever it does."""
        self.popen.kill()
        assert self.popen.wait(STOP_SECONDS) == -signal.SIGKILL, self.log.read_text()

    def stop(self) -> int:
        """Ends it as an orchestrator does; returns the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(STOP_SECONDS)

    def wait_for_word(self, part: str) -> str:
        """Returns what it has said once these words are in it."""
        wait_until(
            lambda: part in self.log.read_text() or self.popen.poll() is not None,
            f"the forwarder says {part!r}",
            seconds=STOP_SECONDS,
        )
        said = self.log.read_text()
        assert part in said, said
        return said


@contextmanager
def forwarding(
    *args: object, target: str, log: Path, stdin: IO[bytes] | int = subprocess.DEVNULL
) -> Iterator[Process]:
    """Runs a forwarder until the end of the block at the latest."""
    process = Process(*args, target=target, log=log, stdin=stdin)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.wait(STOP_SECONDS)
