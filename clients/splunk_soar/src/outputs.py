"""What actions return, made of the client's values."""

from datetime import datetime
from typing import Any

from soar_sdk.action_results import ActionOutput, OutputField

from amiguard_client import Finding, FindingHistoryEntry, Occurrence

FINDING = "amiguard finding"
"""What `contains` calls a finding, so that the platform offers the actions that take one."""
_ACCOUNT = "aws account id"
_IMAGE = "aws ec2 image id"
_INSTANCE = "aws ec2 instance id"
_ARN = "aws arn"


class ScoreStepOutput(ActionOutput):
    """One step of a likelihood."""

    code: str = OutputField(example_values=["BASE", "PUBLIC_NAME_FAMILY"])
    score: int = OutputField(example_values=[50, 85])
    allowlist_entry: str | None
    message: str


class FilterOutput(ActionOutput):
    """One further filter of a search."""

    name: str = OutputField(example_values=["architecture"])
    values: list[str]


class LabelOutput(ActionOutput):
    """One label of a finding."""

    key: str
    value: str


class FindingOutput(ActionOutput):
    """One finding. Times are RFC 3339 in UTC."""

    name: str = OutputField(cef_types=[FINDING], column_name="Finding")
    state: str = OutputField(
        example_values=["OPEN", "ACKNOWLEDGED", "CLOSED", "SUPPRESSED"], column_name="State"
    )
    disposition: str | None = OutputField(example_values=["TRUE_POSITIVE", "RISK_ACCEPTED"])
    likelihood: str = OutputField(
        example_values=["LOW", "MEDIUM", "HIGH"], column_name="Likelihood"
    )
    likelihood_score: int = OutputField(example_values=[85], column_name="Score")
    confidence: int = OutputField(example_values=[90], column_name="Confidence")
    account_id: str = OutputField(
        cef_types=[_ACCOUNT], example_values=["123456789012"], column_name="Account"
    )
    region: str = OutputField(example_values=["eu-west-1"], column_name="Region")
    actor_arn: str = OutputField(cef_types=[_ARN], column_name="Actor")
    name_patterns: list[str] = OutputField(
        example_values=["ubuntu/images/*"], column_name="Searched"
    )
    other_filters: list[FilterOutput]
    owners: list[str]
    reasons: list[str] = OutputField(example_values=["NO_OWNER"])
    client: str = OutputField(example_values=["Terraform"])
    occurrence_count: int = OutputField(example_values=[3], column_name="Occurrences")
    image_ids: list[str] = OutputField(cef_types=[_IMAGE])
    first_launch_time: str | None
    last_launch_time: str | None = OutputField(column_name="Last launch")
    assignee: str | None
    labels: list[LabelOutput]
    suppression: str | None
    accept_until_time: str | None
    create_time: str | None
    update_time: str | None
    rule_revision: int
    etag: str
    score_steps: list[ScoreStepOutput]
    triage_steps: list[str]
    fix_snippet: str
    fix_language: str
    suggested_owners: list[str]


class OccurrenceOutput(ActionOutput):
    """One launch that followed the search."""

    search_event_id: str
    search_time: str | None
    launch_event_id: str
    launch_time: str | None
    gap_seconds: int = OutputField(example_values=[30])
    principal_arn: str = OutputField(cef_types=[_ARN])
    image_ids: list[str] = OutputField(cef_types=[_IMAGE])
    instance_ids: list[str] = OutputField(cef_types=[_INSTANCE])
    source_ip_address: str = OutputField(cef_types=["ip"], example_values=["198.51.100.7"])
    user_agent: str
    client: str
    confidence: int = OutputField(example_values=[90])
    launch_path: str = OutputField(example_values=["RunInstances"])
    suppression: str | None


class HistoryOutput(ActionOutput):
    """One move of a finding from state to state."""

    change_time: str | None
    actor: str
    state_before: str | None
    state_after: str
    disposition: str | None
    accept_until_time: str | None
    assignee: str | None
    comment: str | None


class FindingDetailOutput(FindingOutput):
    """One finding in full."""

    occurrences: list[OccurrenceOutput]
    history: list[HistoryOutput]


def finding_fields(finding: Finding) -> dict[str, Any]:
    """Returns the fields of FindingOutput."""
    return {
        "name": finding.name,
        "state": finding.state.value,
        "disposition": finding.disposition and finding.disposition.value,
        "likelihood": finding.likelihood.value,
        "likelihood_score": finding.likelihood_score,
        "confidence": finding.confidence,
        "account_id": finding.account_id,
        "region": finding.region,
        "actor_arn": finding.actor_arn,
        "name_patterns": list(finding.search.name_patterns),
        "other_filters": [
            {"name": filter_.name, "values": list(filter_.values)}
            for filter_ in finding.search.other_filters
        ],
        "owners": list(finding.search.owners),
        "reasons": list(finding.search.reasons),
        "client": finding.search.client,
        "occurrence_count": finding.occurrence_count,
        "image_ids": list(finding.image_ids),
        "first_launch_time": time_text(finding.first_launch_time),
        "last_launch_time": time_text(finding.last_launch_time),
        "assignee": finding.assignee,
        "labels": [{"key": key, "value": value} for key, value in finding.labels.items()],
        "suppression": finding.suppression,
        "accept_until_time": time_text(finding.accept_until_time),
        "create_time": time_text(finding.create_time),
        "update_time": time_text(finding.update_time),
        "rule_revision": finding.rule_revision,
        "etag": finding.etag,
        "score_steps": [
            {
                "code": step.code,
                "score": step.score,
                "allowlist_entry": step.allowlist_entry,
                "message": step.message,
            }
            for step in finding.score_steps
        ],
        "triage_steps": list(finding.remediation.steps),
        "fix_snippet": finding.remediation.fix_snippet,
        "fix_language": finding.remediation.fix_language,
        "suggested_owners": list(finding.remediation.suggested_owners),
    }


def occurrence_fields(occurrence: Occurrence) -> dict[str, Any]:
    """Returns the fields of OccurrenceOutput."""
    return {
        "search_event_id": occurrence.search.event_id,
        "search_time": time_text(occurrence.search.event_time),
        "launch_event_id": occurrence.launch.event_id,
        "launch_time": time_text(occurrence.launch.event_time),
        "gap_seconds": int(occurrence.gap.total_seconds()),
        "principal_arn": occurrence.principal_arn,
        "image_ids": list(occurrence.image_ids),
        "instance_ids": list(occurrence.instance_ids),
        "source_ip_address": occurrence.source_ip_address,
        "user_agent": occurrence.user_agent,
        "client": occurrence.client,
        "confidence": occurrence.confidence,
        "launch_path": occurrence.launch_path,
        "suppression": occurrence.suppression,
    }


def history_fields(entry: FindingHistoryEntry) -> dict[str, Any]:
    """Returns the fields of HistoryOutput."""
    return {
        "change_time": time_text(entry.change_time),
        "actor": entry.actor,
        "state_before": entry.state_before and entry.state_before.value,
        "state_after": entry.state_after.value,
        "disposition": entry.disposition and entry.disposition.value,
        "accept_until_time": time_text(entry.accept_until_time),
        "assignee": entry.assignee,
        "comment": entry.comment,
    }


def time_text(time: datetime | None) -> str | None:
    """Returns a time as RFC 3339 has it."""
    return None if time is None else time.isoformat().replace("+00:00", "Z")
