"""Findings, their launches and their history as rows, and a change as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard_client.cli.sheets import Cell, Sheet
from amiguard_client.values import Likelihood

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from amiguard.v1 import finding_pb2
    from amiguard_client.values import (
        Finding,
        FindingHistoryEntry,
        ImageSearch,
        Occurrence,
        PinnedTemplate,
    )

_COLORS = {Likelihood.HIGH: "bold red", Likelihood.MEDIUM: "yellow", Likelihood.LOW: "green"}
_SPARE = ("CONFIDENCE", "CLIENT", "ACTOR", "LAUNCHES", "LAST LAUNCH (UTC)", "SEARCHED", "REGION")
"""Columns that a narrow terminal may go without; the last is the last to go."""


def finding_sheet(messages: Iterable[finding_pb2.Finding]) -> Sheet:
    """Returns findings, one a row, with what tells them apart."""
    sheet = Sheet(
        (
            "FINDING",
            "LIKELIHOOD",
            "CONFIDENCE",
            "STATE",
            "LAUNCHES",
            "LAST LAUNCH (UTC)",
            "ACCOUNT",
            "REGION",
            "CLIENT",
            "SEARCHED",
            "ACTOR",
        ),
        spare=_SPARE,
    )
    for finding in _findings(messages):
        sheet.add(
            finding.name.removeprefix("findings/"),
            likelihood_cell(finding),
            str(finding.confidence),
            finding.state.value,
            str(finding.occurrence_count),
            time_text(finding.last_launch_time),
            finding.account_id,
            finding.region,
            finding.search.client,
            ", ".join(searched(finding.search)),
            finding.actor_arn,
        )
    return sheet


_WIDE_HEADERS = (
    "FINDING",
    "LIKELIHOOD",
    "SCORE",
    "CONFIDENCE",
    "STATE",
    "DISPOSITION",
    "ASSIGNEE",
    "LABELS",
    "LAUNCHES",
    "FIRST LAUNCH (UTC)",
    "LAST LAUNCH (UTC)",
    "ACCOUNT",
    "REGION",
    "CLIENT",
    "SEARCHED",
    "REASONS",
    "SUPPRESSION",
    "IMAGES",
    "ACTOR",
    "RULE REVISION",
    "CREATED (UTC)",
    "UPDATED (UTC)",
)


def wide_finding_sheet(messages: Iterable[finding_pb2.Finding]) -> Sheet:
    """Returns findings, one a row, with all that fits in a cell."""
    sheet = Sheet(_WIDE_HEADERS)
    for finding in _findings(messages):
        sheet.add(
            finding.name.removeprefix("findings/"),
            finding.likelihood.value,
            str(finding.likelihood_score),
            str(finding.confidence),
            finding.state.value,
            finding.disposition or "",
            finding.assignee or "",
            ", ".join(f"{key}={value}" for key, value in sorted(finding.labels.items())),
            str(finding.occurrence_count),
            time_text(finding.first_launch_time),
            time_text(finding.last_launch_time),
            finding.account_id,
            finding.region,
            finding.search.client,
            ", ".join(searched(finding.search)),
            ", ".join(finding.search.reasons),
            finding.suppression or "",
            ", ".join(finding.image_ids),
            finding.actor_arn,
            str(finding.rule_revision),
            time_text(finding.create_time),
            time_text(finding.update_time),
        )
    return sheet


def occurrence_sheet(messages: Iterable[finding_pb2.Occurrence]) -> Sheet:
    """Returns occurrences, one a row."""
    from amiguard_client._from_wire import occurrence_of

    sheet = Sheet(
        (
            "SEARCH (UTC)",
            "LAUNCH (UTC)",
            "GAP",
            "CONFIDENCE",
            "LAUNCHED BY",
            "IMAGES",
            "INSTANCES",
            "ADDRESS",
            "LAUNCH EVENT",
            "PRINCIPAL",
        )
    )
    for occurrence in map(occurrence_of, messages):
        sheet.add(
            time_text(occurrence.search.event_time),
            time_text(occurrence.launch.event_time),
            gap_text(occurrence),
            str(occurrence.confidence),
            launched_by_text(occurrence),
            ", ".join(occurrence.image_ids),
            ", ".join(occurrence.instance_ids),
            occurrence.source_ip_address,
            occurrence.launch.event_id,
            occurrence.principal_arn,
        )
    return sheet


def history_sheet(messages: Iterable[finding_pb2.FindingHistoryEntry]) -> Sheet:
    """Returns moves and edits, one a row."""
    from amiguard_client._from_wire import history_entry_of

    sheet = Sheet(("TIME (UTC)", "BY", "FROM", "TO", "ASSIGNEE", "COMMENT", "EDIT"))
    for entry in map(history_entry_of, messages):
        state = entry.state_after.value
        if entry.disposition is not None:
            state += f" ({entry.disposition})"
        if entry.accept_until_time is not None:
            state += f" until {time_text(entry.accept_until_time)}"
        sheet.add(
            time_text(entry.change_time),
            entry.actor,
            entry.state_before.value if entry.state_before is not None else "",
            state,
            entry.assignee or "",
            entry.comment or "",
            _edit_text(entry),
        )
    return sheet


def _edit_text(entry: FindingHistoryEntry) -> str:
    """Returns what was edited, as it was and as it is."""
    parts = []
    if entry.assignee_before is not None:
        parts.append(f"assignee: {entry.assignee_before or '-'} -> {entry.assignee or '-'}")
    if entry.labels_before is not None and entry.labels_after is not None:
        before, after = entry.labels_before, entry.labels_after
        parts += [
            f"{key}: {before.get(key, '-')} -> {after.get(key, '-')}"
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
        ]
    return ", ".join(parts)


def change_line(finding: Finding) -> str:
    """Returns a finding as it stands after a change, as one line of text."""
    state = finding.state.value
    if finding.disposition is not None:
        state += f" ({finding.disposition})"
    parts = (
        time_text(finding.update_time),
        f"{finding.likelihood} {finding.likelihood_score}",
        state,
        finding.name.removeprefix("findings/"),
        f"{finding.account_id} {finding.region}",
        ", ".join(searched(finding.search)),
        finding.actor_arn,
    )
    return "  ".join(part for part in parts if part.strip())


def time_text(time: datetime | None) -> str:
    """Returns a time of UTC for people; empty where there is none."""
    return time.strftime("%Y-%m-%d %H:%M:%S") if time is not None else ""


def launched_by_text(occurrence: Occurrence) -> str:
    """Returns the call that launched, and from which template if from one that was pinned."""
    template = occurrence.pinned_template
    origin = f" from {template_text(template)}" if template else ""
    return occurrence.launch_path + origin


def template_text(template: PinnedTemplate) -> str:
    """Returns the version of a launch template for people."""
    return f"{template.template_id} version {template.version}"


def gap_text(occurrence: Occurrence) -> str:
    """Returns the time from the search to the launch, or to the pin where there is one."""
    return f"{occurrence.gap.total_seconds():g} s"


def likelihood_cell(finding: Finding) -> Cell:
    """Returns likelihood and score, in the color of the likelihood."""
    text = f"{finding.likelihood} {finding.likelihood_score}"
    return Cell(text, _COLORS.get(finding.likelihood, ""))


def searched(search: ImageSearch) -> tuple[str, ...]:
    """Returns what a search asked for: name patterns, else the other filters."""
    return search.name_patterns or tuple(
        f"{item.name}={value}" for item in search.other_filters for value in item.values
    )


def _findings(messages: Iterable[finding_pb2.Finding]) -> Iterable[Finding]:
    from amiguard_client._from_wire import finding_of

    return map(finding_of, messages)
