#!/usr/bin/python
"""The module `amiguard.eda.finding`: moves a finding through its life."""

from __future__ import annotations

DOCUMENTATION = r"""
module: finding
short_description: Acknowledge, close, reopen, assign and label a finding of amiguard
version_added: "0.1.0"
author: amiguard maintainers
description:
  - Brings a finding into a state, with an assignee and labels; what it is already is left alone.
  - Assignee and labels are set before the state, so that a run that broke off can be repeated.
  - A change that somebody else makes meanwhile is never overwritten; the module looks again and
    goes on from there.
  - Needs the role C(respond), and C(read).
options:
  name:
    description: C(findings/ID), or the id alone.
    type: str
    required: true
  state:
    description:
      - The state it is to be in; its present one if absent.
      - V(acknowledged) can be reached from OPEN, V(open) from CLOSED, V(closed) from every other.
    type: str
    choices: [open, acknowledged, closed]
  disposition:
    description: What it turned out to be. Required with O(state=closed).
    type: str
    choices: [TRUE_POSITIVE, UNRELATED_LAUNCH, FALSE_POSITIVE, RISK_ACCEPTED]
  accept_until_time:
    description:
      - How long the risk is accepted, RFC 3339. Required with O(disposition=RISK_ACCEPTED), and
        only with it.
    type: str
  comment:
    description: Why. Required with O(state=closed) and O(state=open).
    type: str
  assignee:
    description: Who handles it; an empty text is nobody. Whoever acknowledges it, if absent.
    type: str
  labels:
    description: Labels to set beside the others it has; an empty value removes a label.
    type: dict
extends_documentation_fragment:
  - amiguard.eda.connection
attributes:
  check_mode:
    description: Says what would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows state, disposition, assignee and labels before and after.
    support: full
"""

EXAMPLES = r"""
- name: Take a finding up
  amiguard.eda.finding:
    name: findings/3b0c5ad0a2a1
    state: acknowledged
    assignee: cloud-security
    labels:
      triage: auto

- name: Close it
  amiguard.eda.finding:
    name: findings/3b0c5ad0a2a1
    state: closed
    disposition: TRUE_POSITIVE
    comment: The module names the owner since release 4.2.
"""

RETURN = r"""
finding:
  description:
    - The finding after the change, with the field names of amiguard's API; in check mode as it
      is.
  returned: always
  type: dict
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.amiguard.eda.plugins.module_utils.connection import (
    CONNECTION,
    connected,
    fail,
    time_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from amiguard_client import Client, Finding

ATTEMPTS = 3
"""How often it is looked again after somebody else was faster: people are not that fast."""
STATES = {"open": "OPEN", "acknowledged": "ACKNOWLEDGED", "closed": "CLOSED"}
REACHED_FROM = {
    "open": ("CLOSED",),
    "acknowledged": ("OPEN",),
    "closed": ("OPEN", "ACKNOWLEDGED", "SUPPRESSED"),
}


@dataclass(frozen=True)
class Wanted:
    """What a task asks for; None leaves a part as it is."""

    state: str | None
    disposition: str | None
    accept_until_time: datetime | None
    comment: str | None
    assignee: str | None
    labels: Mapping[str, str]

    def moves(self, finding: Finding) -> bool:
        """Says whether a finding has to move; raises an UnreachableStateError where it cannot."""
        if self.state is None:
            return False
        if finding.state == STATES[self.state]:
            if self.disposition is not None and finding.disposition != self.disposition:
                raise UnreachableStateError(
                    f"{finding.name} is CLOSED as {finding.disposition}, expected it to be reopened"
                    f" before it is closed as {self.disposition}"
                )
            return False
        if finding.state not in REACHED_FROM[self.state]:
            expected = " or ".join(REACHED_FROM[self.state])
            raise UnreachableStateError(f"{finding.name} is {finding.state}, expected {expected}")
        return True

    def labels_of(self, finding: Finding) -> dict[str, str]:
        """Returns the labels a finding is to have."""
        merged = {**finding.labels, **self.labels}
        return {key: value for key, value in merged.items() if value}


class UnreachableStateError(Exception):
    """The wanted state cannot be reached from the present one."""


def main() -> None:
    """Runs the module."""
    own = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(STATES)},
        "disposition": {
            "type": "str",
            "choices": ["TRUE_POSITIVE", "UNRELATED_LAUNCH", "FALSE_POSITIVE", "RISK_ACCEPTED"],
        },
        "accept_until_time": {"type": "str"},
        "comment": {"type": "str"},
        "assignee": {"type": "str"},
        "labels": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(
        argument_spec={**CONNECTION, **own},
        required_if=[
            ("state", "closed", ("disposition", "comment")),
            ("state", "open", ("comment",)),
            ("disposition", "RISK_ACCEPTED", ("accept_until_time",)),
        ],
        required_by={"disposition": "state", "accept_until_time": "disposition"},
        supports_check_mode=True,
    )
    labels = module.params["labels"]
    wanted = Wanted(
        state=module.params["state"],
        disposition=module.params["disposition"],
        accept_until_time=time_of(module, "accept_until_time"),
        comment=module.params["comment"],
        assignee=module.params["assignee"],
        labels={key: "" if value is None else str(value) for key, value in labels.items()},
    )
    with connected(module) as client:
        from amiguard_client.plain import to_plain

        before = client.get_finding(module.params["name"])
        try:
            goal = view_after(before, wanted)
            after = before if module.check_mode else bring(client, before, wanted)
            shown = goal if module.check_mode else view(after)
            module.exit_json(
                changed=shown != view(before),
                finding=to_plain(after),
                diff={"before": view(before), "after": shown},
            )
        except UnreachableStateError as error:
            fail(module, str(error), code="FAILED_PRECONDITION", reason="STATE_TRANSITION")


def bring(client: Client, finding: Finding, wanted: Wanted) -> Finding:
    """Makes the changes that are still to be made; returns the finding after them."""
    from amiguard_client import ConflictError

    for _ in range(ATTEMPTS - 1):
        try:
            return _bring_once(client, finding, wanted)
        except ConflictError as error:
            if "current_etag" not in error.metadata:
                raise
            finding = client.get_finding(finding.name)
    return _bring_once(client, finding, wanted)


def _bring_once(client: Client, finding: Finding, wanted: Wanted) -> Finding:
    from amiguard_client import Disposition

    is_moving = wanted.moves(finding)
    if wanted.assignee is not None or wanted.labels:
        # What is set already the server leaves alone.
        finding = client.update_finding(
            finding.name,
            assignee=wanted.assignee,
            labels=wanted.labels_of(finding),
            etag=finding.etag,
        )
    if not is_moving:
        return finding
    name, etag, comment = finding.name, finding.etag, wanted.comment or ""
    if wanted.state == "acknowledged":
        return client.acknowledge_finding(name, assignee=finding.assignee, etag=etag)
    if wanted.state == "open":
        return client.reopen_finding(name, comment=comment, etag=etag)
    return client.close_finding(
        name,
        Disposition(wanted.disposition or ""),
        comment=comment,
        accept_until_time=wanted.accept_until_time,
        etag=etag,
    )


def view(finding: Finding) -> dict[str, Any]:
    """Returns what the module can change, as a diff shows it."""
    return {
        "state": str(finding.state),
        "disposition": finding.disposition and str(finding.disposition),
        "assignee": finding.assignee or "",
        "labels": dict(finding.labels),
    }


def view_after(finding: Finding, wanted: Wanted) -> dict[str, Any]:
    """Returns the same as it is to be; raises an UnreachableStateError where it cannot be so."""
    goal = view(finding)
    if wanted.moves(finding):
        goal |= {"state": STATES[wanted.state or ""], "disposition": wanted.disposition}
    if wanted.assignee is not None:
        goal["assignee"] = wanted.assignee
    return goal | {"labels": wanted.labels_of(finding)}


if __name__ == "__main__":
    main()
