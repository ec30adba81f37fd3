"""Values in, messages of the wire out: what `_from_wire` read, written again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard.v1 import finding_pb2 as wire

if TYPE_CHECKING:
    from datetime import datetime
    from enum import StrEnum

    from google.protobuf.message import Message

    from amiguard_client.values import EventReference, Finding, Occurrence

_TIMES = (
    "first_launch_time",
    "last_launch_time",
    "accept_until_time",
    "create_time",
    "update_time",
)


def finding_message(finding: Finding) -> wire.Finding:
    """Returns the message a finding was read from; a member this client does not know stays out."""
    search, advice = finding.search, finding.remediation
    message = wire.Finding(
        name=finding.name,
        likelihood_score=finding.likelihood_score,
        confidence=finding.confidence,
        score_steps=[
            wire.ScoreStep(
                code=step.code,
                score=step.score,
                allowlist_entry=step.allowlist_entry or "",
                message=step.message,
            )
            for step in finding.score_steps
        ],
        account_id=finding.account_id,
        region=finding.region,
        actor_arn=finding.actor_arn,
        search=wire.ImageSearch(
            name_patterns=search.name_patterns,
            other_filters=[
                wire.SearchFilter(name=item.name, values=item.values)
                for item in search.other_filters
            ],
            owners=search.owners,
            reasons=search.reasons,
            fingerprint=search.fingerprint,
            client=search.client,
        ),
        occurrence_count=finding.occurrence_count,
        recent_occurrences=[_occurrence_message(o) for o in finding.recent_occurrences],
        image_ids=finding.image_ids,
        remediation=wire.Remediation(
            steps=advice.steps,
            fix_snippet=advice.fix_snippet,
            fix_language=advice.fix_language,
            suggested_owners=advice.suggested_owners,
        ),
        suppression=finding.suppression or "",
        rule_revision=finding.rule_revision,
        assignee=finding.assignee or "",
        labels=finding.labels,
        ocsf_json=finding.ocsf_json or "",
        etag=finding.etag,
    )
    _set_member(message, "state", finding.state)
    _set_member(message, "disposition", finding.disposition)
    _set_member(message, "likelihood", finding.likelihood)
    for field in _TIMES:
        _set_time(message, field, getattr(finding, field))
    return message


def _occurrence_message(occurrence: Occurrence) -> wire.Occurrence:
    message = wire.Occurrence(
        search=_reference_message(occurrence.search),
        launch=_reference_message(occurrence.launch),
        principal_arn=occurrence.principal_arn,
        image_ids=occurrence.image_ids,
        instance_ids=occurrence.instance_ids,
        source_ip_address=occurrence.source_ip_address,
        user_agent=occurrence.user_agent,
        confidence=occurrence.confidence,
        launch_path=occurrence.launch_path,
        suppression=occurrence.suppression or "",
        client=occurrence.client,
        copy_count=occurrence.copy_count if occurrence.copy_count > 1 else 0,
    )
    message.gap.FromTimedelta(occurrence.gap)
    template = occurrence.pinned_template
    if template is not None:
        message.pinned_template.CopyFrom(
            wire.PinnedTemplate(
                template_id=template.template_id,
                version=template.version,
                pin=_reference_message(template.pin),
                launch_path=template.launch_path,
            )
        )
    return message


def _reference_message(event: EventReference) -> wire.EventReference:
    message = wire.EventReference(event_id=event.event_id)
    _set_time(message, "event_time", event.event_time)
    return message


def _set_member(message: wire.Finding, field: str, member: StrEnum | None) -> None:
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    value = kind.values_by_name.get(f"{field.upper()}_{member}") if kind is not None else None
    if value is not None:
        setattr(message, field, value.number)


def _set_time(message: Message, field: str, time: datetime | None) -> None:
    if time is not None:
        getattr(message, field).FromDatetime(time)
