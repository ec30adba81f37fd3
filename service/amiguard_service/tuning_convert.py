"""What is in force, and what changes did or would do, as messages of the wire."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from amiguard.v1 import finding_pb2
from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_core.policy import KnownImage
from amiguard_service.convert import finding_message
from amiguard_service.ledger import FindingRow
from amiguard_service.preview import Difference, Preview
from amiguard_service.stored import StoredFinding
from amiguard_service.tuned import AuditRow, PassProgress, RuleRevision, StoredEntry


def entry_message(entry: StoredEntry) -> wire.AllowlistEntry:
    """Returns an allowlist entry."""
    message = wire.AllowlistEntry(
        name=entry.name,
        account_ids=entry.account_ids,
        justification=entry.justification,
        expire_time=_timestamp(entry.expire_time),
        create_time=_timestamp(entry.create_time),
        creator=entry.creator,
        update_time=_timestamp(entry.update_time),
        last_match_time=_timestamp(entry.last_match_time),
        match_count=entry.match_count,
        etag=entry.etag,
    )
    setattr(message, entry.kind, entry.subject)
    return message


def rule_message(revision: RuleRevision) -> wire.RuleConfig:
    """Returns a rule configuration."""
    config = revision.config
    return wire.RuleConfig(
        revision=config.revision,
        correlation_window=_duration(config.window),
        max_lateness=_duration(config.lateness),
        public_patterns=config.public_patterns,
        mode=wire.RuleConfig.Mode.Value(f"MODE_{config.mode}"),
        correlate_by=wire.RuleConfig.CorrelateBy.Value(f"CORRELATE_BY_{config.correlate_by}"),
        launch_paths=config.launch_paths,
        create_time=_timestamp(revision.create_time),
        creator=revision.creator,
        etag=revision.etag,
    )


def change_message(row: AuditRow) -> wire.TuningChange:
    """Returns one row of the audit.

    One whose document somebody made unreadable is told too, with what can be told of it: that it
    was changed shows in its hash.
    """
    message = wire.TuningChange(
        change_time=_timestamp(row.change_time),
        actor=row.actor,
        method=row.method,
        number=row.change_id,
        document=row.document,
        previous_hash=row.previous_hash,
        hash=row.hash,
    )
    try:
        change = row.change
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return message
    for name, entry in (("entry_before", change.entry_before), ("entry_after", change.entry_after)):
        if entry is not None:
            getattr(message, name).CopyFrom(entry_message(entry))
    for name, revision in (
        ("rule_config_before", change.rule_before),
        ("rule_config_after", change.rule_after),
    ):
        if revision is not None:
            getattr(message, name).CopyFrom(rule_message(revision))
    message.images.extend(change.images)
    return message


def image_message(image: KnownImage) -> wire.KnownImage:
    """Returns what is known of an image."""
    return wire.KnownImage(
        image_id=image.image_id,
        region=image.region,
        owner_account_id=image.owner_account_id or "",
        owner_alias=image.owner_alias or "",
        image_name=image.image_name or "",
    )


def progress_message(progress: PassProgress) -> wire.GetTuningProgressResponse:
    """Returns how far the latest change has been applied."""
    return wire.GetTuningProgressResponse(
        policy_version=progress.policy_version,
        in_progress=progress.scope is not None,
        scope=progress.scope or "",
        done_count=progress.done,
        start_time=_timestamp(progress.start_time),
    )


def preview_message(preview: Preview) -> wire.PreviewTuningResponse:
    """Returns what a change would do."""
    return wire.PreviewTuningResponse(
        evaluated_count=preview.evaluated_count,
        removed_count=preview.removed_count,
        rescored_count=preview.rescored_count,
        added_count=preview.added_count,
        examples=map(_difference_message, preview.examples),
        evidence_start_time=_timestamp(preview.evidence_start_time),
    )


def _difference_message(difference: Difference) -> wire.TuningDifference:
    return wire.TuningDifference(
        before=_row_message(difference.before), after=_row_message(difference.after)
    )


def _row_message(row: FindingRow | None) -> finding_pb2.Finding | None:
    """Returns a finding as it stands or would: without an etag, and what hangs on it left out."""
    if row is None:
        return None
    return finding_message(
        StoredFinding(
            finding_id=row.finding_id,
            key=row.key,
            state=row.state,
            request=row.request,
            reasons=row.reasons,
            client=row.client,
            steps=row.steps,
            score=row.score,
            confidence=row.confidence,
            occurrence_count=row.occurrence_count,
            recent_occurrences=(),
            image_ids=(),
            first_launch_time=row.first_launch_time,
            last_launch_time=row.last_launch_time,
            rule_revision=row.rule_revision,
            create_time=row.create_time,
            update_time=row.update_time,
            etag="",
            suppression=row.suppression,
            disposition=row.disposition,
            assignee=row.assignee,
            accept_until_time=row.accept_until_time,
        )
    )


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _duration(span: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(span)
    return duration
