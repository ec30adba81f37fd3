"""The app as Splunk SOAR runs it: actions through the SDK's runner, polls one after another."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from splunk_soar.package import APP

_STAND_IN = APP / "tests" / "stand_in"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OUTCOME = re.compile(
    r"^Action success: (?P<success>True|False)$.*"
    r"^Result data: (?P<data>\[.*\])\s*"
    r"^Result summary: (?P<summary>.*?)$\s*"
    r"^Result message: (?P<message>.*)\n"
    r"Objects successful/total: [01]/1",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Outcome:
    """What an action ended with."""

    is_success: bool
    data: list[dict[str, Any]]
    summary: str
    message: str
    output: str

    @property
    def row(self) -> dict[str, Any]:
        """What an action returns that returns one thing."""
        assert self.is_success, self.message
        (row,) = self.data
        return row

    @property
    def failure(self) -> str:
        """The one line that an action failed with."""
        assert not self.is_success
        assert "\n" not in self.message
        assert "Traceback" not in self.output
        return self.message


@dataclass(frozen=True)
class Polled:
    """What the platform holds after a poll; `offered` names the containers it was given."""

    is_success: bool
    message: str
    containers: list[dict[str, Any]]
    artifacts: list[dict[str, Any]]
    offered: list[str]
    state: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """The findings that became containers, sorted."""
        return sorted(each["source_data_identifier"] for each in self.containers)

    @property
    def launches(self) -> list[str]:
        """The launches that became artifacts, sorted."""
        return sorted(each["cef"]["externalId"] for each in self.artifacts)


@dataclass(frozen=True)
class Runner:
    """Runs the app in its environment, each time in a process of its own."""

    requests: IO[str]
    answers: IO[str]

    def run(self, *arguments: str, output: Path) -> str:
        """Returns all that was printed."""
        request = {"arguments": arguments, "output": str(output)}
        print(json.dumps(request), file=self.requests, flush=True)
        exit_code = self.answers.readline().strip()
        printed = plain(output.read_text(encoding="utf-8"))
        assert exit_code == "0", printed
        return printed


@contextmanager
def running(python: Path) -> Iterator[Runner]:
    """Gives a runner until the end of the block."""
    process = subprocess.Popen(
        [python, _STAND_IN / "runner.py"],
        cwd=APP,
        env={**os.environ, "PYTHONPATH": str(APP), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Runner(process.stdin, process.stdout)


@dataclass(frozen=True)
class Soar:
    """A platform with the app and one asset."""

    runner: Runner
    folder: Path
    asset: dict[str, Any]

    def run(self, action: str, *options: str, **params: Any) -> Outcome:
        """Runs an action by its name, through the SDK's runner."""
        arguments = [*options, "action", action.replace(" ", "_"), "-a", self._asset()]
        if action != "test connectivity":
            arguments += ["-p", self._write("params.json", params)]
        return outcome_of(self.runner.run(*arguments, output=self.folder / "output"))

    def poll(self, *, failing_saves: int = 0, **params: Any) -> Polled:
        """Polls once more, as scheduled unless the parameters say otherwise."""
        store = self.folder / "store.json"
        content = json.loads(store.read_text()) if store.exists() else {}
        store.write_text(json.dumps(content | {"failing_saves": failing_saves}))
        params_path = self._write("params.json", params)
        self.runner.run(
            "poll", str(store), self._asset(), params_path, output=self.folder / "output"
        )
        held = json.loads(store.read_text())
        return Polled(
            is_success=held["success"],
            message=held["message"],
            containers=held["containers"],
            artifacts=held["artifacts"],
            offered=held["offered"],
            state=held["state"],
        )

    def _asset(self) -> str:
        return self._write("asset.json", self.asset)

    def _write(self, name: str, content: dict[str, Any]) -> str:
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)


def plain(printed: str) -> str:
    """Returns what was printed, without its colours."""
    return _COLOUR.sub("", printed)


def outcome_of(printed: str) -> Outcome:
    """Reads what the SDK's runner prints."""
    found = _OUTCOME.search(printed)
    assert found is not None, printed
    return Outcome(
        is_success=found["success"] == "True",
        data=json.loads(found["data"]),
        summary=found["summary"],
        message=found["message"],
        output=printed,
    )
