"""Changes that can be tried: each makes of a policy the one that the change would put in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from amiguard_core.allowlist import check_entry
from amiguard_core.policy import AllowlistEntry, Policy, RuleConfig
from amiguard_service.refusals import ResourceNotFoundError

Proposal: TypeAlias = Callable[[Policy], Policy]
"""Returns the policy with the change made; raises what the change itself would be refused with."""


def with_entry(entry: AllowlistEntry) -> Proposal:
    """Returns the change to an allowlist that holds this entry, in place of one of its name.

    One that intersects a public family is tried too: how much it would hide is the question.
    """

    def propose(policy: Policy) -> Policy:
        check_entry(entry, public_patterns=policy.public_patterns, force=True)
        others = (other for other in policy.entries if other.name != entry.name)
        return Policy(rule=policy.rule, entries=(*others, entry))

    return propose


def without_entry(name: str) -> Proposal:
    """Returns the change to an allowlist that has lost an entry."""

    def propose(policy: Policy) -> Policy:
        others = tuple(other for other in policy.entries if other.name != name)
        if len(others) == len(policy.entries):
            raise ResourceNotFoundError(name)
        return Policy(rule=policy.rule, entries=others)

    return propose


def with_rule(patch: Callable[[RuleConfig], RuleConfig]) -> Proposal:
    """Returns the change to the rule configuration that `patch` makes of the one in force."""

    def propose(policy: Policy) -> Policy:
        rule = replace(patch(policy.rule), revision=policy.rule.revision + 1)
        rule.check()
        return Policy(rule=rule, entries=policy.entries)

    return propose
