"""A playbook: what changed since the last run is triaged, one ticket a line.

Likely findings are taken up and handed to the team on duty. A name that only this organization uses
is proposed for the allowlist with what that would change; a person decides. The state file holds
the cursor: the next run goes on where this one ended.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from amiguard_client import soar

OWN_PATTERNS = ("acme-base-*",)
TEAM = "cloud-security"


def ticket_of(connection: soar.Settings, finding: dict[str, Any]) -> dict[str, Any]:
    """Returns what a person has to know and do; changes nothing."""
    ticket: dict[str, Any] = {
        "finding": finding["name"],
        "priority": finding["likelihood"],
        "ask": finding["actor_arn"],
        "images": finding["image_ids"],
        "steps": finding["remediation"]["steps"],
        "fix": finding["remediation"]["fix_snippet"],
    }
    searched = finding["search"]["name_patterns"]
    if searched and set(searched) <= set(OWN_PATTERNS):
        ticket["proposals"] = {
            pattern: soar.propose_allow(connection, pattern, max_examples=1) for pattern in searched
        }
    return ticket


def run(connection: soar.Settings, state: Path) -> Iterator[dict[str, Any]]:
    """Yields a ticket for each finding that is open and new since the last run."""
    cursor = state.read_text(encoding="utf-8") if state.exists() else None
    while True:
        changes = soar.poll(
            connection,
            cursor,
            filter="state = OPEN AND NOT labels.triaged:*",
            # Where there is no cursor yet, everything that is there is new.
            start_time=None if cursor else "2000-01-01T00:00:00Z",
        )
        for finding in changes["findings"]:
            ticket = ticket_of(connection, finding)
            yield ticket
            # Past the ticket: a run that breaks off in between makes it again rather than never.
            if ticket["priority"] == "HIGH" and "proposals" not in ticket:
                soar.acknowledge(connection, finding["name"], assignee=TEAM)
            soar.label(connection, finding["name"], {"triaged": "yes"})
        cursor = changes["cursor"]
        save(state, cursor)
        if not changes["findings"]:
            return


def save(state: Path, cursor: str) -> None:
    """Replaces the state as a whole, so that no crash leaves half of it."""
    written = state.with_suffix(".new")
    written.write_text(cursor, encoding="utf-8")
    written.replace(state)


def main() -> int:
    """Runs the playbook with a state file and returns the exit code."""
    connection = {
        "server": os.environ.get("AMIGUARD_SERVER", "127.0.0.1:7443"),
        "token": os.environ.get("AMIGUARD_TOKEN", ""),
        "insecure": "AMIGUARD_CA" not in os.environ,
    }
    if "AMIGUARD_CA" in os.environ:
        connection["ca"] = Path(os.environ["AMIGUARD_CA"]).read_text(encoding="utf-8")
    try:
        for ticket in run(connection, Path(sys.argv[1])):
            print(json.dumps(ticket), flush=True)
    except soar.SoarError as error:
        print(f"{error.reason or error.code}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
