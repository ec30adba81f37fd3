"""Law 5: one more record never takes anything away, whoever sent it."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from amiguard_core.findings import Finding
from amiguard_core.pipeline import KnownImages, evaluate
from amiguard_core.policy import Policy
from tests.core import forgeries

EXAMPLES = 100
FORGERIES = 200
"""For each example: 20,000 in all."""
MOST_RECORDS = 14


def instances(finding: Finding) -> set[str]:
    """Every instance that a finding's launches started."""
    return {i for occurrence in finding.occurrences for i in occurrence.launch.instance_ids}


def lost(before: Finding, after: Finding | None) -> list[str]:
    """Returns what a finding has lost."""
    if after is None:
        return ["finding"]
    launches = [{o.launch.origin.event_id for o in each.occurrences} for each in (before, after)]
    firsts = [min(o.first_launch_time for o in each.occurrences) for each in (before, after)]
    told = {
        "occurrence": launches[0] - launches[1],
        "image": set(before.image_ids) - set(after.image_ids),
        "instance": instances(before) - instances(after),
        "score": after.score < before.score,
        "suppression": before.suppression is None and after.suppression is not None,
        "first launch": firsts[1] > firsts[0],
        "last launch": after.latest.recency[0] < before.latest.recency[0],
    }
    return [what for what, is_lost in told.items() if is_lost]


@settings(max_examples=EXAMPLES)
@given(st.integers(min_value=0, max_value=2**32))
def test_forged_record_takes_nothing_away(seed: int) -> None:
    """No finding, occurrence, image, instance, point of a score; and it suppresses nothing."""
    draws = random.Random(seed)  # noqa: S311 - no secret
    records: list[forgeries.Json] = []
    policy, before = Policy(), tuple[Finding, ...]()
    images: KnownImages = {}
    for _ in range(FORGERIES):
        if not records or len(records) > MOST_RECORDS:
            policy, images = forgeries.policy(draws), forgeries.known_images(draws)
            records = [forgeries.search(draws), forgeries.launch(draws)]
            before = evaluate(map(forgeries.encoded, records), policy, images=images)
        record = forgeries.forged(draws, draws.choice(records))
        records.append(record)
        after = evaluate(map(forgeries.encoded, records), policy, images=images)
        found = {finding.key: finding for finding in after}
        for finding in before:
            assert lost(finding, found.get(finding.key)) == [], record
        before = after


def test_forgeries_reach_what_the_law_speaks_of() -> None:
    """Findings that are suppressed, of several copies, of every state of knowledge."""
    seen = {"suppressed": 0, "open": 0, "copies": 0, "stranger": 0, "trusted": 0}
    draws = random.Random(1)  # noqa: S311 - no secret
    for _ in range(300):
        records = [forgeries.search(draws), forgeries.launch(draws)]
        records += [forgeries.forged(draws, draws.choice(records)) for _ in range(6)]
        policy, images = forgeries.policy(draws), forgeries.known_images(draws)
        for finding in evaluate(map(forgeries.encoded, records), policy, images=images):
            codes = {step.code for step in finding.steps}
            seen["suppressed"] += finding.suppression is not None
            seen["open"] += finding.suppression is None
            seen["copies"] += any(o.copy_count > 1 for o in finding.occurrences)
            seen["stranger"] += "STRANGER_IMAGE" in codes
            seen["trusted"] += "TRUSTED_IMAGE" in codes

    assert min(seen.values()) >= 10, seen
