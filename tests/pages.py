"""The commands of a page of documentation, run as its reader would run them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.service.waiting import until_in_thread

BIN = Path(sys.executable).parent


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a user who has installed amiguard."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(home), **variables}


def run(command: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a directory, as a user who has no terminal."""
    return subprocess.run(
        ["/bin/sh", "-c", command],
        check=False,
        cwd=directory,
        env=environment(directory, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


@contextmanager
def serving(words: Sequence[str], directory: Path, **variables: str) -> Iterator[str]:
    """Runs a command that serves in a directory; gives the address. It has to end with 0."""
    ready = directory / "ready"
    with subprocess.Popen(
        [BIN / Path(words[0]).name, *words[1:], "--ready-file", str(ready)],
        cwd=directory,
        env=environment(directory, **variables),
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            until_in_thread(lambda: server.poll() is not None or ready.exists())
            assert server.poll() is None
            yield ready.read_text(encoding="utf-8").strip()
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0
