"""How likely, how sure, and what the rule suppresses. docs/rule.md, sections 7 and 9."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from msgspec import Struct

from amiguard_core.clients import client_of
from amiguard_core.events import RESOLVE_PREFIX, Launch, Search, SearchRequest
from amiguard_core.families import families_of
from amiguard_core.findings import ScoreStep, Suppression
from amiguard_core.judge import NAME_FILTER, is_bounded, searched_values
from amiguard_core.patterns import Pattern, matches
from amiguard_core.policy import AllowlistEntry, KnownImage, Mode, Policy
from amiguard_core.score_steps import BROAD_BELOW, MAX_SCORE, SCORE_STEPS

_ROWS = {row.code: row for row in SCORE_STEPS}

_CONFIDENCE_BY_GAP = (
    (timedelta(seconds=60), 90),
    (timedelta(minutes=5), 75),
    (timedelta(minutes=15), 60),
)
_CONFIDENCE_BEYOND = 40
_OTHER_CLIENT_PENALTY = 20
_INDIRECT_CONFIDENCE = 5


class LaunchedImages(Struct, frozen=True):
    """What is known of the images that one finding's launches started.

    `image_count` counts them; the launches that name no image count as one more, which is unknown.
    """

    image_count: int
    known: tuple[KnownImage, ...] = ()


class _Steps:
    """The score so far and the steps that led to it."""

    def __init__(self) -> None:
        self.steps: list[ScoreStep] = []

    def add(self, code: str, *, entry: AllowlistEntry | None = None, **names: str | None) -> None:
        row = _ROWS[code]
        score = row.effect.apply(self.steps[-1].score if self.steps else 0)
        message = row.message.format(**names) if names else row.message
        self.steps.append(ScoreStep(code, score, message, entry.name if entry else None))


def score(
    request: SearchRequest,
    policy: Policy,
    *,
    account_id: str,
    images: LaunchedImages,
) -> tuple[ScoreStep, ...]:
    """Returns the steps to the likelihood of an unsafe search; the last one holds the score."""
    steps = _Steps()
    steps.add("BASE")
    names = _parse(request.values_of(NAME_FILTER))
    _score_patterns(steps, request, names, policy)
    _score_filters(steps, request, policy)
    _score_organization(steps, names, policy, account_id)
    _score_images(steps, names, policy, account_id, images)
    return tuple(steps.steps)


def _parse(values: Iterable[str]) -> list[Pattern]:
    return [Pattern.parse(value) for value in values]


def _score_patterns(
    steps: _Steps, request: SearchRequest, names: Sequence[Pattern], policy: Policy
) -> None:
    families = [family for name in names for family in families_of(name, policy.public_patterns)]
    if families:
        publishers = ", ".join(
            sorted({family.publisher or "rule configuration" for family in families})
        )
        steps.add("PUBLIC_NAME_FAMILY", publishers=publishers)
    searched = _parse(searched_values(request, mode=policy.rule.mode))
    wild = [pattern for pattern in searched if pattern.has_wildcard]
    if any(pattern.literal_prefix_length < BROAD_BELOW for pattern in wild):
        steps.add("BROAD_PATTERN")
    if searched and not wild:
        steps.add("EXACT_NAME")


def _score_filters(steps: _Steps, request: SearchRequest, policy: Policy) -> None:
    if policy.rule.mode is Mode.DOCUMENTED and is_bounded(request):
        steps.add("BOUNDED_FILTER")
    if request.values_of("is-public") == ("false",):
        steps.add("PRIVATE_ONLY")
    if request.values_of("product-code"):
        steps.add("PRODUCT_CODE")


def _score_organization(
    steps: _Steps, names: Sequence[Pattern], policy: Policy, account_id: str
) -> None:
    covering: list[AllowlistEntry] = []
    for name in names:
        entry = policy.covering_entry(name, account_id=account_id)
        if entry is None:
            return
        covering.append(entry)
    if covering:
        steps.add("ORGANIZATION_PATTERN", entry=covering[0])


def _score_images(
    steps: _Steps,
    names: Sequence[Pattern],
    policy: Policy,
    account_id: str,
    images: LaunchedImages,
) -> None:
    owned = [image for image in images.known if image.owner_account_id or image.owner_alias]
    trusts = [_trust(image, policy, account_id) for image in owned]
    if images.image_count and len(owned) == images.image_count and all(t.trusted for t in trusts):
        entry = next((trust.entry for trust in trusts if trust.entry), None)
        steps.add("TRUSTED_IMAGE", entry=entry)
    strangers = [
        image
        for image, trust in zip(owned, trusts, strict=True)
        if not trust.trusted and _is_searched(image, names)
    ]
    if strangers:
        first = min(strangers, key=lambda image: image.image_id)
        owner = first.owner_account_id or first.owner_alias
        steps.add("STRANGER_IMAGE", image_id=first.image_id, owner=owner)


class _Trust(Struct, frozen=True):
    trusted: bool
    entry: AllowlistEntry | None = None


def _trust(image: KnownImage, policy: Policy, account_id: str) -> _Trust:
    for owner in (image.owner_alias, image.owner_account_id):
        entry = owner and policy.trusting_entry(owner, account_id=account_id)
        if entry:
            return _Trust(trusted=True, entry=entry)
    return _Trust(trusted=image.owner_account_id == account_id)


def _is_searched(image: KnownImage, names: Iterable[Pattern]) -> bool:
    name = image.image_name
    return name is not None and any(matches(pattern, name) for pattern in names)


def confidence(
    search: Search,
    launch: Launch,
    *,
    pin: Launch | None = None,
    known: Iterable[KnownImage] = (),
) -> int:
    """Returns how sure it is, 0 to 100, that the launch used the search's answer.

    `known` are the known images among those launched. Where the launch was made from a launch
    template, the answer was used in the `pin` that made it: its time, its program and its way of
    naming the image count, and a launch that started other images did not use it.
    """
    if search.request.parameters_omitted:
        return _INDIRECT_CONFIDENCE
    if pin is not None and _starts_others(launch, pin):
        return 0
    names = _parse(search.request.values_of(NAME_FILTER))
    named = [image for image in known if image.image_name is not None]
    if named and names:
        return MAX_SCORE if any(_is_searched(image, names) for image in named) else 0
    used = pin or launch
    if used.through_parameter:
        return _INDIRECT_CONFIDENCE
    gap = used.origin.event_time - search.origin.event_time
    start = next((sure for limit, sure in _CONFIDENCE_BY_GAP if gap <= limit), _CONFIDENCE_BEYOND)
    if client_of(search.origin.user_agent) != client_of(used.origin.user_agent):
        start -= _OTHER_CLIENT_PENALTY
    return start


def _starts_others(launch: Launch, pin: Launch) -> bool:
    """Says whether a launch overrode the image of its template, where both name theirs."""
    pinned = {image for image in pin.image_ids if not image.startswith(RESOLVE_PREFIX)}
    return bool(pinned and launch.image_ids) and pinned.isdisjoint(launch.image_ids)


def is_prevalidation(search: Search) -> bool:
    """Says whether a search looks like Packer's check that the name of its new image is free.

    Packer before amazon plugin 1.2.4 searches that name without an owner. The user agent is the
    caller's to choose, so it never suffices alone.
    """
    if "packer" not in search.origin.user_agent.lower():
        return False
    names = _parse(search.request.values_of(NAME_FILTER))
    return bool(names) and not any(name.has_wildcard for name in names)


def suppression(searches: Iterable[Search], known: Iterable[KnownImage]) -> Suppression | None:
    """Returns why the rule suppresses an occurrence; None when it does not (section 9).

    `searches` are all that the launch follows, `known` the known images that it used. Packer's
    check looks up the name of the image to be made. An image that bears it was made by others.
    """
    names: list[Pattern] = []
    for search in searches:
        if not is_prevalidation(search):
            return None
        names = _parse(search.request.values_of(NAME_FILTER))
    if any(image.image_name is not None and _is_searched(image, names) for image in known):
        return None
    return Suppression.PACKER_PREVALIDATION
