"""Laws of turning values into messages: all of them get there, and what is absent stays unset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from amiguard.v1.finding_pb2 import Finding
from amiguard_core.events import (
    Launch,
    LaunchPath,
    Origin,
    SearchFilter,
    SearchRequest,
    TemplateVersion,
)
from amiguard_core.findings import FindingKey, ScoreStep
from amiguard_core.remediation import remediate
from amiguard_service.convert import (
    MAX_INSTANCE_IDS,
    finding_id_of,
    finding_message,
    occurrence_message,
)
from amiguard_service.refusals import FieldInvalidError
from amiguard_service.stored import (
    Disposition,
    State,
    StoredFinding,
    StoredOccurrence,
    finding_name,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUEST = SearchRequest(
    filters=(
        SearchFilter("architecture", ("arm64", "x86_64")),
        SearchFilter("name", ("amzn2-*", "ubuntu/*")),
    ),
    owners=("123456789012",),
)
OCCURRENCE = StoredOccurrence(
    search_event_id="search-1",
    search_time=NOON,
    launch_event_id="launch-1",
    launch_time=NOON + timedelta(seconds=90),
    principal_arn="arn:aws:iam::111122223333:user/alice",
    image_ids=("ami-1",),
    instance_ids=("i-1", "i-2"),
    source_ip_address="198.51.100.7",
    user_agent="Boto3/1.37",
    client="boto3",
    launch_path="RunInstances",
    confidence=75,
    suppression=None,
    used_time=NOON + timedelta(seconds=90),
)
FINDING = StoredFinding(
    finding_id="111122223333-0123456789abcdef01234567",
    key=FindingKey(
        account_id="111122223333",
        region="eu-west-1",
        actor_arn="arn:aws:iam::111122223333:role/ci",
        fingerprint=REQUEST.fingerprint(),
    ),
    state=State.OPEN,
    request=REQUEST,
    reasons=("UNTRUSTED_OWNER",),
    client="boto3",
    steps=(
        ScoreStep("BASE", 50, "first"),
        ScoreStep("TRUSTED_IMAGE", 10, "second", allowlist_entry="allowlistEntries/x"),
    ),
    score=10,
    confidence=75,
    occurrence_count=41,
    recent_occurrences=(OCCURRENCE,),
    image_ids=("ami-1",),
    first_launch_time=NOON,
    last_launch_time=NOON + timedelta(hours=1),
    rule_revision=3,
    create_time=NOON + timedelta(microseconds=1),
    update_time=NOON + timedelta(days=1),
    etag="7",
)


def test_every_field_of_a_finding_gets_there() -> None:
    """A finding reads the same as a message, with what to do about it."""
    message = finding_message(FINDING)

    assert FINDING.etag == message.etag
    assert finding_name(FINDING.finding_id) == message.name
    assert (message.state, message.likelihood) == (Finding.STATE_OPEN, Finding.LIKELIHOOD_LOW)
    assert (
        message.likelihood_score,
        message.confidence,
        message.occurrence_count,
        message.rule_revision,
    ) == (10, 75, 41, 3)
    assert FINDING.key == FindingKey(
        message.account_id, message.region, message.actor_arn, message.search.fingerprint
    )
    assert list(FINDING.image_ids) == list(message.image_ids)
    assert [
        (step.code, step.score, step.message, step.allowlist_entry) for step in message.score_steps
    ] == [("BASE", 50, "first", ""), ("TRUSTED_IMAGE", 10, "second", "allowlistEntries/x")]
    for name in ("first_launch_time", "last_launch_time", "create_time", "update_time"):
        assert getattr(FINDING, name) == getattr(message, name).ToDatetime(tzinfo=UTC)


def test_names_and_other_filters_are_told_apart() -> None:
    """The values of the filter `name` are the name patterns; every other filter stays one."""
    search = finding_message(FINDING).search

    assert list(search.name_patterns) == ["amzn2-*", "ubuntu/*"]
    assert [(item.name, list(item.values)) for item in search.other_filters] == [
        ("architecture", ["arm64", "x86_64"])
    ]
    assert (
        list(search.owners),
        list(search.reasons),
        search.client,
    ) == (["123456789012"], ["UNTRUSTED_OWNER"], "boto3")


def test_what_to_do_is_worked_out_for_the_client_seen() -> None:
    """The remediation is that of the core, for the program that made the search."""
    expected = remediate(REQUEST, client="boto3", account_id="111122223333", region="eu-west-1")

    message = finding_message(FINDING).remediation

    assert list(expected.steps) == list(message.steps)
    assert (expected.fix_snippet, expected.fix_language) == (
        message.fix_snippet,
        message.fix_language,
    )
    assert list(expected.suggested_owners) == list(message.suggested_owners)


def test_what_is_absent_stays_unset() -> None:
    """A finding that nobody closed has no disposition and no end of an acceptance."""
    message = finding_message(FINDING)

    assert message.disposition == Finding.DISPOSITION_UNSPECIFIED
    assert not message.HasField("accept_until_time")
    assert (message.suppression, message.assignee, dict(message.labels)) == ("", "", {})


def test_what_handlers_did_gets_there() -> None:
    """The state, the disposition, who handles it and the labels read as they were set."""
    accepted_until = NOON + timedelta(days=30)
    closed = structs.replace(
        FINDING,
        state=State.CLOSED,
        disposition=Disposition.RISK_ACCEPTED,
        accept_until_time=accepted_until,
        assignee="bob",
        labels={"team": "a"},
        suppression="PACKER_PREVALIDATION",
    )

    message = finding_message(closed)

    assert message.state == Finding.STATE_CLOSED
    assert message.disposition == Finding.DISPOSITION_RISK_ACCEPTED
    assert accepted_until == message.accept_until_time.ToDatetime(tzinfo=UTC)
    assert (message.assignee, dict(message.labels)) == ("bob", {"team": "a"})
    assert message.suppression == "PACKER_PREVALIDATION"


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_message(state: State) -> None:
    """No state of the store is unknown to the contract."""
    message = finding_message(structs.replace(FINDING, state=state))

    assert f"STATE_{state}" == Finding.State.Name(message.state)


@pytest.mark.parametrize("disposition", Disposition)
def test_every_disposition_has_its_message(disposition: Disposition) -> None:
    """No disposition of the store is unknown to the contract."""
    message = finding_message(structs.replace(FINDING, disposition=disposition))

    assert f"DISPOSITION_{disposition}" == Finding.Disposition.Name(message.disposition)


def test_every_field_of_an_occurrence_gets_there() -> None:
    """An occurrence reads the same as a message."""
    message = occurrence_message(structs.replace(OCCURRENCE, suppression="PACKER_PREVALIDATION"))

    assert (
        message.search.event_id,
        message.search.event_time.ToDatetime(tzinfo=UTC),
    ) == ("search-1", NOON)
    assert ("launch-1", OCCURRENCE.launch_time) == (
        message.launch.event_id,
        message.launch.event_time.ToDatetime(tzinfo=UTC),
    )
    assert timedelta(seconds=90) == message.gap.ToTimedelta()
    assert list(message.instance_ids) == ["i-1", "i-2"]
    assert (
        message.client,
        message.launch_path,
        message.confidence,
        message.suppression,
    ) == ("boto3", "RunInstances", 75, "PACKER_PREVALIDATION")


def test_launch_from_a_template_says_what_pinned_its_image() -> None:
    """The template, its version and the call that made it; the gap is up to that call."""
    pinned_at = OCCURRENCE.search_time + timedelta(seconds=9)
    pin = Launch(
        Origin(event_id="pin-1", event_time=pinned_at, region="eu-west-1"),
        path=LaunchPath.CREATE_LAUNCH_TEMPLATE,
        template=TemplateVersion("lt-1", "3"),
    )

    message = occurrence_message(structs.replace(OCCURRENCE, pin=pin, used_time=pinned_at))

    given = message.pinned_template
    assert (given.template_id, given.version) == ("lt-1", "3")
    assert (given.pin.event_id, given.pin.event_time.ToDatetime(tzinfo=UTC)) == ("pin-1", pinned_at)
    assert (given.launch_path, message.launch_path) == ("CreateLaunchTemplate", "RunInstances")
    assert message.gap.ToTimedelta() == timedelta(seconds=9)
    assert not occurrence_message(OCCURRENCE).HasField("pinned_template")


def test_instances_are_listed_up_to_a_bound() -> None:
    """An occurrence lists the first hundred of its instances."""
    many = structs.replace(OCCURRENCE, instance_ids=tuple(f"i-{n}" for n in range(1_000)))

    message = occurrence_message(many)

    assert [f"i-{n}" for n in range(MAX_INSTANCE_IDS)] == list(message.instance_ids)


def test_a_name_gives_its_id_back() -> None:
    """The name of a finding and its id are two forms of one thing."""
    assert finding_id_of(finding_name("1-a"), field="name") == "1-a"


@pytest.mark.parametrize("name", ["", "1-a", "findings", "findings/", "finding/1-a", "/findings/1"])
def test_other_texts_are_no_names(name: str) -> None:
    """A text that is no name of a finding is refused with the field it stood in."""
    with pytest.raises(FieldInvalidError) as caught:
        finding_id_of(name, field="finding")

    assert caught.value.field == "finding"
