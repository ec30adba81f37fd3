"""The examples of clients/examples run as they stand, against a server at work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.live_server import Live
from tests.data.delivery import deliver, write_log_files
from tests.data.records import NINE_O_CLOCK, describe_images, run_instances

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "clients/examples"
INSTALL_SECONDS = 100


@pytest.fixture(scope="module")
def node_example(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the example in Node, with what its lock names beside it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node is not None, "the example in Node needs node on the PATH"
    assert npm is not None, "the example in Node needs npm on the PATH"
    built = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(EXAMPLES / "node", built)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    installed = subprocess.run(
        command, check=False, cwd=built, capture_output=True, text=True, timeout=INSTALL_SECONDS
    )
    assert installed.returncode == 0, installed.stderr
    return [node, str(built / "findings.mjs")]


@pytest.fixture(scope="module")
def python_example() -> list[str]:
    """The command of the example in Python."""
    return [sys.executable, str(EXAMPLES / "python/findings.py")]


@pytest.fixture(params=["node_example", "python_example"])
def example(request: pytest.FixtureRequest) -> list[str]:
    """The command of an example of the stubs; both do the same."""
    command: list[str] = request.getfixturevalue(request.param)
    return command


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """A log file with a search and its launch."""
    records = [
        describe_images(at=NINE_O_CLOCK, filters={"name": ["ubuntu/images/*"]}),
        run_instances(at=NINE_O_CLOCK),
    ]
    write_log_files(tmp_path, deliver(records, seed=1))
    return next(tmp_path.rglob("*_CloudTrail_*.gz"))


def run(command: list[str], target: str) -> subprocess.CompletedProcess[str]:
    """Runs an example against a server, from anywhere."""
    env = {**os.environ, "AMIGUARD_SERVER": target, "AMIGUARD_PROTO": str(ROOT / "proto")}
    return subprocess.run(
        command, check=False, cwd="/", env=env, capture_output=True, text=True, timeout=60
    )


def test_examples_submit_and_list(live: Live, example: list[str], log_file: Path) -> None:
    """What an example submits, it lists when it was found to be likely."""
    done = run([*example, str(log_file)], live.target)

    assert (done.returncode, done.stderr) == (0, "")
    submitted, finding = done.stdout.splitlines()
    assert submitted == f"accepted 2, rejected 0: {log_file}"
    assert finding.startswith("findings/")
    assert finding.endswith(" 85 ubuntu/images/*")


def test_examples_follow_the_pages(live: Live, example: list[str]) -> None:
    """An example lists everything, however many pages that is."""
    names = [live.occur(number, f"ubuntu/images/{number}*") for number in range(51)]

    done = run(example, live.target)

    assert (done.returncode, done.stderr) == (0, "")
    assert {line.partition(" ")[0] for line in done.stdout.splitlines()} == set(names)


def test_examples_say_what_failed_in_a_line(live: Live, example: list[str]) -> None:
    """A file that is not there, and a server that is not there, is a line and not a traceback."""
    missing = run([*example, "/no/such/file"], live.target)
    away = run(example, "127.0.0.1:1")

    for done in (missing, away):
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
    assert "UNAVAILABLE" in away.stderr
