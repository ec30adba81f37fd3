"""Values in, messages of the wire out. What is absent stays unset."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from amiguard.ocsf import detection_finding
from amiguard.v1 import error_reason_pb2, finding_pb2, ingest_service_pb2
from amiguard_core.decode import Rejection
from amiguard_core.events import Launch, SearchFilter, SearchRequest
from amiguard_core.findings import ScoreStep
from amiguard_core.judge import NAME_FILTER
from amiguard_core.remediation import remediate
from amiguard_service.intake import Outcome
from amiguard_service.limits import MAX_LISTED_FINDINGS, MAX_LISTED_REJECTIONS
from amiguard_service.refusals import FieldInvalidError
from amiguard_service.stored import (
    FINDINGS,
    Disposition,
    HistoryEntry,
    State,
    StoredFinding,
    StoredOccurrence,
    finding_name,
)

MAX_INSTANCE_IDS: Final = 100
"""Instances listed with an occurrence, as the contract says."""

_NANOS_PER_SECOND: Final = 1_000_000_000

MAX_ID_LENGTH: Final = 256
"""Longest finding id that is looked up; those that are given out are far shorter."""


def finding_id_of(name: str, *, field: str) -> str:
    """Returns the id in the name of a finding; `field` is where the name stood in the request."""
    finding_id = name.removeprefix(FINDINGS)
    is_id = 0 < len(finding_id) <= MAX_ID_LENGTH and "\x00" not in finding_id
    if not name.startswith(FINDINGS) or not is_id:
        got = "nothing" if not name else "another text"
        raise FieldInvalidError(field, got=got, expected="findings/{finding_id}")
    return finding_id


def with_ocsf(message: finding_pb2.Finding) -> finding_pb2.Finding:
    """Fills in a finding's OCSF event, and returns the finding."""
    message.ocsf_json = json.dumps(detection_finding(message), separators=(",", ":"))
    return message


def finding_message(finding: StoredFinding) -> finding_pb2.Finding:
    """Returns a finding with what to do about it."""
    key = finding.key
    message = finding_pb2.Finding(
        name=finding_name(finding.finding_id),
        state=_state_value(finding.state),
        likelihood=finding_pb2.Finding.Likelihood.Value(f"LIKELIHOOD_{finding.likelihood}"),
        likelihood_score=finding.score,
        confidence=finding.confidence,
        score_steps=[_step_message(step) for step in finding.steps],
        account_id=key.account_id,
        region=key.region,
        actor_arn=key.actor_arn,
        search=_search_message(finding),
        occurrence_count=finding.occurrence_count,
        recent_occurrences=[occurrence_message(o) for o in finding.recent_occurrences],
        image_ids=finding.image_ids,
        first_launch_time=_timestamp(finding.first_launch_time),
        last_launch_time=_timestamp(finding.last_launch_time),
        remediation=_remediation_message(finding),
        suppression=finding.suppression or "",
        rule_revision=finding.rule_revision,
        assignee=finding.assignee,
        labels=finding.labels,
        create_time=_timestamp(finding.create_time),
        update_time=_timestamp(finding.update_time),
        etag=finding.etag,
    )
    if finding.disposition is not None:
        message.disposition = _disposition_value(finding.disposition)
    if finding.accept_until_time is not None:
        message.accept_until_time.CopyFrom(_timestamp(finding.accept_until_time))
    return message


def occurrence_message(occurrence: StoredOccurrence) -> finding_pb2.Occurrence:
    """Returns one occurrence."""
    gap = Duration()
    gap.FromTimedelta(occurrence.gap)
    message = finding_pb2.Occurrence(
        search=finding_pb2.EventReference(
            event_id=occurrence.search_event_id, event_time=_timestamp(occurrence.search_time)
        ),
        launch=finding_pb2.EventReference(
            event_id=occurrence.launch_event_id, event_time=_timestamp(occurrence.launch_time)
        ),
        gap=gap,
        principal_arn=occurrence.principal_arn or "",
        image_ids=occurrence.image_ids,
        instance_ids=occurrence.instance_ids[:MAX_INSTANCE_IDS],
        source_ip_address=occurrence.source_ip_address,
        user_agent=occurrence.user_agent,
        confidence=occurrence.confidence,
        launch_path=occurrence.launch_path,
        suppression=occurrence.suppression or "",
        client=occurrence.client,
        copy_count=occurrence.copy_count if occurrence.copy_count > 1 else 0,
    )
    if occurrence.pin is not None:
        message.pinned_template.CopyFrom(_pinned_message(occurrence.pin))
    return message


def _pinned_message(pin: Launch) -> finding_pb2.PinnedTemplate:
    assert pin.template is not None  # noqa: S101 - a pin made a version of a template
    return finding_pb2.PinnedTemplate(
        template_id=pin.template.template_id,
        version=pin.template.version,
        pin=finding_pb2.EventReference(
            event_id=pin.origin.event_id, event_time=_timestamp(pin.origin.event_time)
        ),
        launch_path=pin.path,
    )


def history_entry_message(entry: HistoryEntry) -> finding_pb2.FindingHistoryEntry:
    """Returns one move or edit of a finding."""
    message = finding_pb2.FindingHistoryEntry(
        change_time=_timestamp(entry.time),
        actor=entry.actor,
        state_after=_state_value(entry.state_after),
        assignee=entry.assignee,
        comment=entry.comment,
    )
    if entry.state_before is not None:
        message.state_before = _state_value(entry.state_before)
    if entry.disposition is not None:
        message.disposition = _disposition_value(entry.disposition)
    if entry.accept_until_time is not None:
        message.accept_until_time.CopyFrom(_timestamp(entry.accept_until_time))
    if entry.edit is not None:
        edit = entry.edit
        if edit.assignee_before is not None:
            message.assignee_before = edit.assignee_before
        if edit.labels_before is not None:
            message.labels_before.labels.update(edit.labels_before)
            message.labels_before.SetInParent()
        if edit.labels_after is not None:
            message.labels_after.labels.update(edit.labels_after)
            message.labels_after.SetInParent()
    return message


def read_time(stamp: Timestamp, *, field: str) -> datetime:
    """Returns the time in a field, to the microsecond; raises FieldInvalidError for none."""
    try:
        if 0 <= stamp.nanos < _NANOS_PER_SECOND:
            return stamp.ToDatetime(tzinfo=UTC)
    except (OverflowError, ValueError):
        pass
    got = f"{stamp.seconds} s and {stamp.nanos} ns"
    raise FieldInvalidError(field, got=got, expected="a time in the years 1 to 9999")


def ack_message(outcome: Outcome, *, sequence: int = 0) -> ingest_service_pb2.BatchAck:
    """Returns what a forwarder is told of a committed batch."""
    return ingest_service_pb2.BatchAck(
        sequence=sequence,
        accepted_count=outcome.accepted_count,
        relevant_count=outcome.relevant_count,
        duplicate_count=outcome.duplicate_count,
        rejected_count=len(outcome.rejections),
        rejections=[_rejection_message(r) for r in outcome.rejections[:MAX_LISTED_REJECTIONS]],
        finding_names=[finding_name(i) for i in outcome.finding_ids[:MAX_LISTED_FINDINGS]],
    )


def _rejection_message(rejection: Rejection) -> ingest_service_pb2.RecordRejection:
    return ingest_service_pb2.RecordRejection(
        index=rejection.index,
        reason=error_reason_pb2.ERROR_REASON_RECORD_MALFORMED,
        message=rejection.message,
        path=rejection.path,
    )


def _search_message(finding: StoredFinding) -> finding_pb2.ImageSearch:
    request = finding.request
    return finding_pb2.ImageSearch(
        name_patterns=request.values_of(NAME_FILTER),
        other_filters=[_filter_message(item) for item in _other_filters(request)],
        owners=request.owners,
        reasons=finding.reasons,
        fingerprint=finding.key.fingerprint,
        client=finding.client,
    )


def _other_filters(request: SearchRequest) -> list[SearchFilter]:
    return [item for item in request.filters if item.name != NAME_FILTER]


def _filter_message(item: SearchFilter) -> finding_pb2.SearchFilter:
    return finding_pb2.SearchFilter(name=item.name, values=item.values)


def _step_message(step: ScoreStep) -> finding_pb2.ScoreStep:
    return finding_pb2.ScoreStep(
        code=step.code,
        score=step.score,
        allowlist_entry=step.allowlist_entry or "",
        message=step.message,
    )


def _remediation_message(finding: StoredFinding) -> finding_pb2.Remediation:
    advice = remediate(
        finding.request,
        client=finding.client,
        account_id=finding.key.account_id,
        region=finding.key.region,
    )
    return finding_pb2.Remediation(
        steps=advice.steps,
        fix_snippet=advice.fix_snippet,
        fix_language=advice.fix_language,
        suggested_owners=advice.suggested_owners,
    )


def _state_value(state: State) -> finding_pb2.Finding.State.ValueType:
    return finding_pb2.Finding.State.Value(f"STATE_{state}")


def _disposition_value(disposition: Disposition) -> finding_pb2.Finding.Disposition.ValueType:
    return finding_pb2.Finding.Disposition.Value(f"DISPOSITION_{disposition}")


def _timestamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
