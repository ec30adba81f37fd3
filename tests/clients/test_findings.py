"""Findings come as values, page by page, with nothing lost on the way."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amiguard.v1 import finding_pb2, finding_service_pb2
from amiguard_client import (
    Client,
    Disposition,
    EventReference,
    Finding,
    ImageSearch,
    Likelihood,
    NotFoundError,
    Occurrence,
    PinnedTemplate,
    Remediation,
    ScoreStep,
    SearchFilter,
    State,
)
from tests.clients.messages import (
    finding_message,
    occurrence_message,
    pinned_occurrence_message,
)
from tests.clients.scripted_server import ScriptedServer

TIME = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)


def test_finding_is_read_in_full(server: ScriptedServer, client: Client) -> None:
    """Every part of a finding arrives, with aware times and durations."""
    server.findings.findings = [finding_message()]

    found = client.get_finding("findings/00ff")

    assert found == Finding(
        name="findings/00ff",
        state=State.CLOSED,
        disposition=Disposition.RISK_ACCEPTED,
        likelihood=Likelihood.HIGH,
        likelihood_score=95,
        confidence=75,
        score_steps=(
            ScoreStep(code="BASE", score=50, allowlist_entry=None, message="to begin with"),
            ScoreStep(
                code="ORGANIZATION_PATTERN",
                score=10,
                allowlist_entry="allowlistEntries/ours",
                message="ours",
            ),
        ),
        account_id="000123456789",
        region="eu-west-1",
        actor_arn="arn:aws:iam::000123456789:role/deploy",
        search=ImageSearch(
            name_patterns=("ubuntu/images/*",),
            other_filters=(SearchFilter(name="architecture", values=("x86_64",)),),
            owners=("000000000001",),
            reasons=("NO_OWNER",),
            fingerprint="ab" * 32,
            client="terraform",
        ),
        occurrence_count=7,
        recent_occurrences=(occurrence(),),
        image_ids=("ami-1", "ami-2"),
        first_launch_time=TIME,
        last_launch_time=TIME + timedelta(days=1),
        remediation=Remediation(
            steps=("Look into the principal.",),
            fix_snippet='owners = ["099720109477"]',
            fix_language="hcl",
            suggested_owners=("099720109477",),
        ),
        suppression="PACKER_PREVALIDATION",
        rule_revision=3,
        assignee="ops",
        labels={"team": "blue"},
        accept_until_time=TIME + timedelta(days=30),
        create_time=TIME,
        update_time=TIME,
        ocsf_json="{}",
        etag="e1",
    )


def occurrence() -> Occurrence:
    """Returns the value of `occurrence_message`."""
    return Occurrence(
        search=EventReference(event_id="s1", event_time=TIME),
        launch=EventReference(event_id="l1", event_time=TIME + timedelta(seconds=42)),
        gap=timedelta(seconds=42),
        principal_arn="arn:aws:sts::000123456789:assumed-role/deploy/x",
        image_ids=("ami-1",),
        instance_ids=("i-1",),
        source_ip_address="192.0.2.1",
        user_agent="APN/1.0 HashiCorp/1.0 Terraform/1.1.2",
        confidence=90,
        launch_path="RunInstances",
        suppression="PACKER_PREVALIDATION",
        client="terraform",
    )


def test_launch_from_a_template_is_read_in_full(server: ScriptedServer, client: Client) -> None:
    """The template and the call that pinned an image into it are there."""
    server.findings.occurrences = [pinned_occurrence_message()]

    (found,) = client.list_occurrences("f")

    pinned = PinnedTemplate(
        template_id="lt-1",
        version="2",
        pin=EventReference(event_id="t1", event_time=TIME + timedelta(seconds=30)),
        launch_path="CreateLaunchTemplateVersion",
    )
    assert found == replace(occurrence(), gap=timedelta(seconds=30), pinned_template=pinned)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Finding, finding_pb2.Finding),
        (Occurrence, finding_pb2.Occurrence),
        (PinnedTemplate, finding_pb2.PinnedTemplate),
        (ImageSearch, finding_pb2.ImageSearch),
        (SearchFilter, finding_pb2.SearchFilter),
        (EventReference, finding_pb2.EventReference),
        (ScoreStep, finding_pb2.ScoreStep),
        (Remediation, finding_pb2.Remediation),
    ],
)
def test_values_mirror_messages(value: Any, message: Any) -> None:
    """A value has the fields of its message, by the same names and in the same order."""
    assert [field.name for field in fields(value)] == [f.name for f in message.DESCRIPTOR.fields]


def test_absent_is_none(server: ScriptedServer, client: Client) -> None:
    """What is not set is None, never an empty text or the year 1970."""
    server.findings.findings = [finding_pb2.Finding(name="findings/f", state="STATE_OPEN")]  # type: ignore[arg-type]  # protobuf takes names too

    found = client.get_finding("f")

    assert found.state is State.OPEN
    assert found.disposition is None
    assert found.suppression is None
    assert found.assignee is None
    assert found.last_launch_time is None
    assert found.create_time is None


def test_state_of_a_newer_server_is_unknown(server: ScriptedServer, client: Client) -> None:
    """A state this client has never heard of does not keep the finding from it."""
    newer = finding_pb2.Finding(name="findings/f")
    newer.MergeFromString(b"\x10\x63")  # state = 99
    server.findings.findings = [newer]

    assert client.get_finding("f").state is State.UNKNOWN


def test_missing_finding_is_not_found(client: Client) -> None:
    """A name that stands for nothing is said to, by that name."""
    with pytest.raises(NotFoundError, match="findings/nothing"):
        client.get_finding("nothing")


def test_listing_asks_for_pages_as_they_are_needed(server: ScriptedServer, client: Client) -> None:
    """A list of any length is read a page at a time, no page before it is needed."""
    server.findings.findings = [finding_pb2.Finding(name=f"findings/{n}") for n in range(5)]

    listing = client.list_findings("state = OPEN", order_by="create_time", page_size=2)
    first = [next(listing).name, next(listing).name]
    asked_before = len(server.findings.requests)
    rest = [found.name for found in listing]

    assert asked_before == 1
    assert first + rest == [f"findings/{n}" for n in range(5)]
    assert server.findings.requests == [
        finding_service_pb2.GetFindingsRequest(
            filter="state = OPEN", order_by="create_time", page_size=2, page_token=token
        )
        for token in ("", "2", "4")
    ]


def test_occurrences_are_listed_to_the_end(server: ScriptedServer, client: Client) -> None:
    """All occurrences of a finding come, over as many pages as there are."""
    server.findings.occurrences = [occurrence_message()] * 5

    found = list(client.list_occurrences("00ff", page_size=2))

    assert found == [occurrence()] * 5
    assert len(server.findings.requests) == 3
