"""`amiguardctl` before somebody who can be asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Asked:
    """A program whose standard input is a terminal."""

    process: subprocess.Popen[bytes]
    keyboard: int

    def wait_for(self, text: str) -> None:
        """Waits until the program has said something on standard error."""
        assert self.process.stderr is not None
        said = b""
        while text.encode() not in said:
            more = os.read(self.process.stderr.fileno(), 4096)
            assert more, said.decode()
            said += more

    def answer(self, text: str) -> tuple[int, str, str]:
        """Types a line; returns exit code, output and what was said after it."""
        os.write(self.keyboard, text.encode() + b"\n")
        output, said = self.process.communicate(timeout=_TIMEOUT_SECONDS)
        return self.process.returncode, output.decode(), said.decode()


@contextmanager
def asking(*args: object) -> Iterator[Asked]:
    """Runs a command line at a terminal until the end of the block."""
    keyboard, terminal = os.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "amiguard_client.cli", *map(str, args)],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                yield Asked(process, keyboard)
            finally:
                process.kill()
    finally:
        os.close(keyboard)
        os.close(terminal)
