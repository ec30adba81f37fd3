"""The filter `amiguard.eda.covering_entries`: what would vouch for all a finding searched for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ansible.errors import AnsibleError

Entries: TypeAlias = Sequence[Mapping[str, Any]]


def covering_entries(finding: Mapping[str, Any], entries: Entries) -> list[Mapping[str, Any]]:
    """Returns the entries that cover a pattern of the finding; none unless each is covered."""
    try:
        from amiguard_core.patterns import Pattern, covers
    except ImportError as error:
        raise AnsibleError("needs the Python package amiguard on the controller") from error
    searched = [Pattern.parse(str(text)) for text in finding["search"]["name_patterns"]]
    covered = set()
    covering = []
    for entry in entries:
        account_ids = entry.get("account_ids") or [finding["account_id"]]
        if finding["account_id"] not in account_ids:
            continue
        wider = Pattern.parse(str(entry["organization_pattern"]))
        hits = {number for number, pattern in enumerate(searched) if covers(wider, pattern)}
        if hits:
            covered |= hits
            covering.append(entry)
    return covering if searched and len(covered) == len(searched) else []


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Gives the filters of this file by name."""
        return {"covering_entries": covering_entries}
