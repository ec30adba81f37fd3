"""The rule as one function: records and a policy in, findings out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from amiguard_core.correlate import pair, pair_pinned, unique, weight
from amiguard_core.decode import decode_records
from amiguard_core.events import Launch, Search
from amiguard_core.findings import Finding, FindingKey, Occurrence
from amiguard_core.judge import judge
from amiguard_core.policy import KnownImage, Policy
from amiguard_core.score import LaunchedImages, confidence, score, suppression

KnownImages = Mapping[tuple[str, str], KnownImage]
"""Known images by (image id, region)."""

UNNAMED_IMAGE = ""
"""Stands for the image of a launch that names none."""

_NO_IMAGES: KnownImages = {}


def evaluate(
    records: Iterable[bytes], policy: Policy, *, images: KnownImages = _NO_IMAGES
) -> tuple[Finding, ...]:
    """Returns the findings of a set of records, ordered by key.

    `records` are what `decode_records` opens, in any order and with any repetition. Those that
    cannot be read find nothing; decode them to see why.
    """
    decoded = decode_records(list(records), launch_paths=policy.rule.launch_paths)
    return find(decoded.searches, decoded.launches, policy, images=images)


def find(
    searches: Iterable[Search],
    launches: Iterable[Launch],
    policy: Policy,
    *,
    images: KnownImages = _NO_IMAGES,
) -> tuple[Finding, ...]:
    """Returns the findings of decoded records, ordered by key."""
    found: defaultdict[FindingKey, dict[str, Occurrence]] = defaultdict(dict)

    def add(occurrence: Occurrence) -> None:
        of_key, event_id = found[occurrence.key], occurrence.launch.origin.event_id
        known = of_key.get(event_id)
        of_key[event_id] = join(known, occurrence) if known else occurrence

    own_searches, own_launches = unique([*searches, *launches])
    pins = []
    for search, launch in pair(own_searches, own_launches, policy):
        add(occur(search, launch, images=images))
        if launch.is_pin:
            pins.append((search, launch))
    for search, pin, launch in pair_pinned(pins, own_launches, policy):
        add(occur(search, launch, pin=pin, images=images))
    return tuple(_finding(key, found[key].values(), policy, images) for key in sorted(found))


def occur(
    search: Search, launch: Launch, *, pin: Launch | None = None, images: KnownImages = _NO_IMAGES
) -> Occurrence:
    """Makes the occurrence of a launch that `pair`, or with a pin `pair_pinned`, yielded."""
    origin = (pin or launch).origin
    # `pair` gives only records that name an account and somebody to correlate by.
    assert origin.account_id is not None  # noqa: S101
    assert origin.actor_arn is not None  # noqa: S101
    known = known_among(launch.image_ids, origin.region, images)
    return Occurrence(
        key=FindingKey(
            account_id=origin.account_id,
            region=origin.region,
            actor_arn=origin.actor_arn,
            fingerprint=search.fingerprint,
        ),
        search=search,
        launch=launch,
        confidence=confidence(search, launch, pin=pin, known=known),
        suppression=suppression(search),
        pin=pin,
    )


def join(one: Occurrence, other: Occurrence) -> Occurrence:
    """Returns which of two occurrences of the same launch in one finding counts.

    That is the one with the fuller copy of the launch; of two with the same, the one with the
    later search; of two with the same search, the one without a pin, then the one with the later
    pin. Which came first is of no account.
    """
    return max(one, other, key=_precedence)


def _precedence(occurrence: Occurrence) -> tuple[object, ...]:
    pin = occurrence.pin
    return (
        weight(occurrence.launch),
        *_recency(occurrence.search),
        pin is None,
        *(() if pin is None else _recency(pin)),
    )


def _recency(record: Search | Launch) -> tuple[object, ...]:
    return record.origin.event_time, record.origin.event_id, weight(record)


def known_among(
    image_ids: Iterable[str], region: str, images: KnownImages
) -> tuple[KnownImage, ...]:
    """Returns what is known of the images, in their order."""
    found = (images.get((image_id, region)) for image_id in image_ids)
    return tuple(image for image in found if image is not None)


def launched_images(occurrences: Iterable[Occurrence]) -> set[str]:
    """Returns the ids of the images launched, and UNNAMED_IMAGE where a launch names none."""
    return {
        image_id
        for occurrence in occurrences
        for image_id in occurrence.launch.image_ids or (UNNAMED_IMAGE,)
    }


def _finding(
    key: FindingKey, occurrences: Iterable[Occurrence], policy: Policy, images: KnownImages
) -> Finding:
    ordered = sorted(occurrences, key=lambda occurrence: occurrence.recency, reverse=True)
    request = ordered[0].search.request
    image_ids = sorted({image for o in ordered for image in o.launch.image_ids})
    launched = LaunchedImages(
        image_count=len(launched_images(ordered)), known=known_among(image_ids, key.region, images)
    )
    return Finding(
        key=key,
        reasons=judge(request, policy, account_id=key.account_id).reasons,
        steps=score(request, policy, account_id=key.account_id, images=launched),
        occurrences=tuple(ordered),
        rule_revision=policy.rule.revision,
    )
