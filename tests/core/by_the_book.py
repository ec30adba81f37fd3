"""Sections 4 and 5 of the rule read once more, slowly, and sharing no code with the core."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from amiguard_core.events import Launch, Search, SearchRequest
from amiguard_core.policy import CorrelateBy, Mode, Policy


def contains_wildcard(value: str) -> bool:
    """Whether a star or a question mark stands there that no backslash takes literally."""
    position = 0
    while position < len(value):
        if value[position] == "\\":
            position += 1
        elif value[position] in "*?":
            return True
        position += 1
    return False


def protections_by_the_book(  # noqa: C901, PLR0912 - one branch a row of the table
    request: SearchRequest, policy: Policy, account: str | None
) -> set[str]:
    """Reads section 4 once more, knowing nothing of how the core reads it."""
    filters = {item.name: list(item.values) for item in request.filters}
    strict = policy.rule.mode is Mode.STRICT
    found = set()
    by = ["name", "description", "manifest-location"] if strict else ["name"]
    if not any(filters.get(name) for name in by):
        found.add("NOT_BY_NAME")
    filtered = filters.get("owner-id", []) + filters.get("owner-alias", [])
    if strict:
        trusted = {
            entry.subject
            for entry in policy.entries
            if entry.kind in {"trusted_owner", "trusted_account"}
            and (not entry.account_ids or account in entry.account_ids)
        }
        if account is not None:
            trusted.add(account)
        if all(owner in trusted for owner in [*request.owners, *filtered]):
            if request.owners:
                found.add("OWNER_GIVEN")
            if filtered:
                found.add("OWNER_FILTER")
        if filters.get("image-allowed") == ["true"]:
            found.add("BOUNDED_FILTER")
        for name in filters:
            if name.startswith("tag:") or name in {"tag-key", "public-ssm-parameter-name"}:
                found.add("BOUNDED_FILTER")
    else:
        if any(set(owner) - {"*", "?"} for owner in request.owners):
            found.add("OWNER_GIVEN")
        for name in ("owner-id", "owner-alias"):
            values = filters.get(name, [])
            if values and not any(contains_wildcard(value) for value in values):
                found.add("OWNER_FILTER")
        if "self" in request.executable_by:
            found.add("EXECUTABLE_BY_SELF")
    if request.image_ids:
        found.add("IMAGE_ID_GIVEN")
    values = filters.get("image-id", [])
    if values and not any(contains_wildcard(value) for value in values):
        found.add("IMAGE_ID_FILTER")
    return found


def reasons_by_the_book(request: SearchRequest, policy: Policy, account: str | None) -> set[str]:
    """Gives the reasons of section 6 for what section 4 finds unsafe."""
    strict = policy.rule.mode is Mode.STRICT
    if strict and request.parameters_omitted:
        return {"PARAMETERS_OMITTED"}
    if protections_by_the_book(request, policy, account):
        return set()
    owner_filters = request.values_of("owner-id") + request.values_of("owner-alias")
    return {"UNTRUSTED_OWNER" if strict and (request.owners or owner_filters) else "NO_OWNER"}


def occurrences_by_the_book(
    searches: Iterable[Search], launches: Iterable[Launch], policy: Policy
) -> dict[tuple[str, str, str], str]:
    """Reads section 5 once more: for each account, launch and fingerprint, the search it follows.

    Takes no two records with one identity.
    """
    unsafe = [
        search
        for search in searches
        if reasons_by_the_book(search.request, policy, search.origin.account_id)
    ]
    found = {}
    for launch in launches:
        if launch.path not in policy.rule.launch_paths:
            continue
        for fingerprint in {search.fingerprint for search in unsafe}:
            followed = [
                (search.origin.event_time, search.origin.event_id)
                for search in unsafe
                if search.fingerprint == fingerprint and follows(launch, search, policy)
            ]
            if followed:
                account, event_id = str(launch.origin.account_id), launch.origin.event_id
                found[account, event_id, fingerprint] = max(followed)[1]
    return found


def pinned_by_the_book(
    searches: Iterable[Search], launches: Iterable[Launch], policy: Policy
) -> set[tuple[str, str, str]]:
    """Reads section 8 once more, slowly, for launches that were made from a template.

    Gives the actor, the fingerprint and the launch of each occurrence.
    """
    launches = list(launches)
    found = set()
    for search in searches:
        if not reasons_by_the_book(search.request, policy, search.origin.account_id):
            continue
        for pin in launches:
            if pin.path not in {"CreateLaunchTemplate", "CreateLaunchTemplateVersion"}:
                continue
            if pin.path not in policy.rule.launch_paths or not follows(pin, search, policy):
                continue
            found |= {
                (str(pin.origin.actor_arn), search.fingerprint, launch.origin.event_id)
                for launch in launches
                if launch.path == "RunInstances"
                and launch.path in policy.rule.launch_paths
                and launch.template is not None
                and launch.template == pin.template
                and launch.origin.account_id == pin.origin.account_id
                and launch.origin.region == pin.origin.region
                and launch.origin.event_time >= pin.origin.event_time
            }
    return found


def follows(launch: Launch, search: Search, policy: Policy) -> bool:
    """Whether the two belong together: same account, region and caller, within the window."""
    one, other = search.origin, launch.origin
    by_role = policy.rule.correlate_by is CorrelateBy.ROLE
    callers = (
        (one.actor_arn, other.actor_arn) if by_role else (one.principal_arn, other.principal_arn)
    )
    return (
        None not in (one.account_id, *callers)
        and one.account_id == other.account_id
        and one.region == other.region
        and callers[0] == callers[1]
        and timedelta(0) <= other.event_time - one.event_time <= policy.rule.window
    )
