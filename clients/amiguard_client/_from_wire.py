"""Messages of the wire in, values out."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeVar

from amiguard_client.values import (
    Disposition,
    EventReference,
    Finding,
    FindingHistoryEntry,
    ImageSearch,
    Likelihood,
    Occurrence,
    PinnedTemplate,
    Remediation,
    ScoreStep,
    SearchFilter,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from amiguard.v1 import finding_pb2 as wire

_Kind = TypeVar("_Kind", bound="StrEnum")


def finding_of(message: wire.Finding) -> Finding:
    """Returns the value of a finding."""
    return Finding(
        name=message.name,
        state=member_of(State, message, "state"),
        disposition=(
            member_of(Disposition, message, "disposition") if message.disposition else None
        ),
        likelihood=member_of(Likelihood, message, "likelihood"),
        likelihood_score=message.likelihood_score,
        confidence=message.confidence,
        score_steps=tuple(_step_of(step) for step in message.score_steps),
        account_id=message.account_id,
        region=message.region,
        actor_arn=message.actor_arn,
        search=_search_of(message.search),
        occurrence_count=message.occurrence_count,
        recent_occurrences=tuple(occurrence_of(o) for o in message.recent_occurrences),
        image_ids=tuple(message.image_ids),
        first_launch_time=time_of(message, "first_launch_time"),
        last_launch_time=time_of(message, "last_launch_time"),
        remediation=_remediation_of(message.remediation),
        suppression=message.suppression or None,
        rule_revision=message.rule_revision,
        assignee=message.assignee or None,
        labels=_frozen(message.labels),
        accept_until_time=time_of(message, "accept_until_time"),
        create_time=time_of(message, "create_time"),
        update_time=time_of(message, "update_time"),
        ocsf_json=message.ocsf_json or None,
        etag=message.etag,
    )


def occurrence_of(message: wire.Occurrence) -> Occurrence:
    """Returns the value of an occurrence."""
    return Occurrence(
        search=_reference_of(message.search),
        launch=_reference_of(message.launch),
        gap=message.gap.ToTimedelta(),
        principal_arn=message.principal_arn,
        image_ids=tuple(message.image_ids),
        instance_ids=tuple(message.instance_ids),
        source_ip_address=message.source_ip_address,
        user_agent=message.user_agent,
        confidence=message.confidence,
        launch_path=message.launch_path,
        suppression=message.suppression or None,
        client=message.client,
        pinned_template=_template_of(message),
        copy_count=message.copy_count or 1,
    )


def _template_of(message: wire.Occurrence) -> PinnedTemplate | None:
    if not message.HasField("pinned_template"):
        return None
    given = message.pinned_template
    return PinnedTemplate(
        template_id=given.template_id,
        version=given.version,
        pin=_reference_of(given.pin),
        launch_path=given.launch_path,
    )


def history_entry_of(message: wire.FindingHistoryEntry) -> FindingHistoryEntry:
    """Returns the value of a move or an edit."""

    def labels(name: Literal["labels_before", "labels_after"]) -> Mapping[str, str] | None:
        return _frozen(getattr(message, name).labels) if message.HasField(name) else None

    return FindingHistoryEntry(
        change_time=time_of(message, "change_time"),
        actor=message.actor,
        state_before=(
            member_of(State, message, "state_before", of="state") if message.state_before else None
        ),
        state_after=member_of(State, message, "state_after", of="state"),
        disposition=(
            member_of(Disposition, message, "disposition") if message.disposition else None
        ),
        accept_until_time=time_of(message, "accept_until_time"),
        assignee=message.assignee or None,
        comment=message.comment or None,
        assignee_before=message.assignee_before if message.HasField("assignee_before") else None,
        labels_before=labels("labels_before"),
        labels_after=labels("labels_after"),
    )


def _search_of(message: wire.ImageSearch) -> ImageSearch:
    return ImageSearch(
        name_patterns=tuple(message.name_patterns),
        other_filters=tuple(
            SearchFilter(name=item.name, values=tuple(item.values))
            for item in message.other_filters
        ),
        owners=tuple(message.owners),
        reasons=tuple(message.reasons),
        fingerprint=message.fingerprint,
        client=message.client,
    )


def _reference_of(message: wire.EventReference) -> EventReference:
    return EventReference(event_id=message.event_id, event_time=time_of(message, "event_time"))


def _step_of(message: wire.ScoreStep) -> ScoreStep:
    return ScoreStep(
        code=message.code,
        score=message.score,
        allowlist_entry=message.allowlist_entry or None,
        message=message.message,
    )


def _remediation_of(message: wire.Remediation) -> Remediation:
    return Remediation(
        steps=tuple(message.steps),
        fix_snippet=message.fix_snippet,
        fix_language=message.fix_language,
        suggested_owners=tuple(message.suggested_owners),
    )


def time_of(message: Message, name: str) -> datetime | None:
    """Returns the time a field holds, None where it is not set."""
    if not message.HasField(name):
        return None
    stamp: Timestamp = getattr(message, name)
    return stamp.ToDatetime(tzinfo=UTC)


def member_of(kind: type[_Kind], message: Message, field: str, *, of: str | None = None) -> _Kind:
    """Returns the member a field holds, UNKNOWN for one that is new or never sent.

    `of` names the kind of the field where the field's own name is another.
    """
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    value = enum.values_by_number.get(getattr(message, field)) if enum is not None else None
    name = value.name.removeprefix(f"{(of or field).upper()}_") if value is not None else ""
    return kind.__members__.get(name) or kind("UNKNOWN")


def _frozen(labels: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(labels))
