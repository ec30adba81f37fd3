"""Laws of plain values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest

from amiguard_client import Client, State
from amiguard_client.plain import to_plain
from tests.clients.live_server import Live


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (State.OPEN, "OPEN"),
        (datetime(2026, 3, 2, 9, 1, 30, tzinfo=UTC), "2026-03-02T09:01:30Z"),
        (MappingProxyType({"team": ("a", 1, None, True)}), {"team": ["a", 1, None, True]}),
    ],
)
def test_values_become_plain(value: object, plain: object) -> None:
    """Each kind of value has one form."""
    assert to_plain(value) == plain


def test_a_finding_becomes_json(live: Live, live_client: Client) -> None:
    """All of a finding is there under its own names, in what JSON can hold."""
    finding = live_client.get_finding(live.occur(1))

    plain = to_plain(finding)

    assert json.loads(json.dumps(plain)) == plain
    assert plain["name"] == finding.name
    assert plain["search"]["name_patterns"] == list(finding.search.name_patterns)
    (occurrence,) = plain["recent_occurrences"]
    assert timedelta(seconds=occurrence["gap_seconds"]) == finding.recent_occurrences[0].gap
    assert {"etag", "likelihood_score", "remediation", "labels"} <= plain.keys()
