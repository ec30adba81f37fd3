"""A finding of the core and its message say the same."""

from __future__ import annotations

import pytest

from amiguard_client._from_wire import finding_of
from amiguard_client.cli._convert import finding_message
from amiguard_core.clients import client_of
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import Policy
from tests.data.records import NINE_O_CLOCK, describe_images, run_instances
from tests.data.scenario import scenario
from tests.data.shapes import encode


@pytest.mark.parametrize("seed", range(3))
def test_message_says_what_the_finding_says(seed: int) -> None:
    """Every part of a finding that the contract has a field for arrives in its message."""
    for core in evaluate(map(encode, scenario(seed, searches=60, launches=60)), Policy()):
        found = finding_of(finding_message(core))
        request = core.latest.search.request

        assert found.name == f"findings/{core.key.finding_id()}"
        assert (found.account_id, found.region) == (core.key.account_id, core.key.region)
        assert (found.actor_arn, found.search.fingerprint) == (
            core.key.actor_arn,
            core.key.fingerprint,
        )
        assert found.likelihood_score == core.score
        assert found.likelihood.name == core.likelihood.name
        assert [(s.code, s.score) for s in found.score_steps] == [
            (s.code, s.score) for s in core.steps
        ]
        assert found.search.name_patterns == request.values_of("name")
        assert {f.name for f in found.search.other_filters} == {
            f.name for f in request.filters if f.name != "name"
        }
        assert found.search.reasons == core.reasons
        assert found.search.client == client_of(core.latest.search.origin.user_agent)
        assert found.occurrence_count == len(core.occurrences)
        assert [o.gap for o in found.recent_occurrences] == [o.gap for o in core.occurrences]
        assert found.last_launch_time == core.latest.launch.origin.event_time
        assert found.image_ids == core.image_ids
        assert found.confidence == core.confidence
        assert found.suppression == core.suppression
        assert found.state == ("SUPPRESSED" if core.suppression else "OPEN")


def test_lists_are_as_long_as_the_contract_allows() -> None:
    """Of many launches the newest 20 are shown, with 100 of their instances and images."""
    records = [describe_images(filters={"name": ["acme-*"]})]
    records += [
        run_instances(
            at=NINE_O_CLOCK,
            image_id=f"ami-{number:08x}",
            instance_ids=[f"i-{number:04x}{n:04x}" for n in range(120)],
            event_id=f"00000000-0000-4000-8000-{number:012x}",
        )
        for number in range(130)
    ]

    (core,) = evaluate(map(encode, records), Policy())
    message = finding_message(core)

    assert message.occurrence_count == 130
    assert len(message.recent_occurrences) == 20
    assert len(message.recent_occurrences[0].instance_ids) == 100
    assert len(message.image_ids) == 100
