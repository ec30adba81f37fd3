"""The example playbook triages what is there, goes on where it ended, and repeats nothing."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amiguard_client import Client, State
from tests.clients.live_server import Live

PLAYBOOK = Path(__file__).parents[2] / "clients/examples/playbooks/triage.py"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the playbook keeps its cursor."""
    return tmp_path / "playbook.cursor"


def run(target: str, state: Path) -> subprocess.CompletedProcess[str]:
    """Runs the playbook once, as a schedule would."""
    return subprocess.run(
        [sys.executable, PLAYBOOK, state],
        check=False,
        cwd="/",
        env={**os.environ, "AMIGUARD_SERVER": target},
        capture_output=True,
        text=True,
        timeout=60,
    )


def tickets(live: Live, state: Path) -> dict[str, dict[str, Any]]:
    """Runs the playbook; returns its tickets by finding."""
    done = run(live.target, state)
    assert (done.returncode, done.stderr) == (0, "")
    made = [json.loads(line) for line in done.stdout.splitlines()]
    return {ticket["finding"]: ticket for ticket in made}


def test_findings_are_triaged(live: Live, live_client: Client, state: Path) -> None:
    """What is likely is taken up; what may be the organization's own is proposed and left open."""
    likely = live.occur(1, "ubuntu/images/*", images=("ami-1",))
    own = live.occur(2, "acme-base-*")
    other = live.occur(3)

    made = tickets(live, state)

    assert made.keys() == {likely, own, other}
    assert made[likely]["images"] == ["ami-1"]
    assert "099720109477" in made[likely]["fix"]
    proposal = made[own]["proposals"]["acme-base-*"]
    assert proposal["rescored_count"] == 1
    findings = {finding.name: finding for finding in live_client.list_findings()}
    assert (findings[likely].state, findings[likely].assignee) == (
        State.ACKNOWLEDGED,
        "cloud-security",
    )
    assert {findings[own].state, findings[other].state} == {State.OPEN}
    assert {finding.labels["triaged"] for finding in findings.values()} == {"yes"}
    assert findings[own].likelihood_score == 50


def test_a_run_goes_on_where_the_last_one_ended(live: Live, state: Path) -> None:
    """Each finding has one ticket, also when the playbook has lost its state."""
    first = live.occur(1)
    made = [tickets(live, state)]
    second = live.occur(2)
    made.append(tickets(live, state))
    state.unlink()
    made.append(tickets(live, state))

    assert [list(names) for names in made] == [[first], [second], []]


def test_a_run_without_a_server_leaves_the_state(live: Live, state: Path) -> None:
    """What failed is said in a line, and the next run goes on as if it had not been."""
    tickets(live, state)
    before = state.read_text()

    done = run("127.0.0.1:1", state)

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith("UNAVAILABLE: ")
    assert state.read_text() == before


def test_a_run_that_breaks_off_makes_its_ticket_again(live: Live, state: Path) -> None:
    """No crash loses a ticket: what comes after it is done once the ticket is out."""
    name = live.occur(1, "ubuntu/images/*")
    playbook = runpy.run_path(str(PLAYBOOK))
    broken_off = playbook["run"]({"server": live.target, "insecure": True}, state)
    first = next(broken_off)
    broken_off.close()

    again = tickets(live, state)

    assert again == {name: first}
    assert tickets(live, state) == {}
