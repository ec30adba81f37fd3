"""A run that is killed leaves no database server behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN = """
import subprocess, sys
from pathlib import Path
from tests.orphans import ended_with_this_run

directory = Path(sys.argv[1])
# A run in the background has children that ignore SIGQUIT; PostgreSQL heeds it all the same.
waiting = "import signal; signal.signal(signal.SIGQUIT, signal.SIG_DFL); signal.pause()"
server = subprocess.Popen([sys.executable, "-c", waiting])
(directory / "data" / "postmaster.pid").write_text(f"{server.pid}\\n")
with ended_with_this_run(directory):
    print("started", flush=True)
    sys.stdin.read()
    server.kill()
    server.wait()
    (directory / "data" / "postmaster.pid").unlink()
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, None])
def test_server_ends_with_its_run(tmp_path: Path, ending: signal.Signals | None) -> None:
    """Whichever way a run ends, its server ends; the data stays only where the run stopped it."""
    directory = tmp_path / "server"
    (directory / "data").mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(directory)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdin is not None
        assert run.stdout.readline() == "started\n"

        if ending is None:
            run.stdin.close()
        else:
            run.send_signal(ending)
        # The server and its watcher hold this pipe as well: it ends with the last of them.
        rest = run.stdout.read()

    assert rest == ""
    assert directory.exists() == (ending is None)
