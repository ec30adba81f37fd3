"""The rulebook at work: the real ansible-rulebook, playbooks, modules and server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amiguard_client import Likelihood, State
from ansible_eda.tests.rulebook import Rulebook
from ansible_eda.tests.service import Service
from tests.data.scenario import FOCAL

MakeRulebook = Callable[..., Rulebook]

CONTROL = Path(sys.executable).parent / "amiguardctl"
KNOWN = {
    "id": "base-images",
    "organization_pattern": "acme-base-*",
    "justification": 'The image factory: "ours"\nalone # names them so',
}


def state_of(service: Service, finding: str) -> State:
    """Returns the state of a finding on the server."""
    with service.connect() as client:
        return client.get_finding(finding).state


def test_each_likelihood_has_its_outcome(make_rulebook: MakeRulebook, service: Service) -> None:
    """HIGH gets a ticket, MEDIUM is acknowledged, a known pattern is proposed and not created."""
    high = service.find("alice", FOCAL)
    medium = service.find("bob", "team-tools-*")
    known = service.find("carol", "acme-base-2026*")
    rulebook = make_rulebook(triage_organization_patterns=[KNOWN], triage_assignee="cloud-team")
    proposal = rulebook.proposals / "base-images.yaml"

    rulebook.start()
    rulebook.until(lambda: rulebook.ticket(high).exists(), "a ticket for HIGH")
    rulebook.until(
        lambda: state_of(service, medium) is State.ACKNOWLEDGED, "MEDIUM is acknowledged"
    )
    rulebook.until(proposal.exists, "a proposal for the known pattern")

    ticket = rulebook.ticket(high).read_text()
    with service.connect() as client:
        finding = client.get_finding(high)
        acknowledged = client.get_finding(medium)
        entries = [entry.organization_pattern for entry in client.tuning.list_entries()]
    for evidence in (
        finding.actor_arn,
        FOCAL,
        "099720109477",
        "alice-launch-0",
        *finding.image_ids,
        *finding.recent_occurrences[0].instance_ids,
    ):
        assert evidence in ticket
    for line in finding.remediation.fix_snippet.splitlines():
        assert f"    {line}".rstrip() in ticket
    assert finding.state is State.OPEN
    assert (acknowledged.assignee, acknowledged.labels) == ("cloud-team", {"triage": "eda"})
    assert set(entries) == {None}
    assert state_of(service, known) is State.OPEN
    assert f"# {known}: MEDIUM 50 -> LOW 10;" in proposal.read_text()
    assert [path.name for path in rulebook.tickets.iterdir()] == [rulebook.ticket(high).name]
    assert "base-images" in applied(service, proposal)


def applied(service: Service, proposal: Path) -> str:
    """Returns what amiguardctl makes of a proposal."""
    words = [CONTROL, "--server", service.address, "--ca", service.ca, "allow", "apply", "-f"]
    done = subprocess.run(
        [*map(str, words), str(proposal), "--dry-run"],
        check=False,
        env={"AMIGUARD_TOKEN": "admin", "HOME": str(service.folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_restart_goes_on_and_opens_no_second_ticket(
    make_rulebook: MakeRulebook, service: Service
) -> None:
    """After a crash what came meanwhile is handled, and what was handled is left as it is."""
    first = service.find("alice", FOCAL)
    rulebook = make_rulebook()
    rulebook.start()
    rulebook.until(lambda: rulebook.ticket(first).exists(), "the first ticket")
    rulebook.until(lambda: rulebook.count("PLAY RECAP") == 1, "its playbook ends")
    before = rulebook.ticket(first).stat()
    cursor = rulebook.cursor.read_text()

    rulebook.kill()
    assert rulebook.cursor.read_text() == cursor
    second = service.find("dave", FOCAL)
    rulebook.start()
    rulebook.until(lambda: rulebook.ticket(second).exists(), "the second ticket")

    after = rulebook.ticket(first).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert len(list(rulebook.tickets.iterdir())) == 2
    assert rulebook.cursor.read_text() != cursor


def test_a_crash_loses_nothing_that_was_under_way(
    make_rulebook: MakeRulebook, service: Service
) -> None:
    """Events behind the cursor whose playbooks had not run are acted upon after the restart."""
    findings = [service.find(f"user-{number}", FOCAL) for number in range(3)]
    rulebook = make_rulebook()
    rulebook.start()
    rulebook.until(lambda: rulebook.ticket(findings[0]).exists(), "the first ticket")
    rulebook.until(rulebook.cursor.exists, "the cursor moves on")

    rulebook.kill()
    done = [finding for finding in findings if rulebook.ticket(finding).exists()]
    cursor = rulebook.cursor.read_text()
    rulebook.start()
    rulebook.until(
        lambda: all(rulebook.ticket(finding).exists() for finding in findings), "every ticket"
    )

    assert len(done) < len(findings)
    assert rulebook.cursor.read_text() == cursor


def test_a_server_that_was_away_is_watched_again(
    make_rulebook: MakeRulebook, service: Service
) -> None:
    """An outage is said once and waited out, and what came after it is acted upon."""
    rulebook = make_rulebook()
    rulebook.start()
    rulebook.until(rulebook.cursor.exists, "it watches")

    service.stop()
    rulebook.until(lambda: "cannot be reached" in rulebook.said(), "the outage is in the log")
    service.start()
    finding = service.find("alice", FOCAL)
    rulebook.until(lambda: rulebook.ticket(finding).exists(), "a ticket after the outage")

    assert rulebook.count("trying again until it is back") == 1
    assert rulebook.count(f"{service.address} is back") == 1


def test_a_bad_token_is_one_line(make_rulebook: MakeRulebook, service: Service) -> None:
    """The source ends the run, says why in one line, and without the token."""
    secret = service.folder / "bad.token"
    secret.write_text("not-a-token-of-this-server\n")
    rulebook = make_rulebook(amiguard_token_file=str(secret))

    rulebook.start()
    code = rulebook.wait()

    assert code == 1
    assert rulebook.count("Source error: UnauthenticatedError") == 1
    assert "Traceback" not in rulebook.said()
    assert "not-a-token-of-this-server" not in rulebook.said()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"drools_db_file_path": None},
            "required: these variables are not set: drools_db_file_path",
        ),
        ({"drools_db_file_path": None, "drools_db_name": "eda"}, "'drools_db_host' is undefined"),
        ({"triage_ticket_dir": None}, "required: these variables are not set: triage_ticket_dir"),
    ],
)
def test_it_does_not_start_without_what_it_needs(
    make_rulebook: MakeRulebook, variables: dict[str, Any], message: str
) -> None:
    """Where it would lose events later it does not start, and says which variable is not set."""
    rulebook = make_rulebook(**variables)

    rulebook.start()
    code = rulebook.wait()

    assert code == 1
    (line,) = [line for line in rulebook.said().splitlines() if "Source error: " in line]
    assert message in line
    assert "Traceback" not in rulebook.said()


def test_what_is_approved_is_created(make_rulebook: MakeRulebook, service: Service) -> None:
    """With triage_approve entries are made; one that the server refuses is said and passed over."""
    known = service.find("carol", "acme-base-2026*")
    refused = {**KNOWN, "id": "too-wide", "organization_pattern": "a*"}
    rulebook = make_rulebook(
        amiguard_token_file=str(service.token_file("admin")),
        triage_organization_patterns=[refused, KNOWN],
        triage_approve=True,
    )

    rulebook.start()
    rulebook.until(lambda: rulebook.count("PLAY RECAP") == 1, "the playbook ends")

    with service.connect() as client:
        entries = {entry.name: entry for entry in client.tuning.list_entries()}
        finding = client.get_finding(known)
    entry = entries["allowlistEntries/base-images"]
    assert entry.organization_pattern == KNOWN["organization_pattern"]
    assert entry.justification == KNOWN["justification"]
    assert "allowlistEntries/too-wide" not in entries
    assert finding.likelihood is Likelihood.LOW
    assert rulebook.count("The entry too-wide is refused and was not created: ") == 1
    assert rulebook.count("failed=0") == 1
    assert {path.name for path in rulebook.proposals.iterdir()} == {
        "base-images.yaml",
        "too-wide.yaml",
    }


def test_text_of_strangers_is_never_run(make_rulebook: MakeRulebook, service: Service) -> None:
    """A record's text that Ansible would render, or Markdown, stands in the ticket as text."""
    rulebook = make_rulebook()
    trap = rulebook.folder / "trap"
    template = f"{{{{ lookup('pipe', 'touch {trap}') }}}}"
    finding = service.find("mallory", FOCAL, template, agent=f"{template}\n# ```\x1b[2J")

    rulebook.start()
    rulebook.until(lambda: rulebook.ticket(finding).exists(), "a ticket")

    ticket = rulebook.ticket(finding).read_text()
    assert not trap.exists()
    assert f"lookup('pipe', 'touch {trap}')" in ticket
    assert "\x1b" not in ticket
    assert [line for line in ticket.splitlines() if line.startswith("# ")] == [
        ticket.splitlines()[0]
    ]


def test_missed_changes_are_made_up_for(make_rulebook: MakeRulebook, service: Service) -> None:
    """Where the cursor has expired it says so, and goes over whatever is open."""
    rulebook = make_rulebook()
    rulebook.start()
    rulebook.until(rulebook.cursor.exists, "it watches")
    rulebook.stop()
    missed = service.find("alice", FOCAL)
    service.find("bob", "team-tools-*")
    service.stop()
    service.forget_changes()
    service.start()

    rulebook.start()
    rulebook.until(lambda: rulebook.ticket(missed).exists(), "a ticket for what was missed")

    assert rulebook.count("are deleted and may have been missed") == 1


def test_going_over_everything_twice_changes_nothing(
    make_rulebook: MakeRulebook, service: Service
) -> None:
    """Each outcome is what it was after the same findings come again."""
    for user, name in (("alice", FOCAL), ("bob", "team-*"), ("carol", "acme-base-2026*")):
        service.find(user, name)
    rulebook = make_rulebook(triage_organization_patterns=[KNOWN])

    first = rulebook.catch_up()
    second = rulebook.catch_up()

    assert "changed=0" not in first
    assert "changed=0" in second
    assert len(list(rulebook.tickets.iterdir())) == 1
    assert len(list(rulebook.proposals.iterdir())) == 1
