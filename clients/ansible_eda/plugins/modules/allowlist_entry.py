#!/usr/bin/python
"""The module `amiguard.eda.allowlist_entry`: keeps one entry of the allowlist as it should be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: allowlist_entry
short_description: Keep an entry of amiguard's allowlist, with a preview of what a change does
version_added: "0.1.0"
author: amiguard maintainers
description:
  - Vouches for an image owner, an account or a name pattern, changes that, or takes it back.
  - Every change comes with a preview of the findings it affects. In check mode there is the
    preview alone, which needs the role C(read); a change needs the role C(admin).
options:
  id:
    description: The entry's id, 4 to 63 characters from a-z, 0-9 and -.
    type: str
    required: true
  state:
    description: Whether there is to be such an entry.
    type: str
    choices: [present, absent]
    default: present
  organization_pattern:
    description:
      - Vouch for image names that only this organization uses, for example V(acme-base-*).
    type: str
  trusted_account:
    description: Vouch for the images of an account, 12 digits in quotes.
    type: str
  trusted_owner:
    description: Vouch for an owner alias, for example V(amazon).
    type: str
  justification:
    description: Why. Required with O(state=present).
    type: str
  account_ids:
    description: The accounts it applies in; all if there are none.
    type: list
    elements: str
    default: []
  expire_time:
    description: When it ends, RFC 3339; never if absent.
    type: str
  force:
    description: Accept a pattern that reaches into a well-known public name family.
    type: bool
    default: false
  preview_start_time:
    description:
      - Preview findings created since then, RFC 3339; those of the last 7 days if absent.
    type: str
  refuse_if_loses_true_positives:
    description:
      - Refuse a change under which a finding that was closed as TRUE_POSITIVE would vanish or
        fall to LOW.
    type: bool
    default: true
extends_documentation_fragment:
  - amiguard.eda.connection
attributes:
  check_mode:
    description: Previews, and changes nothing.
    support: full
  diff_mode:
    description: Shows the entry before and after.
    support: full
"""

EXAMPLES = r"""
- name: Vouch for the names of our image factory
  amiguard.eda.allowlist_entry:
    id: base-images
    organization_pattern: acme-base-*
    justification: The image factory names its images so, and nobody else does.
"""

RETURN = r"""
entry:
  description: The entry after the change, in check mode as it is; none where there is none.
  returned: always
  type: dict
preview:
  description:
    - What the change does to findings, none where there is nothing to change.
    - C(examples) are the findings that become others, worst first, with C(likelihood) and
      C(likelihood_score) C(before) and C(after).
  returned: always
  type: dict
  sample:
    evaluated_count: 12
    removed_count: 0
    rescored_count: 1
    added_count: 0
    evidence_start_time: "2026-01-31T08:00:00Z"
    examples:
      - name: findings/3b0c5ad0a2a1
        account_id: "111122223333"
        actor_arn: arn:aws:iam::111122223333:role/ci
        name_patterns: ["acme-base-*"]
        before: {likelihood: MEDIUM, likelihood_score: 50}
        after: {likelihood: LOW, likelihood_score: 10}
"""

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

    from amiguard_client import AllowlistEntry, TuningClient, TuningDifference

SUBJECTS = ("organization_pattern", "trusted_account", "trusted_owner")


def main() -> None:
    """Runs the module."""
    own = {
        "id": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "organization_pattern": {"type": "str"},
        "trusted_account": {"type": "str"},
        "trusted_owner": {"type": "str"},
        "justification": {"type": "str"},
        "account_ids": {"type": "list", "elements": "str", "default": []},
        "expire_time": {"type": "str"},
        "force": {"type": "bool", "default": False},
        "preview_start_time": {"type": "str"},
        "refuse_if_loses_true_positives": {"type": "bool", "default": True},
    }
    module = AnsibleModule(
        argument_spec={**CONNECTION, **own},
        mutually_exclusive=[SUBJECTS],
        required_if=[
            ("state", "present", SUBJECTS, True),
            ("state", "present", ("justification",)),
        ],
        supports_check_mode=True,
    )
    since = time_of(module, "preview_start_time")
    wanted = _wanted(module)
    entry_id: str = module.params["id"]
    preview = None
    with connected(module) as client:
        from amiguard_client.plain import to_plain

        entry = _existing(client.tuning, entry_id)
        before = _view(entry)
        if before and wanted and _subject(before) != _subject(wanted):
            fail(
                module,
                f"{entry_id} vouches for {_subject(before)}, which never changes: take another id"
                f" for {_subject(wanted)}",
                code="FAILED_PRECONDITION",
            )
        if before != wanted:
            preview = _preview(client.tuning, entry_id, wanted, since)
            if not module.check_mode:
                entry = _change(client.tuning, entry_id, entry, wanted, options=module.params)
    module.exit_json(
        changed=before != wanted,
        entry=to_plain(entry),
        preview=preview,
        diff={"before": to_plain(before), "after": to_plain(wanted)},
    )


def _wanted(module: AnsibleModule) -> dict[str, Any]:
    """Returns what the entry is to be, as `_view` returns what it is; nothing where it is to go."""
    if module.params["state"] == "absent":
        return {}
    return {
        **{name: module.params[name] for name in SUBJECTS},
        "justification": module.params["justification"],
        "account_ids": sorted(set(module.params["account_ids"])),
        "expire_time": time_of(module, "expire_time"),
    }


def _view(entry: AllowlistEntry | None) -> dict[str, Any]:
    if entry is None:
        return {}
    return {
        **{name: getattr(entry, name) for name in SUBJECTS},
        "justification": entry.justification,
        "account_ids": sorted(entry.account_ids),
        "expire_time": entry.expire_time,
    }


def _subject(view: Mapping[str, Any]) -> str:
    return next(f"{name} {view[name]}" for name in SUBJECTS if view[name] is not None)


def _existing(tuning: TuningClient, entry_id: str) -> AllowlistEntry | None:
    from amiguard_client import NotFoundError

    try:
        return tuning.get_entry(entry_id)
    except NotFoundError:
        return None


def _preview(
    tuning: TuningClient, entry_id: str, wanted: Mapping[str, Any], since: datetime | None
) -> dict[str, Any]:
    """Returns what the change would do, as the module returns it."""
    from amiguard_client.plain import to_plain

    if wanted:
        asked = {name: wanted[name] for name in (*SUBJECTS, "account_ids")}
        preview = tuning.preview_entry(name=entry_id, start_time=since, **asked)
    else:
        preview = tuning.preview_deletion(entry_id, start_time=since)
    counts: dict[str, Any] = to_plain(preview)
    return counts | {"examples": [_example(difference) for difference in preview.examples]}


def _example(difference: TuningDifference) -> dict[str, Any]:
    shown = difference.after or difference.before
    scores = {
        when: finding
        and {
            "likelihood": str(finding.likelihood),
            "likelihood_score": finding.likelihood_score,
        }
        for when, finding in (("before", difference.before), ("after", difference.after))
    }
    if shown is None:
        return scores
    return {
        "name": shown.name,
        "account_id": shown.account_id,
        "actor_arn": shown.actor_arn,
        "name_patterns": list(shown.search.name_patterns),
        **scores,
    }


def _change(
    tuning: TuningClient,
    entry_id: str,
    entry: AllowlistEntry | None,
    wanted: Mapping[str, Any],
    *,
    options: Mapping[str, Any],
) -> AllowlistEntry | None:
    """Creates, updates or deletes the entry, if it still is as it was seen."""
    keeps = options["refuse_if_loses_true_positives"]
    if not wanted:
        etag = entry.etag if entry else None
        tuning.delete_entry(entry_id, etag=etag, refuse_if_loses_true_positives=keeps)
        return None
    if entry is None:
        return tuning.create_entry(
            entry_id, force=options["force"], refuse_if_loses_true_positives=keeps, **wanted
        )
    return tuning.update_entry(
        entry_id,
        etag=entry.etag,
        justification=wanted["justification"],
        account_ids=wanted["account_ids"],
        expire_time=wanted["expire_time"],
        never_expires=wanted["expire_time"] is None,
        refuse_if_loses_true_positives=keeps,
    )


if __name__ == "__main__":
    main()
