#!/usr/bin/python
"""The module `amiguard.eda.finding_info`: reads findings."""

from __future__ import annotations

DOCUMENTATION = r"""
module: finding_info
short_description: Read findings of amiguard
version_added: "0.1.0"
author: amiguard maintainers
description:
  - Reads one finding by its name, or all that a filter lets through.
  - What findings hold was chosen in part by whoever made the API calls. Ansible does not render
    what a module returns; do not hand it on in a way that does.
options:
  name:
    description: C(findings/ID), or the id alone.
    type: str
  filter:
    description:
      - Which findings, as with C(amiguardctl findings list --filter), for example C(state =
        OPEN).
    type: str
extends_documentation_fragment:
  - amiguard.eda.connection
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
"""

EXAMPLES = r"""
- name: Read what is open and likely
  amiguard.eda.finding_info:
    server: amiguard.example.com:7443
    token_file: /etc/amiguard/triage.token
    filter: state = OPEN AND likelihood = HIGH
  register: found
"""

RETURN = r"""
findings:
  description:
    - The findings with the field names of amiguard's API, newest change first; a name that
      there is none of gives none.
    - Times are RFC 3339 in UTC, C(gap_seconds) is the time from search to launch.
  returned: always
  type: list
  elements: dict
  sample:
    - name: findings/3b0c5ad0a2a1
      etag: "1"
      state: OPEN
      likelihood: HIGH
      likelihood_score: 85
      account_id: "111122223333"
      region: eu-west-1
      actor_arn: arn:aws:iam::111122223333:user/alice
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.amiguard.eda.plugins.module_utils.connection import CONNECTION, connected

if TYPE_CHECKING:
    from amiguard_client import Client, Finding


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={**CONNECTION, "name": {"type": "str"}, "filter": {"type": "str"}},
        mutually_exclusive=[("name", "filter")],
        required_one_of=[("name", "filter")],
        supports_check_mode=True,
    )
    with connected(module) as client:
        from amiguard_client.plain import to_plain

        found = _found(client, name=module.params["name"], condition=module.params["filter"])
    module.exit_json(changed=False, findings=to_plain(found))


def _found(client: Client, *, name: str | None, condition: str | None) -> list[Finding]:
    from amiguard_client import NotFoundError

    if name is None:
        return list(client.list_findings(condition or "", page_size=500))
    try:
        return [client.get_finding(name)]
    except NotFoundError:
        return []


if __name__ == "__main__":
    main()
