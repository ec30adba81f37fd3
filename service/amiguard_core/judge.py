"""Is a search unsafe? docs/rule.md, section 4, both modes."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from amiguard_core.events import SearchRequest
from amiguard_core.patterns import Pattern
from amiguard_core.policy import Mode, Policy

NAME_FILTER = "name"
FREE_TEXT_FILTERS = ("description", "manifest-location")
"""Filters over text that any publisher may write; mode STRICT takes them for searches by name."""
OWNER_FILTERS = ("owner-id", "owner-alias")
IMAGE_ID_FILTER = "image-id"


class Protection(StrEnum):
    """Why a search is not unsafe."""

    NOT_BY_NAME = "NOT_BY_NAME"
    OWNER_GIVEN = "OWNER_GIVEN"
    OWNER_FILTER = "OWNER_FILTER"
    IMAGE_ID_GIVEN = "IMAGE_ID_GIVEN"
    IMAGE_ID_FILTER = "IMAGE_ID_FILTER"
    EXECUTABLE_BY_SELF = "EXECUTABLE_BY_SELF"
    BOUNDED_FILTER = "BOUNDED_FILTER"


class Reason(StrEnum):
    """Why a search is unsafe."""

    NO_OWNER = "NO_OWNER"
    UNTRUSTED_OWNER = "UNTRUSTED_OWNER"
    PARAMETERS_OMITTED = "PARAMETERS_OMITTED"


class Judgement(Struct, frozen=True):
    """What is thought of a search: it has protections, or reasons to be unsafe, never both."""

    protections: tuple[Protection, ...] = ()
    reasons: tuple[Reason, ...] = ()

    @property
    def is_unsafe(self) -> bool:
        """Whether a launch that follows is an occurrence."""
        return bool(self.reasons)


def judge(request: SearchRequest, policy: Policy, *, account_id: str | None) -> Judgement:
    """Judges a search made in an account under a policy."""
    if policy.rule.mode is Mode.STRICT:
        return _judge_strictly(request, policy, account_id)
    protections = []
    if not request.values_of(NAME_FILTER):
        protections.append(Protection.NOT_BY_NAME)
    if not all(map(_is_only_wildcards, request.owners)):
        protections.append(Protection.OWNER_GIVEN)
    if any(item.name in OWNER_FILTERS and _is_exact(item.values) for item in request.filters):
        protections.append(Protection.OWNER_FILTER)
    protections += _image_protections(request)
    if "self" in request.executable_by:
        protections.append(Protection.EXECUTABLE_BY_SELF)
    return _judgement(protections, Reason.NO_OWNER)


def _judge_strictly(request: SearchRequest, policy: Policy, account_id: str | None) -> Judgement:
    if request.parameters_omitted:
        return Judgement(reasons=(Reason.PARAMETERS_OMITTED,))
    protections = []
    if not searched_values(request, mode=Mode.STRICT):
        protections.append(Protection.NOT_BY_NAME)
    filtered = [owner for name in OWNER_FILTERS for owner in request.values_of(name)]
    owners = [*request.owners, *filtered]
    trusted = all(
        owner == account_id or policy.trusting_entry(owner, account_id=account_id)
        for owner in owners
    )
    if trusted and request.owners:
        protections.append(Protection.OWNER_GIVEN)
    if trusted and filtered:
        protections.append(Protection.OWNER_FILTER)
    protections += _image_protections(request)
    if is_bounded(request):
        protections.append(Protection.BOUNDED_FILTER)
    return _judgement(protections, Reason.UNTRUSTED_OWNER if owners else Reason.NO_OWNER)


def searched_values(request: SearchRequest, *, mode: Mode) -> tuple[str, ...]:
    """Returns the patterns a search is by: its names, in mode STRICT else its free texts."""
    names = request.values_of(NAME_FILTER)
    if names or mode is Mode.DOCUMENTED:
        return names
    return tuple(value for name in FREE_TEXT_FILTERS for value in request.values_of(name))


def is_bounded(request: SearchRequest) -> bool:
    """Says whether a filter bounds who can answer to images this account or AWS marked."""
    return any(
        item.name.startswith("tag:")
        or item.name in {"tag-key", "public-ssm-parameter-name"}
        or (item.name == "image-allowed" and item.values == ("true",))
        for item in request.filters
    )


def _judgement(protections: list[Protection], reason: Reason) -> Judgement:
    if protections:
        return Judgement(protections=tuple(protections))
    return Judgement(reasons=(reason,))


def _image_protections(request: SearchRequest) -> list[Protection]:
    protections = []
    if request.image_ids:
        protections.append(Protection.IMAGE_ID_GIVEN)
    if _is_exact(request.values_of(IMAGE_ID_FILTER)):
        protections.append(Protection.IMAGE_ID_FILTER)
    return protections


def _is_exact(values: tuple[str, ...]) -> bool:
    return bool(values) and not any(Pattern.parse(value).has_wildcard for value in values)


def _is_only_wildcards(value: str) -> bool:
    return not value.strip("*?")


def is_candidate(request: SearchRequest) -> bool:
    """Says whether some policy finds the search unsafe, be it the present one or not."""
    if request.parameters_omitted:
        return True
    by_name = bool(searched_values(request, mode=Mode.STRICT))
    return by_name and not _image_protections(request)
