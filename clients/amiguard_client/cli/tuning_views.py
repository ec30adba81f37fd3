"""What is in force and what was changed, for people."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from amiguard_client.cli.entries import entry_id_of, entry_of
from amiguard_client.cli.finding_rows import time_text
from amiguard_client.cli.rule_files import changed_settings, rule_of, texts_of
from amiguard_client.cli.sheets import Sheet, cell_of, grid_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message
    from rich.table import Table

    from amiguard.v1 import tuning_service_pb2 as wire

_MAX_IMAGES_SHOWN = 3


def entry_sheet(messages: Iterable[wire.AllowlistEntry]) -> Sheet:
    """Returns allowlist entries, one a row."""
    sheet = Sheet(
        ("ENTRY", "KIND", "SUBJECT", "ACCOUNTS", "EXPIRES (UTC)", "MATCHES", "BY", "JUSTIFICATION")
    )
    for message in messages:
        entry = entry_of(message)
        sheet.add(
            entry.entry_id,
            entry.kind.value,
            entry.subject,
            ", ".join(entry.account_ids) or "all",
            time_text(entry.expire_time) or "never",
            f"{message.match_count:,}",
            message.creator,
            entry.justification,
        )
    return sheet


def entry_detail(message: wire.AllowlistEntry) -> Table:
    """Returns all of an allowlist entry."""
    rows = [
        ("entry", entry_id_of(message.name)),
        *entry_of(message).texts().items(),
        ("created", f"{_stamp(message, 'create_time')} UTC by {message.creator}"),
        ("updated", f"{_stamp(message, 'update_time')} UTC"),
        ("matches", f"{message.match_count:,}"),
        ("last match", _stamp(message, "last_match_time")),
        ("etag", message.etag),
    ]
    return grid_of([(name, cell_of(value)) for name, value in rows])


def rule_sheet(messages: Iterable[wire.RuleConfig]) -> Sheet:
    """Returns rule configurations, one a row."""
    sheet = Sheet(
        (
            "REVISION",
            "SINCE (UTC)",
            "BY",
            "WINDOW",
            "LATENESS",
            "MODE",
            "CORRELATE BY",
            "LAUNCH PATHS",
            "PUBLIC PATTERNS",
        )
    )
    for message in messages:
        texts = texts_of(rule_of(message))
        sheet.add(
            str(message.revision),
            _stamp(message, "create_time"),
            message.creator,
            texts["correlation_window"],
            texts["max_lateness"],
            texts["mode"],
            texts["correlate_by"],
            texts["launch_paths"],
            texts["public_patterns"],
        )
    return sheet


def rule_detail(message: wire.RuleConfig) -> Table:
    """Returns all of a rule configuration."""
    rows = [
        ("revision", str(message.revision)),
        *texts_of(rule_of(message)).items(),
        ("in force since", f"{_stamp(message, 'create_time')} UTC by {message.creator}"),
        ("etag", message.etag),
    ]
    return grid_of([(name, cell_of(value)) for name, value in rows])


def image_sheet(messages: Iterable[wire.KnownImage]) -> Sheet:
    """Returns known images, one a row."""
    sheet = Sheet(("REGION", "IMAGE", "OWNER", "ALIAS", "NAME"))
    for message in messages:
        sheet.add(
            message.region,
            message.image_id,
            message.owner_account_id,
            message.owner_alias,
            message.image_name,
        )
    return sheet


def audit_sheet(messages: Iterable[wire.TuningChange]) -> Sheet:
    """Returns changes of the tuning, one a row."""
    sheet = Sheet(("NUMBER", "TIME (UTC)", "BY", "CHANGE", "OF", "WHAT"))
    for message in messages:
        of, what = _change(message)
        sheet.add(
            str(message.number),
            _stamp(message, "change_time"),
            message.actor,
            message.method,
            of,
            what,
        )
    return sheet


def _change(message: wire.TuningChange) -> tuple[str, str]:
    """Returns what a change was made to, and what it did."""
    if message.HasField("entry_before") or message.HasField("entry_after"):
        return _entry_change(message)
    if message.HasField("rule_config_after"):
        after = rule_of(message.rule_config_after)
        if not message.HasField("rule_config_before"):
            return f"revision {after.revision}", ""
        before = rule_of(message.rule_config_before)
        old, new = texts_of(before), texts_of(after)
        differing = changed_settings(before, after)
        what = "; ".join(f"{name} {old[name]} -> {new[name]}" for name in differing)
        return f"revision {after.revision}", what
    shown = ", ".join(message.images[:_MAX_IMAGES_SHOWN])
    more = len(message.images) - _MAX_IMAGES_SHOWN
    noun = "image" if len(message.images) == 1 else "images"
    return f"{len(message.images):,} {noun}", shown + (f" and {more:,} more" if more > 0 else "")


def _entry_change(message: wire.TuningChange) -> tuple[str, str]:
    before = entry_of(message.entry_before) if message.HasField("entry_before") else None
    after = entry_of(message.entry_after) if message.HasField("entry_after") else None
    entry = after or before
    if entry is None:
        return "", ""
    if before is None or after is None:
        return entry.entry_id, f"{entry.kind} {entry.subject}: {entry.justification}"
    old, new = before.texts(), after.texts()
    changes = (f"{name} {old[name]} -> {new[name]}" for name in old if old[name] != new[name])
    return entry.entry_id, "; ".join(changes)


def _stamp(message: Message, field: str) -> str:
    if not message.HasField(field):
        return ""
    return time_text(getattr(message, field).ToDatetime(tzinfo=UTC))
