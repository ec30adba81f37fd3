"""Laws of section 6 of the rule: what a finding is, and what it shows of its occurrences."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.events import Launch, Origin, Search, SearchFilter, SearchRequest
from amiguard_core.findings import (
    Finding,
    FindingKey,
    Likelihood,
    Occurrence,
    ScoreStep,
    Suppression,
)
from tests.data.records import ACCOUNT, NINE_O_CLOCK, REGION

KEY = FindingKey(account_id=ACCOUNT, region=REGION, actor_arn="a", fingerprint="f" * 64)
REQUEST = SearchRequest(filters=(SearchFilter("name", ("acme-base",)),))

keys = st.builds(FindingKey, *(st.sampled_from(["a", "b", "ab", "ba", ""]) for _ in range(4)))


def occurrence(
    number: int,
    *,
    confidence: int = 90,
    suppression: Suppression | None = None,
    image_ids: tuple[str, ...] = (),
) -> Occurrence:
    """Makes the occurrence of a launch so many minutes past nine."""
    at = NINE_O_CLOCK + timedelta(minutes=number)
    origin = Origin(event_id=f"s{number}", event_time=at - timedelta(seconds=7), region=REGION)
    return Occurrence(
        key=KEY,
        search=Search(origin=origin, request=REQUEST, fingerprint=REQUEST.fingerprint()),
        launch=Launch(
            origin=Origin(event_id=f"l{number}", event_time=at, region=REGION), image_ids=image_ids
        ),
        confidence=confidence,
        suppression=suppression,
    )


def finding(*occurrences: Occurrence, score: int = 50) -> Finding:
    """Makes a finding with these occurrences, the latest first."""
    return Finding(
        key=KEY,
        reasons=("NO_OWNER",),
        steps=(ScoreStep("BASE", 50, "m"), ScoreStep("X", score, "m")),
        occurrences=occurrences,
        rule_revision=1,
    )


@pytest.mark.parametrize(
    ("score", "likelihood"),
    [(0, "LOW"), (39, "LOW"), (40, "MEDIUM"), (69, "MEDIUM"), (70, "HIGH"), (100, "HIGH")],
)
def test_likelihood_is_a_band_of_the_score(score: int, likelihood: str) -> None:
    """LOW < 40 <= MEDIUM < 70 <= HIGH."""
    assert Likelihood.of_score(score) is Likelihood(likelihood)
    assert finding(occurrence(0), score=score).likelihood is Likelihood(likelihood)


def test_score_is_that_after_the_last_step() -> None:
    """Each step is applied to the score so far."""
    assert finding(occurrence(0), score=33).score == 33


@given(keys, keys)
def test_finding_ids_are_equal_exactly_when_keys_are(one: FindingKey, other: FindingKey) -> None:
    """The id is derived from the key, so a retry or another replica makes the same id."""
    assert (one == other) == (one.finding_id() == other.finding_id())


def test_a_finding_id_is_stable() -> None:
    """The id of a key never changes, for findings are stored under it."""
    assert KEY.finding_id() == f"{ACCOUNT}-b4956dc52b3959b75fb6ae55"


def test_finding_id_begins_with_the_account() -> None:
    """Whoever has the id knows where the finding is kept, and a URL can hold it."""
    account, _, rest = KEY.finding_id().partition("-")

    assert account == ACCOUNT
    assert rest.isalnum()


@pytest.mark.parametrize("part", ["account_id", "region", "actor_arn", "fingerprint"])
def test_every_part_of_the_key_makes_another_finding(part: str) -> None:
    """Key = (account, region, actor, fingerprint)."""
    parts = {name: getattr(KEY, name) for name in KEY.__struct_fields__}
    other = FindingKey(**{**parts, part: "other"})

    assert KEY.finding_id() != other.finding_id()


def test_gap_is_from_search_to_launch() -> None:
    """An occurrence knows how long after its search the launch came."""
    assert occurrence(3).gap == timedelta(seconds=7)


def test_confidence_is_the_greatest_of_the_occurrences() -> None:
    """A finding's confidence is the greatest of its occurrences'."""
    assert finding(occurrence(2, confidence=5), occurrence(1, confidence=75)).confidence == 75


def test_what_depends_on_one_search_is_shown_of_the_latest_occurrence() -> None:
    """The finding shows what depends on one search of its latest occurrence."""
    latest = occurrence(2)

    assert finding(latest, occurrence(1)).latest == latest


def test_recency_is_by_launch_time_then_event_id() -> None:
    """Of equal times the greatest event id is the latest."""
    occurrences = [occurrence(number) for number in (1, 10, 2)]

    assert max(occurrences, key=lambda each: each.recency) == occurrence(10)


def test_a_finding_is_suppressed_while_every_occurrence_is() -> None:
    """A finding is SUPPRESSED while every one of its occurrences is."""
    packer = Suppression.PACKER_PREVALIDATION
    all_of_them = finding(occurrence(2, suppression=packer), occurrence(1, suppression=packer))

    assert all_of_them.suppression is packer


@pytest.mark.parametrize("open_one", [0, 1])
def test_the_first_occurrence_that_is_not_suppressed_opens_it(open_one: int) -> None:
    """The first that is not makes it OPEN, the latest or not."""
    packer = Suppression.PACKER_PREVALIDATION
    codes = [packer, packer]
    codes_or_none = [None if n == open_one else code for n, code in enumerate(codes)]
    occurrences = [occurrence(9 - n, suppression=c) for n, c in enumerate(codes_or_none)]

    assert finding(*occurrences).suppression is None


def test_image_ids_are_of_all_occurrences_once_and_sorted() -> None:
    """A finding carries the image ids of its occurrences."""
    occurrences = (
        occurrence(2, image_ids=("ami-2", "ami-3")),
        occurrence(1, image_ids=("ami-1", "ami-2")),
        occurrence(0),
    )

    assert finding(*occurrences).image_ids == ("ami-1", "ami-2", "ami-3")
