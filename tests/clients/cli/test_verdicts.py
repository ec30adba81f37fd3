"""What is explained is what the rule does, and every miss has its cause."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from amiguard_client.cli.verdicts import Cause, Verdicts, explain, finding_name
from amiguard_core.decode import decode_records
from amiguard_core.events import LaunchPath
from amiguard_core.pipeline import find
from amiguard_core.policy import CorrelateBy, Mode, Policy, RuleConfig
from tests.data import identities
from tests.data.launch_paths import create_launch_template
from tests.data.records import NINE_O_CLOCK, describe_images, run_instances
from tests.data.scenario import scenario
from tests.data.shapes import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.data.records import Launch
    from tests.data.shapes import Record

NAMES = {"name": ["acme-*"]}


def verdicts(records: Iterable[Record], rule: RuleConfig | None = None) -> Verdicts:
    """Explains records, whichever way they launch."""
    decoded = decode_records([encode(r) for r in records], launch_paths=LaunchPath)
    return explain(decoded.searches, decoded.launches, Policy(rule=rule or RuleConfig()))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "rule",
    [RuleConfig(), RuleConfig(mode=Mode.STRICT), RuleConfig(correlate_by=CorrelateBy.ROLE)],
    ids=["documented", "strict", "role"],
)
def test_explanation_agrees_with_the_rule(seed: int, rule: RuleConfig) -> None:
    """A launch is said to follow a search exactly where the rule makes an occurrence of them."""
    records = scenario(seed, searches=40, launches=60)
    decoded = decode_records([encode(r) for r in records])

    explained = verdicts(records, rule)

    expected = {
        (
            f"findings/{finding.key.finding_id()}",
            occurrence.search.origin.event_id,
            occurrence.launch.origin.event_id,
        )
        for finding in find(decoded.searches, decoded.launches, Policy(rule=rule))
        for occurrence in finding.occurrences
    }
    by_search = {
        (
            finding_name(verdict.search, launch),
            verdict.search.origin.event_id,
            launch.origin.event_id,
        )
        for verdict in explained.searches
        for launch in verdict.launches
    }
    by_launch = {
        (
            finding_name(search, verdict.launch),
            search.origin.event_id,
            verdict.launch.origin.event_id,
        )
        for verdict in explained.launches
        for search in verdict.searches
    }
    assert by_search == by_launch == expected
    assert expected


@pytest.mark.parametrize("seed", range(4))
def test_safe_searches_neither_hit_nor_miss(seed: int) -> None:
    """A search with a protection is told with it, and with no launch at all."""
    for verdict in verdicts(scenario(seed, searches=40, launches=60)).searches:
        assert verdict.judgement.is_unsafe != bool(verdict.judgement.protections)
        if not verdict.judgement.is_unsafe:
            assert (verdict.launches, verdict.misses) == ((), ())


@pytest.mark.parametrize("seed", range(4))
def test_every_miss_has_a_cause(seed: int) -> None:
    """What did not follow is told only where nothing did, each time with a cause."""
    explained = verdicts(scenario(seed, searches=40, launches=60))

    misses = [verdict.misses for verdict in explained.searches]
    misses += [verdict.misses for verdict in explained.launches]
    assert all(miss.obstacles for nearest in misses for miss in nearest)
    assert all(len(nearest) <= 3 for nearest in misses)
    assert any(verdict.misses for verdict in explained.searches)


@pytest.mark.parametrize(
    ("launch", "cause", "message"),
    [
        (
            {"at": NINE_O_CLOCK + timedelta(seconds=1212)},
            Cause.PAST_WINDOW,
            "launched 1,212 s after the search, 312 s past the window of 900 s",
        ),
        (
            {"at": NINE_O_CLOCK - timedelta(seconds=2)},
            Cause.BEFORE_SEARCH,
            "launched 2 s before the search",
        ),
        (
            {"region": "eu-west-1"},
            Cause.OTHER_REGION,
            "launched in eu-west-1, searched in us-east-1",
        ),
        (
            {"identity": identities.iam_user("111122223333", "bob")},
            Cause.OTHER_PRINCIPAL,
            (
                "arn:aws:iam::111122223333:user/bob launched, "
                "arn:aws:iam::111122223333:user/alice searched"
            ),
        ),
        (
            {"account": "444455556666"},
            Cause.OTHER_ACCOUNT,
            "account 444455556666 launched, 111122223333 searched",
        ),
    ],
)
def test_miss_says_by_how_much_or_by_which_key(launch: Launch, cause: Cause, message: str) -> None:
    """A miss names what was got and what was wanted."""
    explained = verdicts([describe_images(filters=NAMES), run_instances(**launch)])

    (obstacle,) = explained.searches[0].misses[0].obstacles
    assert (obstacle.cause, obstacle.message) == (cause, message)
    assert explained.launches[0].misses == explained.searches[0].misses


def test_role_is_what_is_missed_when_roles_correlate() -> None:
    """Correlating by role, a miss names roles rather than sessions."""
    one, other = (
        identities.assumed_role("111122223333", role, session="s") for role in ("deploy", "build")
    )
    records = [describe_images(filters=NAMES, identity=one), run_instances(identity=other)]

    explained = verdicts(records, RuleConfig(correlate_by=CorrelateBy.ROLE))

    (obstacle,) = explained.searches[0].misses[0].obstacles
    assert obstacle.cause is Cause.OTHER_ROLE
    assert "role/deploy searched" in obstacle.message


@pytest.mark.parametrize(
    ("role", "seconds", "is_told"),
    [("deploy", 5, True), ("build", 5, False), ("deploy", 5_000, False)],
)
def test_a_miss_by_the_session_name_alone_names_the_option(
    role: str, seconds: int, *, is_told: bool
) -> None:
    """Where only the session name keeps two calls apart, the option that helps is named."""
    one = identities.assumed_role("111122223333", "deploy", session="job-1")
    other = identities.assumed_role("111122223333", role, session="job-2")
    records = [
        describe_images(filters=NAMES, identity=one),
        run_instances(identity=other, at=NINE_O_CLOCK + timedelta(seconds=seconds)),
    ]

    explained = verdicts(records)

    message = explained.launches[0].misses[0].obstacles[0].message
    assert ("--correlate-by role" in message) == is_told
    by_role = verdicts(records, RuleConfig(correlate_by=CorrelateBy.ROLE))
    assert bool(by_role.launches[0].searches) == is_told


def test_earlier_search_is_said_to_be_outdone_by_a_later_one() -> None:
    """Of two searches for the same, the earlier misses the launch because of the later."""
    records = [
        describe_images(filters=NAMES),
        describe_images(filters=NAMES, at=NINE_O_CLOCK + timedelta(seconds=10)),
        run_instances(at=NINE_O_CLOCK + timedelta(seconds=20)),
    ]

    earlier, later = verdicts(records).searches

    assert [o.cause for o in earlier.misses[0].obstacles] == [Cause.LATER_SEARCH]
    assert len(later.launches) == 1


def test_other_ways_to_launch_are_said_not_to_count() -> None:
    """A call that pins an image is told as such, and which option lets it count."""
    records = [
        describe_images(filters=NAMES),
        create_launch_template(at=NINE_O_CLOCK + timedelta(seconds=5)),
    ]

    explained = verdicts(records)

    (obstacle,) = explained.launches[0].misses[0].obstacles
    assert obstacle.cause is Cause.PATH_NOT_COUNTED
    assert "CreateLaunchTemplate" in obstacle.message
