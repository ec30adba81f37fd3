"""Ends a PostgreSQL whose run was killed, so that no run leaves one behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WATCH = """
import os, pathlib, select, shutil, signal, sys

directory = pathlib.Path(sys.argv[1])
# Ends when the run does, by whatever signal: the other end of the pipe is the run's alone.
sys.stdin.buffer.read()
try:
    lock = (directory / "data" / "postmaster.pid").read_text()
    server = os.pidfd_open(int(lock.splitlines()[0]))
    signal.pidfd_send_signal(server, signal.SIGQUIT)
except (IndexError, OSError, ValueError):
    sys.exit()
select.select([server], [], [], 10)
shutil.rmtree(directory, ignore_errors=True)
"""


@contextmanager
def ended_with_this_run(directory: Path) -> Iterator[None]:
    """Watches a server whose data is in `directory / "data"`: it ends with this process.

    Leave the context after the server was stopped. If this process is killed instead, the server
    is ended and the directory removed.
    """
    with subprocess.Popen(
        [sys.executable, "-c", _WATCH, str(directory)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    ):
        yield
