"""ansible-rulebook as a process, with the rulebook of the collection."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_eda.tests.environment import Environment
from ansible_eda.tests.service import Service
from tests.robustness.processes import children_of, kill_if_alive
from tests.robustness.waiting import RoundError, wait_until

PATIENCE_SECONDS = 240
"""A playbook takes some seconds, on a machine that does other work as well ten times as many."""
STOP_SECONDS = 60
RULEBOOK = "amiguard.eda.triage"
INVENTORY = "all: {hosts: {localhost: {ansible_connection: local}}}\n"


@dataclass
class Rulebook:
    """One ansible-rulebook at a time, its files, and what it said in all."""

    environment: Environment
    service: Service
    folder: Path
    overrides: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def tickets(self) -> Path:
        """The folder with the tickets."""
        return self.folder / "tickets"

    @property
    def proposals(self) -> Path:
        """The folder with the proposals."""
        return self.folder / "proposals"

    @property
    def cursor(self) -> Path:
        """The file with the cursor."""
        return self.folder / "cursor"

    @property
    def log(self) -> Path:
        """What it has said."""
        return self.folder / "rulebook.log"

    def ticket(self, finding: str) -> Path:
        """The ticket of a finding, if there is one."""
        return self.tickets / f"{finding.rpartition('/')[2]}.md"

    def variables(self) -> dict[str, Any]:
        """Returns the variables of the rulebook as a user sets them."""
        return {
            "amiguard_server": self.service.address,
            "amiguard_ca": str(self.service.ca),
            "amiguard_token_file": str(self.service.token_file("triage")),
            "amiguard_cursor_file": str(self.cursor),
            "amiguard_start_time": "2020-01-01T00:00:00Z",
            "drools_db_file_path": str(self.folder / "events"),
            "triage_ticket_dir": str(self.tickets),
            "triage_proposal_dir": str(self.proposals),
            **self.overrides,
        }

    def start(self) -> None:
        """Starts it, in the midst of whatever there is to do."""
        inventory = self.folder / "inventory.yml"
        inventory.write_text(INVENTORY)
        words = [
            str(self.environment.bin / "ansible-rulebook"),
            f"--rulebook={RULEBOOK}",
            f"--vars={self.write_variables()}",
            f"--inventory={inventory}",
            "--persistence-id=triage",
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                words,
                cwd=self.folder,
                env=self.environment.variables(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def catch_up(self) -> str:
        """Goes over all that is open, as a person does by hand; returns what that says."""
        done = subprocess.run(
            [
                str(self.environment.bin / "ansible-playbook"),
                "amiguard.eda.catch_up",
                f"--extra-vars=@{self.write_variables()}",
            ],
            check=False,
            cwd=self.folder,
            env=self.environment.variables(self.folder),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write_variables(self) -> Path:
        """Writes the file of variables."""
        path = self.folder / "vars.yml"
        given = {name: value for name, value in self.variables().items() if value is not None}
        path.write_text(json.dumps(given))
        return path

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Returns once a condition holds; fails with what was said where it does not."""
        process = self._running()
        try:
            wait_until(
                lambda: condition() or process.poll() is not None, what, seconds=PATIENCE_SECONDS
            )
        except RoundError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None
        assert condition(), f"{what}: it ended with {process.poll()}\n{self.said()}"

    def said(self) -> str:
        """Returns what it has said."""
        return self.log.read_text() if self.log.exists() else ""

    def count(self, text: str) -> int:
        """Returns in how many lines it has said something."""
        return sum(text in line for line in self.said().splitlines())

    def kill(self) -> None:
        """Ends it and whatever it has started, as a machine that loses its power does."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        for child in _descendants(process.pid):
            kill_if_alive(child)
        process.kill()
        process.wait(STOP_SECONDS)
        self.process = None

    def stop(self) -> None:
        """Asks it to stop, as a service manager does."""
        process = self._running()
        process.terminate()
        process.wait(STOP_SECONDS)
        self.process = None

    def wait(self) -> int:
        """Returns the code it ends with by itself."""
        process = self._running()
        code = process.wait(PATIENCE_SECONDS)
        self.process = None
        return code

    def end(self) -> None:
        """Leaves no process behind, whatever has happened."""
        if self.process is not None:
            self.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "it is not running"
        return self.process


def _descendants(process_id: int) -> list[int]:
    children = children_of(process_id)
    return [*children, *(each for child in children for each in _descendants(child))]
