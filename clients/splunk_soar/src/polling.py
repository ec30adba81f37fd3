"""On poll: findings become containers, their occurrences artifacts."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import Final

from soar_sdk.logging import getLogger
from soar_sdk.models.artifact import Artifact
from soar_sdk.models.container import Container
from soar_sdk.params import OnPollParams

from amiguard_client import Client, Finding, Likelihood, Occurrence

from .asset import Asset
from .connection import connected
from .following import Following
from .inputs import at_least_one, list_of
from .outputs import FINDING, finding_fields, occurrence_fields, time_text
from .selection import polled

_SEVERITIES: Final = {
    Likelihood.LOW: "low",
    Likelihood.MEDIUM: "medium",
    Likelihood.HIGH: "high",
    # One that this client is too old to know is not to be overlooked.
    Likelihood.UNKNOWN: "high",
}
_CEF_TYPES: Final = {
    "findingName": [FINDING],
    "awsAccountId": ["aws account id"],
    "imageIds": ["aws ec2 image id"],
    "instanceIds": ["aws ec2 instance id"],
    "sourceAddress": ["ip"],
    "sourceUserName": ["aws arn"],
}
_MAX_SHOWN: Final = 160
"""Characters of patterns in the name of a container, which is read in a column of a list."""


def poll(params: OnPollParams, asset: Asset) -> Iterator[Container | Artifact]:
    """Yields each finding as a container and after it its occurrences as artifacts.

    A scheduled poll yields what changed since the poll before, at first everything there is. "Poll
    now" yields the latest findings, or those named by `container_id`, and leaves the place of the
    scheduled polls as it is. What was yielded before is yielded again when its finding changes: the
    platform knows both by their source data identifiers and keeps one of each.
    """
    with connected(asset) as client:
        for finding in _findings(params, asset, client):
            yield _container_of(finding)
            yield from (
                _artifact_of(finding, occurrence)
                for occurrence in _occurrences(params, client, finding)
            )


def _findings(params: OnPollParams, asset: Asset, client: Client) -> Iterable[Finding]:
    names = list_of(params.container_id)
    if names:
        return map(client.get_finding, names)
    if params.is_manual_poll():
        count = params.container_count or 1
        getLogger().progress(f"Polling the latest findings, at most {count}")
        return islice(client.list_findings(polled(asset), page_size=min(count, 100)), count)
    return Following(
        client,
        polled(asset),
        state=asset.ingest_state,
        max_findings=at_least_one("max_findings", asset.max_findings),
    ).findings()


def _occurrences(params: OnPollParams, client: Client, finding: Finding) -> list[Occurrence]:
    """Returns occurrences, the oldest launch first.

    The platform runs playbooks on the last artifact of a container, which is to be the latest.
    """
    occurrences: Iterable[Occurrence] = finding.recent_occurrences
    if len(finding.recent_occurrences) < finding.occurrence_count:
        occurrences = client.list_occurrences(finding.name, page_size=500)
    if params.is_manual_poll() and params.artifact_count:
        occurrences = islice(occurrences, params.artifact_count)
    return list(occurrences)[::-1]


def _container_of(finding: Finding) -> Container:
    patterns = _shown(finding.search.name_patterns)
    return Container(
        name=f"AMI looked up by name alone: {patterns}",
        description=(
            f"{finding.actor_arn} searched for {patterns} in {finding.account_id} "
            f"{finding.region} without saying whose image it wants, and launched instances after "
            f"that. Likelihood {finding.likelihood} ({finding.likelihood_score}), confidence "
            f"{finding.confidence}."
        ),
        source_data_identifier=finding.name,
        severity=_SEVERITIES[finding.likelihood],
        start_time=time_text(finding.first_launch_time),
        data=finding_fields(finding),
    )


def _artifact_of(finding: Finding, occurrence: Occurrence) -> Artifact:
    images = ", ".join(occurrence.image_ids)
    cef = {
        "findingName": finding.name,
        "awsAccountId": finding.account_id,
        "awsRegion": finding.region,
        "actorArn": finding.actor_arn,
        "namePatterns": ", ".join(finding.search.name_patterns),
        "imageIds": images,
        "instanceIds": ", ".join(occurrence.instance_ids),
        "launchPath": occurrence.launch_path,
        "confidence": occurrence.confidence,
        "externalId": occurrence.launch.event_id,
        "searchEventId": occurrence.search.event_id,
        "sourceUserName": occurrence.principal_arn,
        "requestClientApplication": occurrence.user_agent,
        # CloudTrail names the service where a service of AWS made the call.
        "sourceAddress"
        if _is_address(occurrence.source_ip_address)
        else "sourceHostName": occurrence.source_ip_address,
    }
    return Artifact(
        name=f"Launch of {images or 'an image that is not named'}",
        label="occurrence",
        source_data_identifier=f"{finding.name}/{occurrence.launch.event_id}",
        severity=_SEVERITIES[finding.likelihood],
        start_time=time_text(occurrence.launch.event_time),
        cef=cef,
        cef_types=_CEF_TYPES,
        data=occurrence_fields(occurrence),
    )


def _shown(patterns: Sequence[str]) -> str:
    """Returns patterns on one line of a length that a list has room for."""
    text = " ".join(", ".join(patterns).split()) or "a name that is not known"
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
