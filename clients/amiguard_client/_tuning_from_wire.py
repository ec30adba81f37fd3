"""Messages of the TuningService in, values out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard_client._from_wire import finding_of, member_of, time_of
from amiguard_client.tuning_values import (
    AllowlistEntry,
    CorrelateBy,
    KnownImage,
    Mode,
    RuleConfig,
    TuningChange,
    TuningDifference,
    TuningPreview,
    TuningProgress,
)

if TYPE_CHECKING:
    from amiguard.v1 import tuning_service_pb2 as wire


def entry_of(message: wire.AllowlistEntry) -> AllowlistEntry:
    """Returns the value of an entry."""
    subject = message.WhichOneof("subject")
    return AllowlistEntry(
        name=message.name,
        trusted_owner=message.trusted_owner if subject == "trusted_owner" else None,
        trusted_account=message.trusted_account if subject == "trusted_account" else None,
        organization_pattern=(
            message.organization_pattern if subject == "organization_pattern" else None
        ),
        account_ids=tuple(message.account_ids),
        justification=message.justification,
        expire_time=time_of(message, "expire_time"),
        create_time=time_of(message, "create_time"),
        creator=message.creator,
        update_time=time_of(message, "update_time"),
        last_match_time=time_of(message, "last_match_time"),
        match_count=message.match_count,
        etag=message.etag,
    )


def rule_of(message: wire.RuleConfig) -> RuleConfig:
    """Returns the value of a rule configuration."""
    return RuleConfig(
        revision=message.revision,
        correlation_window=message.correlation_window.ToTimedelta(),
        max_lateness=message.max_lateness.ToTimedelta(),
        public_patterns=tuple(message.public_patterns),
        mode=member_of(Mode, message, "mode"),
        correlate_by=member_of(CorrelateBy, message, "correlate_by"),
        launch_paths=tuple(message.launch_paths),
        create_time=time_of(message, "create_time"),
        creator=message.creator,
        etag=message.etag,
    )


def image_of(message: wire.KnownImage) -> KnownImage:
    """Returns the value of what is known of an image."""
    return KnownImage(
        image_id=message.image_id,
        region=message.region,
        owner_account_id=message.owner_account_id or None,
        owner_alias=message.owner_alias or None,
        image_name=message.image_name or None,
    )


def progress_of(message: wire.GetTuningProgressResponse) -> TuningProgress:
    """Returns the value of how far a change has been applied."""
    return TuningProgress(
        policy_version=message.policy_version,
        in_progress=message.in_progress,
        scope=message.scope or None,
        done_count=message.done_count,
        start_time=time_of(message, "start_time"),
    )


def preview_of(message: wire.PreviewTuningResponse) -> TuningPreview:
    """Returns the value of what a change would have done."""
    return TuningPreview(
        evaluated_count=message.evaluated_count,
        removed_count=message.removed_count,
        rescored_count=message.rescored_count,
        added_count=message.added_count,
        examples=tuple(map(_difference_of, message.examples)),
        evidence_start_time=time_of(message, "evidence_start_time"),
    )


def change_of(message: wire.TuningChange) -> TuningChange:
    """Returns the value of one change."""
    return TuningChange(
        change_time=time_of(message, "change_time"),
        actor=message.actor,
        method=message.method,
        entry_before=entry_of(message.entry_before) if message.HasField("entry_before") else None,
        entry_after=entry_of(message.entry_after) if message.HasField("entry_after") else None,
        rule_config_after=(
            rule_of(message.rule_config_after) if message.HasField("rule_config_after") else None
        ),
        rule_config_before=(
            rule_of(message.rule_config_before) if message.HasField("rule_config_before") else None
        ),
        images=tuple(message.images),
        number=message.number,
        document=message.document,
        previous_hash=message.previous_hash,
        hash=message.hash,
    )


def _difference_of(message: wire.TuningDifference) -> TuningDifference:
    return TuningDifference(
        before=finding_of(message.before) if message.HasField("before") else None,
        after=finding_of(message.after) if message.HasField("after") else None,
    )
