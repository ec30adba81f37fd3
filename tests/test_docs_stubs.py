"""docs/stubs.md shows the examples as they are, and its commands for a server work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amiguard_service.engine import Engine
from tests.service.running import Running, serving

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "clients/examples"
TEXT = (ROOT / "docs/stubs.md").read_text(encoding="utf-8")
SHOWN = dict(
    re.findall(r"^`(clients/examples/\S+)`:\n\n```\w+\n(.*?)```$", TEXT, re.DOTALL | re.MULTILINE)
)
CALLS = re.findall(r"^buf curl .*$", TEXT, re.MULTILINE)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server at work."""
    engine = Engine.open(f"sqlite:///{tmp_path / 'docs.db'}")
    with serving(engine) as started:
        yield started
    engine.close()


@pytest.mark.parametrize("path", ["node/findings.mjs", "node/package.json", "python/findings.py"])
def test_examples_are_shown_as_they_are(path: str) -> None:
    """Who copies an example from the page copies what the tests run."""
    assert SHOWN[f"clients/examples/{path}"] == (EXAMPLES / path).read_text(encoding="utf-8")


def test_calls_by_hand_work(running: Running, tmp_path: Path) -> None:
    """Each call that the page makes by hand succeeds, wherever it is made."""
    for call in CALLS:
        words = shlex.split(call.replace("127.0.0.1:7443", running.target))

        done = subprocess.run(
            [Path(sys.executable).with_name("buf"), *words[1:]],
            check=False,
            cwd=tmp_path,
            env={**os.environ, "BUF_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert (done.returncode, done.stderr) == (0, "")
    assert CALLS != []
