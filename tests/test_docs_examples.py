"""The pages about calling the server show the examples as they are, and what they say works."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amiguard_client import soar
from amiguard_service.engine import Engine
from tests.service.running import Running, serving
from tests.service.talking import PAIR, records, submit

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "clients/examples"
STUBS = (ROOT / "docs/stubs.md").read_text(encoding="utf-8")
OCSF = (ROOT / "docs/ocsf.md").read_text(encoding="utf-8")
PLAYBOOKS = (ROOT / "docs/playbooks.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:7443"

SHOWN = dict(
    re.findall(
        r"^`(clients/examples/\S+)`:\n\n```\w+\n(.*?)```$",
        STUBS + PLAYBOOKS,
        re.DOTALL | re.MULTILINE,
    )
)
SHOWABLE = [
    str(path.relative_to(ROOT))
    for path in sorted(EXAMPLES.rglob("*"))
    if path.suffix in {".mjs", ".py"} or path.name == "package.json"
    # What `npm ci` put there, if somebody followed the page in this tree.
    if "node_modules" not in path.parts
]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server at work, with a finding."""
    engine = Engine.open(f"sqlite:///{tmp_path / 'docs.db'}")
    with serving(engine) as started:
        submit(started.channel, records(*PAIR))
        yield started
    engine.close()


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command that a page shows."""
    return subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={**os.environ, "BUF_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("path", SHOWABLE)
def test_examples_are_shown_as_they_are(path: str) -> None:
    """Who copies an example from a page copies what the tests run."""
    assert SHOWN[path] == (ROOT / path).read_text(encoding="utf-8")


def test_calls_by_hand_work(running: Running, tmp_path: Path) -> None:
    """Each call by hand succeeds, wherever it is made."""
    calls = re.findall(r"^buf curl .*$", STUBS, re.MULTILINE)

    done = [
        run(
            [
                Path(sys.executable).with_name("buf"),
                *shlex.split(call.replace(ADDRESS, running.target))[1:],
            ],
            tmp_path,
        )
        for call in calls
    ]

    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 2


def test_first_steps_work(running: Running, tmp_path: Path) -> None:
    """The few lines that the page on playbooks begins with print what there is."""
    lines = re.findall(r"```python\n(from amiguard_client import soar.*?)```", PLAYBOOKS, re.DOTALL)
    code = lines[0].replace(ADDRESS, running.target)

    done = run([sys.executable, "-c", code], tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"findings/\S+ 85 \['ubuntu/images/\*'\]\n", done.stdout)


def test_events_are_made_as_the_page_says(running: Running, tmp_path: Path) -> None:
    """The lines of the page on OCSF print an event for each finding."""
    (lines,) = re.findall(r"```python\n(.*?)```", OCSF, re.DOTALL)

    done = run([sys.executable, "-c", lines.replace(ADDRESS, running.target)], tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["class_uid"] for line in done.stdout.splitlines()] == [2004]


def test_every_step_is_told_of() -> None:
    """The page on playbooks has a row for each step there is, and for no other."""
    steps = {name for name in soar.__all__ if name[0].islower()}

    assert set(re.findall(r"^\| `(\w+)\(connection", PLAYBOOKS, re.MULTILINE)) == steps


def test_every_setting_is_told_of() -> None:
    """The page on playbooks has each key of a connection."""
    table = PLAYBOOKS.partition("## Connection")[2].partition("##")[0]
    with pytest.raises(soar.SoarError) as caught:
        soar.get_findings({"nothing": ""})

    told = set(re.findall(r"`(\w+)`", table))
    assert set(str(caught.value).partition("expected only ")[2].split(", ")) <= told
