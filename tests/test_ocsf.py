"""Laws of findings as OCSF events: every one is valid, and nothing of a finding is lost in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from amiguard.ocsf import DEFAULT_VERSION, VERSIONS, detection_finding
from amiguard.v1.finding_pb2 import EventReference, Finding, Occurrence, ScoreStep, SearchFilter
from amiguard_client.cli._convert import finding_message as message_of
from amiguard_core.events import LaunchPath
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import CorrelateBy, Mode, Policy, RuleConfig
from tests.clients.messages import finding_message
from tests.data.shapes import Record, encode
from tests.data.strategies import record_sets
from tests.ocsf_schema import ocsf, values_at

ROOT = Path(__file__).parents[1]
STATES = [number for number in Finding.State.values() if number]
DISPOSITIONS = Finding.Disposition.values()

texts = st.text(st.characters(codec="utf-8"), max_size=12)
ids = st.text("0123456789abcdef-", max_size=6)
times = st.datetimes(
    min_value=datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis asks for a bound without a zone
    timezones=st.just(UTC),
)
scores = st.integers(0, 100)
arns = st.sampled_from(
    [
        "",
        "arn:aws:iam::012345678901:root",
        "arn:aws:iam::012345678901:user/alice",
        "arn:aws:iam::012345678901:role/path/ci",
        "arn:aws:sts::012345678901:assumed-role/ci/one",
    ]
)
addresses = st.one_of(
    st.sampled_from(
        ["", "AWS Internal", "ec2.amazonaws.com", "fe80::1%" + "x" * 40, "::ffff:192.0.2.1"]
    ),
    st.ip_addresses().map(str),
)


@st.composite
def occurrences(draw: DrawFn) -> Occurrence:
    """Draws what a server may send of an occurrence, the fields of a record as odd as can be."""
    launched = draw(times)
    message = Occurrence(
        search=EventReference(event_id=draw(ids)),
        launch=EventReference(event_id=draw(ids)),
        principal_arn=draw(arns),
        image_ids=draw(st.lists(texts, max_size=2)),
        instance_ids=draw(st.lists(texts, max_size=2)),
        source_ip_address=draw(st.one_of(addresses, texts)),
        user_agent=draw(texts),
        confidence=draw(scores),
        launch_path=draw(st.sampled_from(LaunchPath)),
        suppression=draw(st.sampled_from(["", "PACKER_PREVALIDATION"])),
        client=draw(texts),
    )
    message.launch.event_time.FromDatetime(launched)
    message.search.event_time.FromDatetime(launched - timedelta(seconds=draw(scores)))
    message.gap.FromTimedelta(timedelta(seconds=draw(scores)))
    return message


@st.composite
def findings(draw: DrawFn) -> Finding:
    """Draws what a server may send of a finding, in every state."""
    message = Finding(
        name=f"findings/{draw(ids)}",
        state=draw(st.sampled_from(STATES)),
        disposition=draw(st.sampled_from(DISPOSITIONS)),
        likelihood=draw(st.sampled_from(Finding.Likelihood.values())),
        likelihood_score=draw(scores),
        confidence=draw(scores),
        score_steps=[
            ScoreStep(code=draw(texts), score=draw(scores), allowlist_entry=draw(texts))
            for _ in range(draw(st.integers(0, 2)))
        ],
        account_id=draw(st.sampled_from(["012345678901", "111122223333"])),
        region=draw(st.sampled_from(["eu-west-1", "us-gov-west-1"])),
        actor_arn=draw(arns.filter(bool)),
        occurrence_count=draw(st.integers(0, 2**40)),
        recent_occurrences=draw(st.lists(occurrences(), max_size=3)),
        image_ids=draw(st.lists(texts, max_size=2, unique=True)),
        suppression=draw(st.sampled_from(["", "PACKER_PREVALIDATION", "SAFE_BY_POLICY"])),
        rule_revision=draw(st.integers(0, 2**40)),
        assignee=draw(texts),
        labels=draw(st.dictionaries(texts.filter(bool), texts, max_size=2)),
        etag=draw(texts),
    )
    message.search.name_patterns.extend(draw(st.lists(texts, max_size=5)))
    message.search.other_filters.extend(
        SearchFilter(name=name, values=values)
        for name, values in draw(st.dictionaries(texts, st.lists(texts), max_size=2)).items()
    )
    message.search.owners.extend(draw(st.lists(texts, max_size=2)))
    message.search.reasons.extend(draw(st.lists(texts, max_size=2)))
    message.search.fingerprint = draw(ids)
    message.search.client = draw(texts)
    message.remediation.steps.extend(draw(st.lists(texts, max_size=4)))
    message.remediation.fix_snippet = draw(texts)
    message.first_launch_time.FromDatetime(draw(times))
    message.last_launch_time.FromDatetime(draw(times))
    for field in ("create_time", "update_time", "accept_until_time"):
        if draw(st.booleans()):
            getattr(message, field).FromDatetime(draw(times))
    return message


policies = st.builds(
    Policy,
    rule=st.builds(
        RuleConfig, mode=st.sampled_from(Mode), correlate_by=st.sampled_from(CorrelateBy)
    ),
)


def faults(event: dict[str, Any]) -> list[str]:
    """Returns what the schema the event says it is of finds wrong with it, as it is sent."""
    sent = json.loads(json.dumps(event))
    metadata = event["metadata"]
    return ocsf(metadata["version"]).faults(sent, profiles=metadata["profiles"])


def leaves(value: Any) -> Iterator[Any]:
    """Yields every name and value that an event or a part of it is made of."""
    match value:
        case dict():
            for name, inner in value.items():
                yield name
                yield from leaves(inner)
        case list():
            for inner in value:
                yield from leaves(inner)
        case _:
            yield value


def said_by(message: Message) -> Iterator[Any]:
    """Yields every value of a message as an event puts it: times as milliseconds, enums short."""
    for field, value in message.ListFields():
        if isinstance(value, Timestamp):
            yield value.ToMilliseconds()
        elif isinstance(value, Duration):
            yield value.ToSeconds()
        elif field.enum_type is not None:
            name = field.enum_type.values_by_number[value].name
            yield name.removeprefix(f"{field.name.upper()}_")
        elif isinstance(value, Mapping):
            yield from [*value.keys(), *value.values()]
        else:
            for item in [value] if isinstance(value, Message | str | int) else value:
                yield from said_by(item) if isinstance(item, Message) else [item]


@given(finding=findings(), version=st.sampled_from(VERSIONS))
def test_every_finding_is_a_valid_event(finding: Finding, version: str) -> None:
    """Whatever a server sends, its event is one of the version and the profiles it says."""
    event = detection_finding(finding, version=version)

    assert faults(event) == []
    assert event["metadata"]["version"] == version


@settings(max_examples=50)
@given(records=record_sets(), policy=policies)
def test_what_the_rule_finds_is_a_valid_event(records: list[Record], policy: Policy) -> None:
    """What the rule finds in records, in each mode and under each key, is valid with `cloud`."""
    for finding in evaluate(map(encode, records), policy):
        event = detection_finding(message_of(finding))

        assert faults(event) == []
        assert event["metadata"]["profiles"] == ["cloud"]


@given(finding=findings())
def test_observables_are_where_they_say(finding: Finding) -> None:
    """An observable is the value of the attribute it names, and is listed once."""
    event = detection_finding(finding)

    observables = event["observables"]
    assert all(o["value"] in values_at(event, o["name"]) for o in observables)
    listed = [(o["name"], o["value"]) for o in observables]
    assert len(set(listed)) == len(listed)


def test_nothing_of_a_finding_is_lost() -> None:
    """Every value of a finding stands in its event; the fix stands below the triage steps."""
    finding = finding_message()
    # The event itself, which a server puts beside the rest.
    finding.ClearField("ocsf_json")

    event = detection_finding(finding)

    said = set(leaves(event))
    (fix,) = {value for value in said_by(finding) if value not in said} - {
        "Look into the principal."
    }
    assert fix == finding.remediation.fix_snippet
    assert event["remediation"]["desc"] == f"1. Look into the principal.\n{fix}"


@pytest.mark.parametrize(
    ("state", "status", "activity", "is_alert"),
    [
        ("STATE_OPEN", "New", "Create", True),
        ("STATE_ACKNOWLEDGED", "In Progress", "Create", False),
        ("STATE_CLOSED", "Resolved", "Close", False),
        ("STATE_SUPPRESSED", "Suppressed", "Create", False),
    ],
)
def test_state_is_the_status(state: str, status: str, activity: str, *, is_alert: bool) -> None:
    """Each state has its status; only what nobody has taken up is an alert."""
    finding = finding_message()
    finding.state = Finding.State.Value(state)

    event = detection_finding(finding)

    assert (event["status"], event["activity_name"]) == (status, activity)
    assert event["is_alert"] is is_alert


def test_a_changed_finding_is_an_update() -> None:
    """A finding that has changed since it was made says so, as another event of one finding."""
    finding = finding_message()
    finding.state = Finding.STATE_OPEN
    before = detection_finding(finding)
    finding.update_time.seconds += 60
    finding.etag = "e2"

    event = detection_finding(finding)

    assert (before["activity_name"], event["activity_name"]) == ("Create", "Update")
    assert event["time"] - before["time"] == 60_000
    assert event["metadata"]["uid"] != before["metadata"]["uid"]
    assert event["finding_info"]["uid"] == before["finding_info"]["uid"] == "findings/00ff"


@pytest.mark.parametrize(
    ("likelihood", "severity"),
    [
        ("LIKELIHOOD_UNSPECIFIED", "Unknown"),
        ("LIKELIHOOD_LOW", "Low"),
        ("LIKELIHOOD_MEDIUM", "Medium"),
        ("LIKELIHOOD_HIGH", "High"),
    ],
)
def test_likelihood_is_the_severity(likelihood: str, severity: str) -> None:
    """How likely an outsider's image could be picked is how severe the event is."""
    finding = finding_message()
    finding.likelihood = Finding.Likelihood.Value(likelihood)

    assert detection_finding(finding)["severity"] == severity


@pytest.mark.parametrize(
    ("confidence", "caption"),
    [(0, "Low"), (39, "Low"), (40, "Medium"), (69, "Medium"), (70, "High"), (100, "High")],
)
def test_confidence_has_the_bands_of_the_likelihood(confidence: int, caption: str) -> None:
    """The confidence is passed on as it is, and in three bands."""
    finding = finding_message()
    finding.confidence = confidence

    event = detection_finding(finding)

    assert (event["confidence_score"], event["confidence"]) == (confidence, caption)


def test_handlers_are_told_in_the_profile_incident() -> None:
    """Who handles a finding and what it turned out to be are said once there is something to say.

    An event without them is valid for whoever knows the profile `cloud` alone.
    """
    closed = finding_message()
    fresh = finding_message()
    fresh.state = Finding.STATE_OPEN
    for field in ("disposition", "assignee", "accept_until_time"):
        fresh.ClearField(field)

    told, untold = detection_finding(closed), detection_finding(fresh)

    assert (told["assignee"], told["verdict"]) == ({"name": "ops"}, "Security Risk")
    assert told["status_detail"] == "Closed as RISK_ACCEPTED until 2026-03-31T10:00:00Z"
    assert told["metadata"]["profiles"] == ["cloud", "incident"]
    assert untold["metadata"]["profiles"] == ["cloud"]
    assert not {"assignee", "verdict", "verdict_id"} & untold.keys()


def test_the_technique_is_that_of_the_rule() -> None:
    """An event names the tactic and the technique that the published rule names."""
    (attack,) = detection_finding(finding_message())["finding_info"]["attacks"]

    assert (attack["tactic"]["uid"], attack["technique"]["uid"]) == ("TA0001", "T1195")


def test_evidences_are_the_calls() -> None:
    """The search comes first with what it asked for, then each launch with what it started."""
    search, launch = detection_finding(finding_message())["evidences"]

    assert (search["uid"], search["api"]["operation"]) == ("s1", "DescribeImages")
    assert search["data"]["name_patterns"] == ["ubuntu/images/*"]
    assert (launch["uid"], launch["api"]["operation"]) == ("l1", "RunInstances")
    assert [resource["uid"] for resource in launch["resources"]] == ["ami-1", "i-1"]
    assert launch["src_endpoint"] == {"ip": "192.0.2.1"}
    assert launch["actor"]["session"] == {"issuer": "arn:aws:iam::000123456789:role/deploy"}
    assert launch["data"]["gap_seconds"] == 42


def test_a_service_is_no_address() -> None:
    """A caller that CloudTrail names by service is not said to have an address."""
    finding = finding_message()
    finding.recent_occurrences[0].source_ip_address = "ec2.amazonaws.com"

    _, launch = detection_finding(finding)["evidences"]

    assert launch["src_endpoint"] == {"svc_name": "ec2.amazonaws.com"}


def test_a_newer_server_is_told_as_far_as_it_is_known() -> None:
    """A state or verdict that this release does not know is Unknown, and the event is valid."""
    finding = finding_message()
    finding.MergeFromString(b"\x10\x63\x18\x63\x20\x63")  # state, disposition, likelihood = 99

    event = detection_finding(finding)

    assert (event["status"], event["verdict"], event["severity"]) == ("Unknown",) * 3
    assert faults(event) == []


@pytest.mark.parametrize("version", ["", "1.5", "1.4.0", "2.0.0"])
def test_other_versions_are_refused(version: str) -> None:
    """A version that events are not held against is refused, with those that are."""
    with pytest.raises(ValueError, match=f"got OCSF version '{version}', expected one of 1.5.0"):
        detection_finding(finding_message(), version=version)


def test_a_finding_without_a_time_is_refused() -> None:
    """No event is dated 1970 for want of a time."""
    with pytest.raises(ValueError, match="expected update_time or last_launch_time"):
        detection_finding(Finding(name="findings/x"))


def test_the_default_is_what_the_schemas_of_today_read() -> None:
    """Unless asked, an event is of version 1.5.0."""
    assert DEFAULT_VERSION == "1.5.0"
    assert detection_finding(finding_message())["metadata"]["version"] == "1.5.0"


def test_the_page_says_what_is_where() -> None:
    """Each attribute that docs/ocsf.md names is there, in an event of a finding that has it all."""
    page = (ROOT / "docs/ocsf.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\S+?)`", row)]

    event = detection_finding(finding_message())

    assert len(named) > 30
    assert [name for name in named if not values_at(event, name)] == []
    assert f"{', '.join(VERSIONS[1:-1])} and {VERSIONS[-1]} are known" in page
