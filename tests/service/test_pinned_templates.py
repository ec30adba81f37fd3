"""A launch template, from the search for its image to what a service launches from it."""

from __future__ import annotations

from datetime import timedelta

from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.finding_pb2 import Finding, PinnedTemplate
from tests.data.identities import aws_service
from tests.data.launch_paths import create_launch_template, template_tags
from tests.data.records import ACCOUNT, NINE_O_CLOCK, describe_images, run_instances
from tests.data.shapes import encode
from tests.service.operating import update_rule
from tests.service.running import TIMEOUT, Running
from tests.service.talking import records, submit

SEARCH = encode(describe_images(filters={"name": ["acme-base-*"]}, event_id="search"))
PIN = encode(create_launch_template(at=NINE_O_CLOCK + timedelta(seconds=30), event_id="pin"))
LAUNCH = encode(
    run_instances(
        identity=aws_service("ec2fleet.amazonaws.com"),
        account=ACCOUNT,
        at=NINE_O_CLOCK + timedelta(days=90),
        tags=template_tags(),
        event_id="launch",
    )
)


def only(running: Running) -> Finding:
    """Returns the one finding that is not set aside."""
    response = running.findings.GetFindings(wire.GetFindingsRequest(), timeout=TIMEOUT)
    (found,) = response.findings
    return found


def test_what_a_service_launches_from_a_pinned_template_is_found(running: Running) -> None:
    """Once its path counts, the launch is of the finding of who pinned, and says by what."""
    update_rule(running, launch_paths=["RunInstances", "CreateLaunchTemplate"])
    opened = submit(running.channel, records(SEARCH, PIN))

    added = submit(running.channel, records(LAUNCH))

    found = only(running)
    launched, pinned = found.recent_occurrences
    assert list(opened.finding_names) == list(added.finding_names) == [found.name]
    assert found.actor_arn == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert (pinned.launch.event_id, pinned.HasField("pinned_template")) == ("pin", False)
    assert (launched.launch.event_id, launched.launch_path) == ("launch", "RunInstances")
    assert (launched.principal_arn, launched.confidence) == ("", pinned.confidence)
    assert launched.pinned_template == PinnedTemplate(
        template_id=template_tags()["aws:ec2launchtemplate:id"],
        version="1",
        pin=pinned.launch,
        launch_path="CreateLaunchTemplate",
    )
    assert launched.gap.ToTimedelta() == timedelta(seconds=30)
