"""Findings of the core in, messages of the wire out: what a server would send of them.

What only a server knows stays unset: times of its own, etag, handlers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard.v1 import finding_pb2 as wire
from amiguard_core.clients import client_of
from amiguard_core.judge import NAME_FILTER
from amiguard_core.remediation import remediate

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from amiguard_core.events import Origin
    from amiguard_core.findings import Finding, Occurrence, ScoreStep

MAX_RECENT_OCCURRENCES = 20
MAX_IMAGE_IDS = 100
MAX_INSTANCE_IDS = 100


def finding_message(finding: Finding) -> wire.Finding:
    """Returns the message of a finding, open unless the rule sets it aside."""
    key = finding.key
    state = "STATE_SUPPRESSED" if finding.suppression else "STATE_OPEN"
    return wire.Finding(
        name=f"findings/{key.finding_id()}",
        state=wire.Finding.State.Value(state),
        likelihood=wire.Finding.Likelihood.Value(f"LIKELIHOOD_{finding.likelihood}"),
        likelihood_score=finding.score,
        confidence=finding.confidence,
        score_steps=[_step(step) for step in finding.steps],
        account_id=key.account_id,
        region=key.region,
        actor_arn=key.actor_arn,
        search=_search(finding),
        occurrence_count=len(finding.occurrences),
        recent_occurrences=[_occurrence(o) for o in finding.occurrences[:MAX_RECENT_OCCURRENCES]],
        image_ids=finding.image_ids[:MAX_IMAGE_IDS],
        first_launch_time=_timestamp(min(o.first_launch_time for o in finding.occurrences)),
        last_launch_time=_timestamp(finding.latest.recency[0]),
        remediation=_remediation(finding),
        suppression=finding.suppression or "",
        rule_revision=finding.rule_revision,
    )


def _search(finding: Finding) -> wire.ImageSearch:
    search = finding.latest.search
    return wire.ImageSearch(
        name_patterns=search.request.values_of(NAME_FILTER),
        other_filters=[
            wire.SearchFilter(name=item.name, values=item.values)
            for item in search.request.filters
            if item.name != NAME_FILTER
        ],
        owners=search.request.owners,
        reasons=finding.reasons,
        fingerprint=search.fingerprint,
        client=client_of(search.origin.user_agent),
    )


def _occurrence(occurrence: Occurrence) -> wire.Occurrence:
    search, launch = occurrence.search, occurrence.launch
    message = wire.Occurrence(
        search=_reference(search.origin),
        launch=wire.EventReference(
            event_id=launch.origin.event_id, event_time=_timestamp(occurrence.recency[0])
        ),
        principal_arn=launch.origin.principal_arn or "",
        image_ids=launch.image_ids,
        instance_ids=launch.instance_ids[:MAX_INSTANCE_IDS],
        source_ip_address=launch.origin.source_ip_address,
        user_agent=launch.origin.user_agent,
        confidence=occurrence.confidence,
        launch_path=launch.path,
        suppression=occurrence.suppression or "",
        client=client_of(search.origin.user_agent),
        copy_count=occurrence.copy_count if occurrence.copy_count > 1 else 0,
    )
    message.gap.FromTimedelta(occurrence.gap)
    pin = occurrence.pin
    if pin is not None and pin.template is not None:
        message.pinned_template.CopyFrom(
            wire.PinnedTemplate(
                template_id=pin.template.template_id,
                version=pin.template.version,
                pin=_reference(pin.origin),
                launch_path=pin.path,
            )
        )
    return message


def _reference(origin: Origin) -> wire.EventReference:
    return wire.EventReference(event_id=origin.event_id, event_time=_timestamp(origin.event_time))


def _step(step: ScoreStep) -> wire.ScoreStep:
    return wire.ScoreStep(
        code=step.code,
        score=step.score,
        allowlist_entry=step.allowlist_entry or "",
        message=step.message,
    )


def _remediation(finding: Finding) -> wire.Remediation:
    search = finding.latest.search
    advice = remediate(
        search.request,
        client=client_of(search.origin.user_agent),
        account_id=finding.key.account_id,
        region=finding.key.region,
    )
    return wire.Remediation(
        steps=advice.steps,
        fix_snippet=advice.fix_snippet,
        fix_language=advice.fix_language,
        suggested_owners=advice.suggested_owners,
    )


def _timestamp(time: datetime) -> Timestamp:
    from google.protobuf.timestamp_pb2 import Timestamp

    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
