"""Every command and the example of docs/sinks.md work as they stand, on the server it starts."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amiguard.v1 import sink_service_pb2 as wire
from amiguard_service.sink_files import _WEBHOOK_KEYS
from tests import pages
from tests.data.delivery import write_demo
from tests.service.receiving import Receiver, receiving

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "sinks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    line for language, block in BLOCKS if language == "sh" for line in block.splitlines() if line
]
(SERVE,) = [line for line in COMMANDS if " serve " in line]
CONTROL = [line for line in COMMANDS if line.startswith("amiguardctl ")]
(FILE,) = [block for language, block in BLOCKS if language == "toml"]
(EXAMPLE,) = [block for language, block in BLOCKS if language == "python"]
ADDRESS = "127.0.0.1:7443"


@dataclass(frozen=True)
class Served:
    """The page's server, in its directory, with somebody's system at the places of the page's."""

    directory: Path
    receiver: Receiver
    address: str

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the page as a user would, who has no terminal."""
        return pages.run(command, self.directory, AMIGUARD_SERVER=self.address)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server started by the page's command, but for the port, with the page's file."""
    directory = tmp_path_factory.mktemp("sinks")
    with receiving() as receiver:
        text = FILE.replace("https://siem.example.com/amiguard", receiver.url)
        # The page's receiver is on the internet; ours is not.
        text = text.replace('kind = "webhook"', 'kind = "webhook"\nprivate_network = true')
        (directory / "sinks.toml").write_text(text, encoding="utf-8")
        write_demo(directory / "trail")
        secret = next(line for line in COMMANDS if line.startswith("python3 "))
        assert pages.run(secret, directory).returncode == 0
        words = shlex.split(SERVE.replace(ADDRESS, "127.0.0.1:0"))
        pager = receiver.url.replace("http:", "json:").replace("/hook", "/pager")
        with pages.serving(words, directory, AMIGUARD_SINK_ON_CALL=pager) as address:
            yield Served(directory, receiver, address)


def test_commands_work_in_their_order(served: Served) -> None:
    """Each ends well: the sink is tested, listed, has no dead letters and so none to retry."""
    outputs = {}
    for command in CONTROL:
        done = served.run(command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        outputs[command.removeprefix("amiguardctl sinks ")] = done.stdout

    assert outputs["test siem"].startswith("delivered in ")
    assert [line.split()[0] for line in outputs["list"].splitlines()[2:]] == ["on-call", "siem"]
    assert outputs["retry siem"] == "0 dead letters due now\n"


def test_example_verifies_what_the_server_sends(served: Served) -> None:
    """It takes a real request with the secret of the page, and none that was touched."""
    names: dict[str, Any] = {}
    exec(EXAMPLE, names)  # noqa: S102 - the page's own code
    verify: Callable[..., None] = names["verify"]
    secret = (served.directory / "siem.secret").read_text(encoding="utf-8").strip()
    while not served.receiver.requests.empty():
        served.receiver.take()

    assert served.run("amiguardctl sinks test siem").returncode == 0
    received = served.receiver.take()

    verify(received.headers, received.body, secret)
    other = "whsec_" + "A" * 44
    stale = {**received.headers, "webhook-timestamp": "1700000000"}
    for headers, body, key in (
        (received.headers, received.body + b" ", secret),
        (received.headers, received.body, other),
        (stale, received.body, secret),
    ):
        with pytest.raises(ValueError, match="not signed"):
            verify(headers, body, key)


def test_findings_reach_both_sinks(served: Served) -> None:
    """All of them the webhook, and the pager those that its table asks for."""
    while not served.receiver.requests.empty():
        served.receiver.take()

    done = served.run("amiguardctl submit trail")
    assert done.returncode == 0, done.stderr
    titles: list[str] = []
    subjects: list[str] = []
    while not (titles and subjects):
        received = served.receiver.take()
        if received.path == "/pager":
            titles.append(received.event["title"])
        else:
            subjects.append(received.event["subject"])

    assert all(title.startswith("[HIGH] ") for title in titles)
    assert all(subject.startswith("findings/") for subject in subjects)


def test_page_names_every_key_and_state() -> None:
    """What a table may hold is told, and nothing that it may not."""
    keys, _, _ = PAGE.partition("## What a webhook gets")
    rows = re.findall(r"^\| (`.*?`) \|", keys, re.MULTILINE)
    named = {key for row in rows for key in re.findall(r"`(\w+)`", row)}

    assert named == _WEBHOOK_KEYS
    assert wire.Sink.State.Name(wire.Sink.STATE_NOT_CONFIGURED).removeprefix("STATE_") in PAGE
