"""The rule as one function: records and a policy in, findings out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from amiguard_core.correlate import pair, pair_pinned, unique, weight
from amiguard_core.decode import decode_records
from amiguard_core.events import Launch, Search
from amiguard_core.findings import Evidence, Finding, FindingKey, Occurrence
from amiguard_core.judge import judge
from amiguard_core.policy import KnownImage, Policy
from amiguard_core.score import LaunchedImages, confidence, is_prevalidation, score, suppression

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
        of_key[event_id] = join(known, occurrence, images=images) if known else occurrence

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
    key = FindingKey(
        account_id=origin.account_id,
        region=origin.region,
        actor_arn=origin.actor_arn,
        fingerprint=search.fingerprint,
    )
    return assess(Occurrence(key, search, launch, confidence=0, pin=pin), images)


def assess(occurrence: Occurrence, images: KnownImages) -> Occurrence:
    """Returns an occurrence with the confidence and suppression that known images give it."""
    launch, pin, region = occurrence.launch, occurrence.pin, occurrence.key.region
    known = known_among(launch.image_ids, region, images)
    sure = confidence(occurrence.search, launch, pin=pin, known=known)
    why = None
    if is_prevalidation(occurrence.search):
        evidence = occurrence.all_evidence
        pinned = {image for e in evidence if e.pin is not None for image in e.pin.image_ids}
        why = suppression(
            (each.search for each in evidence), [*known, *known_among(pinned, region, images)]
        )
    return replace(occurrence, confidence=sure, suppression=why)


def join(one: Occurrence, other: Occurrence, *, images: KnownImages = _NO_IMAGES) -> Occurrence:
    """Returns one occurrence of what is known of the same launch in one finding (section 3).

    All copies of the launch count, so that none, cut or forged, takes anything away. Shown is the
    one with the latest search; of these the fuller copy of the launch, then the one without a pin,
    then the one with the latest pin. The same comes out whatever came first.
    """
    evidence = _essential((*one.all_evidence, *other.all_evidence))
    shown = evidence[0]
    if len(evidence) == 1:
        joined = Occurrence(one.key, shown.search, shown.launch, confidence=0, pin=shown.pin)
        return assess(joined, images)
    launch = replace(
        shown.launch,
        image_ids=_all(each.launch.image_ids for each in evidence),
        instance_ids=_all(each.launch.instance_ids for each in evidence),
    )
    joined = Occurrence(
        one.key, shown.search, launch, confidence=0, pin=shown.pin, evidence=evidence
    )
    return assess(joined, images)


def _essential(every: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Returns the evidence that counts, the one to show first.

    For each copy of the launch and of the pin that is the latest search, and the latest that no
    suppression is possible with.
    """
    latest: dict[tuple[Launch, Launch | None, bool], Evidence] = {}
    for each in every:
        key = each.launch, each.pin, is_prevalidation(each.search)
        known = latest.get(key)
        latest[key] = each if known is None else max(known, each, key=_precedence)
    kept = [
        each
        for (launch, pin, suppresses), each in latest.items()
        if not suppresses or _is_later(each, latest.get((launch, pin, False)))
    ]
    return tuple(sorted(kept, key=_precedence, reverse=True))


def _is_later(one: Evidence, other: Evidence | None) -> bool:
    return other is None or _precedence(one) > _precedence(other)


def _precedence(evidence: Evidence) -> tuple[object, ...]:
    pin = evidence.pin
    return (
        *_recency(evidence.search),
        weight(evidence.launch),
        pin is None,
        *(() if pin is None else _recency(pin)),
    )


def _recency(record: Search | Launch) -> tuple[object, ...]:
    return record.origin.event_time, record.origin.event_id, weight(record)


def _all(ids: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Returns the ids of all copies: as the copies have them where they agree, else sorted."""
    every = set(ids)
    return every.pop() if len(every) == 1 else tuple(sorted({i for each in every for i in each}))


def known_among(
    image_ids: Iterable[str], region: str, images: KnownImages
) -> tuple[KnownImage, ...]:
    """Returns what is known of the images, in their order."""
    found = (images.get((image_id, region)) for image_id in image_ids)
    return tuple(image for image in found if image is not None)


def used_images(occurrence: Occurrence) -> set[tuple[str, str]]:
    """Returns region and id of the images that a launch or its pin names, in any copy."""
    region = occurrence.key.region
    return {
        (region, image_id)
        for each in occurrence.all_evidence
        for used in ((each.launch,) if each.pin is None else (each.launch, each.pin))
        for image_id in used.image_ids
    }


def launched_images(occurrences: Iterable[Occurrence]) -> set[str]:
    """Returns the ids of the images launched, and UNNAMED_IMAGE where a launch names none."""
    return {
        image_id
        for occurrence in occurrences
        for each in occurrence.all_evidence
        for image_id in each.launch.image_ids or (UNNAMED_IMAGE,)
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
