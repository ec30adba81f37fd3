"""Every command of docs/forwarding.md works as it stands, and its tables are complete."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.request import urlopen

import click
import pytest

from amiguard_client.cli import forward
from amiguard_client.forward.counts import METRICS
from amiguard_client.forward.metrics import PREFIX
from tests.clients.forward.cloud import BUCKET, Cloud, s3_event
from tests.clients.forward.process import STOP_SECONDS
from tests.clients.live_server import Live
from tests.data.demo import write_demo
from tests.robustness.waiting import wait_until

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
PAGE = (ROOT / "docs/forwarding.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [text.strip() for language, text in BLOCKS if language == "sh"]
NAME = "012345678901_CloudTrail_eu-west-1_20260302T0905Z_abcdefghijklmnop.json.gz"
KEY = f"AWSLogs/012345678901/CloudTrail/eu-west-1/2026/03/02/{NAME}"


def command(part: str) -> str:
    """Returns the command that has these words in it."""
    (found,) = (text for text in COMMANDS if part in text)
    return str(found)


def start(text: str, folder: Path, target: str) -> subprocess.Popen[str]:
    """Starts a command as a user would."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["/bin/bash", "-c", text if "|" in text else f"exec {text}"],
        cwd=folder,
        env={**os.environ, "AMIGUARD_SERVER": target, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    """Ends what a command started, in order; returns what it said."""
    os.killpg(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=STOP_SECONDS)
    assert "Error" not in said, said
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a trail in it."""
    write_demo(tmp_path / "trail")
    return tmp_path


@pytest.fixture
def log_file(folder: Path) -> bytes:
    """A log file of the trail."""
    path = next((folder / "trail").rglob("*_CloudTrail_*.json.gz"))
    return path.read_bytes()


def test_every_command_is_run_here() -> None:
    """Nothing is shown that no test below runs."""
    parts = ("pip install", "forward sqs", "forward directory", "forward stdin", "submit s3://")

    assert [next(p for p in parts if p in text) for text in COMMANDS] == list(parts)


def test_what_is_installed_is_there() -> None:
    """The extras exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"\.\[([a-z,]+)\]", command("pip install"))

    assert set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_sqs(cloud: Cloud, live: Live, folder: Path, log_file: bytes) -> None:
    """The queue is emptied, and what is bad is sent to the other one."""
    queue, dead = cloud.make_queue(), cloud.make_queue("dead")
    cloud.send(queue, s3_event(cloud.put(KEY, log_file)), "no notification")
    text = command("forward sqs").replace("--metrics 9464", "--metrics 0")
    for name, value in (
        ("QUEUE_URL_OF_DEAD_LETTERS", dead),
        ("QUEUE_URL", queue),
        ("BUCKET", BUCKET),
    ):
        text = text.replace(name, value)

    process = start(text, folder, live.target)
    wait_until(lambda: cloud.depth(queue) == (0, 0), "the queue is empty", seconds=60)
    said = end(process)

    assert process.returncode == 0
    assert "1 object forwarded" in said
    assert len(cloud.messages(dead)) == 1


def test_directory(live: Live, folder: Path) -> None:
    """The files of the trail, which have not changed for long, are forwarded."""
    for path in (folder / "trail").rglob("*.gz"):
        os.utime(path, (1_772_442_000, 1_772_442_000))
    text = command("forward directory").replace("PATH", "trail")

    process = start(text, folder, live.target)
    state = folder / "trail/.amiguardctl-forward"
    wait_until(lambda: state.exists() and bool(state.read_text()), "it forwards", seconds=60)
    said = end(process)

    assert process.returncode == 0
    assert "0 bad" in said


def test_stdin(live: Live, folder: Path) -> None:
    """Lines that are written meanwhile are forwarded."""
    record = json.dumps({"eventName": "GetUser", "eventSource": "iam.amazonaws.com"})
    (folder / "records.ndjson").write_text(f"{record}\n")
    log = folder / "log"

    process = start(f"{command('forward stdin')} --metrics 0 2> log", folder, live.target)
    wait_until(lambda: log.exists() and "metrics at" in log.read_text(), "it runs", seconds=60)
    (url,) = re.findall(r"metrics at (\S+)", log.read_text())
    with (folder / "records.ndjson").open("a") as file:
        file.write(f"{record}\n")
    accepted = f'{PREFIX}records_total{{outcome="accepted"}} 2.0'
    wait_until(lambda: accepted in _get(url), "both lines are forwarded", seconds=60)
    end(process)


def _get(url: str) -> str:
    with urlopen(url) as answer:  # noqa: S310 - of this machine
        return str(answer.read().decode())


def test_submit(cloud: Cloud, live: Live, folder: Path, log_file: bytes) -> None:
    """Log files of the account, region and days are submitted and remembered."""
    cloud.put(f"logs/{KEY}", log_file)
    text = command("submit s3://").replace("BUCKET", BUCKET).replace("PREFIX", "logs")

    process = start(text, folder, live.target)
    said, _ = process.communicate(timeout=60)

    assert process.returncode == 0, said
    assert said.startswith("1 file ")
    assert NAME in (folder / "trail.state").read_text()


def test_examples_in_json_are_json() -> None:
    """The policy names the calls that are made, the pattern both calls that have to come."""
    policy, pattern = (json.loads(text) for language, text in BLOCKS if language == "json")

    named = [statement["Action"] for statement in policy["Statement"]]
    actions = {action for some in named for action in ([some] if isinstance(some, str) else some)}
    assert actions == {
        "kms:Decrypt",
        "s3:GetObject",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    }
    assert set(pattern["detail"]["eventName"]) == {"DescribeImages", "RunInstances"}


def test_every_setting_is_documented_with_its_default() -> None:
    """The table of settings has every option of every source, as the options have them."""
    (table,) = re.findall(r"## Settings\n\n.*?\|\n(?:\|-+)+\|\n(.*?)\n\n", PAGE, re.DOTALL)
    documented: dict[str, str] = {}
    for row in table.splitlines():
        _, names, defaults, _ = row.split("|", 3)
        pairs = zip(re.findall(r"--[a-z-]+", names), defaults.split(","), strict=True)
        documented |= {name: default.strip(" `") for name, default in pairs}
    options = {
        option.opts[-1]: option
        for source in forward.command.commands.values()
        for option in source.params
        # Hidden are the options of amiguardctl itself, which it adds to a command that it loads.
        if isinstance(option, click.Option) and option.opts[-1] != "--output" and not option.hidden
    }

    assert documented.keys() == options.keys()
    for name, option in options.items():
        if option.show_default:
            assert documented[name] == str(option.default)


def test_every_metric_is_documented_as_it_is_served() -> None:
    """The table of metrics has each name, and the words that are served with it."""
    for metric in METRICS:
        label = f"{{{metric.label}}}" if metric.label else ""
        name = f"{PREFIX}{metric.name}{'_total' if metric.is_counter else ''}{label}"

        assert f"| `{name}` | {metric.help} |" in PAGE
