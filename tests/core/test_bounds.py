"""The bounds of the core, as numbers: documents, messages and other releases state the same."""

from __future__ import annotations

from datetime import timedelta

from amiguard_core import (
    allowlist,
    clients,
    decode,
    events,
    findings,
    pipeline,
    policy,
    sightings,
)


def test_bounds_are_those_that_are_promised() -> None:
    """A bound that moves refuses what was taken, or keeps what was cut: that is a change of rule.

    Tests of what happens at a bound take it from the module, so that they hold for any number.
    """
    assert {
        "accounts of an entry": allowlist.MAX_ACCOUNTS,
        "letters of a pattern": allowlist.BROAD_BELOW,
        "characters of a user agent": clients.MAX_USER_AGENT_LENGTH,
        "records of an input": decode.MAX_RECORDS,
        "instances of a launch": events.MAX_INSTANCE_IDS,
        "medium": findings.MEDIUM_FROM,
        "high": findings.HIGH_FROM,
        "characters of a name": policy.MAX_NAME_LENGTH,
        "public patterns": policy.MAX_PUBLIC_PATTERNS,
        "one record looked into of": sightings.ONE_IN,
        "records of a long file": sightings.MIN_BOTH_ENDS,
    } == {
        "accounts of an entry": 1_000,
        "letters of a pattern": 4,
        "characters of a user agent": 1_024,
        "records of an input": 10_000,
        "instances of a launch": 1_000,
        "medium": 40,
        "high": 70,
        "characters of a name": 255,
        "public patterns": 200,
        "one record looked into of": 16,
        "records of a long file": 128,
    }


def test_image_without_a_name_is_stored_as_an_empty_one() -> None:
    """Databases hold it, and filters take it for none."""
    assert pipeline.UNNAMED_IMAGE == ""


def test_times_of_the_rule_are_those_that_are_promised() -> None:
    """A default that moves changes what every server finds that has set nothing else."""
    assert (
        timedelta(seconds=1),
        timedelta(minutes=15),
        timedelta(hours=24),
    ) == (policy.MIN_WINDOW, policy.DEFAULT_WINDOW, policy.MAX_WINDOW)
    assert (
        timedelta(hours=24),
        timedelta(days=35),
    ) == (policy.DEFAULT_LATENESS, policy.MAX_LATENESS)
