"""One finding in detail, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from amiguard_client.cli.finding_rows import (
    gap_text,
    launched_by_text,
    likelihood_cell,
    template_text,
    time_text,
)
from amiguard_client.cli.safe import safe, safe_block
from amiguard_client.cli.sheets import Sheet, cell_of, grid_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from amiguard_client.values import (
        Finding,
        ImageSearch,
        Occurrence,
        PinnedTemplate,
        Remediation,
        ScoreStep,
    )

_REASONS = {
    "NO_OWNER": "no owner: neither Owners nor a filter owner-alias or owner-id says whose image",
    "UNTRUSTED_OWNER": "an owner is named that is not trusted",
    "PARAMETERS_OMITTED": "the request was over 100 KB, so CloudTrail left out what it asked for",
}
_LEXERS = {"shell": "bash"}


def finding_detail(finding: Finding) -> Group:
    """Returns all of a finding, in the order in which a person asks about it."""
    return Group(
        _header(finding),
        *_section("Search", _search(finding.search)),
        *_section("Likelihood", _steps(finding.score_steps)),
        *_section(_launches_title(finding), _timeline(finding.recent_occurrences)),
        *_section("What to do", _numbered(finding.remediation.steps)),
        *_section("Fix", _fix(finding.remediation)),
    )


def _section(title: str, body: RenderableType) -> tuple[RenderableType, RenderableType]:
    return Text(f"\n{title}", style="bold"), Padding(body, (0, 0, 0, 2), expand=False)


def _header(finding: Finding) -> Group:
    state = finding.state.value
    if finding.disposition is not None:
        state += f" ({finding.disposition})"
    if finding.suppression is not None:
        state += f" ({safe(finding.suppression)})"
    title = Text.assemble(
        cell_of(likelihood_cell(finding)),
        f"  confidence {finding.confidence}  {state}  ",
        safe(finding.name),
    )
    rows = [
        ("account", finding.account_id),
        ("region", finding.region),
        ("actor", finding.actor_arn),
        ("client", finding.search.client),
        ("launches", _launches(finding)),
        ("images", ", ".join(finding.image_ids)),
        ("rule revision", str(finding.rule_revision)),
    ]
    if finding.assignee is not None:
        rows.append(("assignee", finding.assignee))
    if finding.labels:
        labels = (f"{name}={value}" for name, value in sorted(finding.labels.items()))
        rows.append(("labels", ", ".join(labels)))
    if finding.accept_until_time is not None:
        rows.append(("accepted until", f"{time_text(finding.accept_until_time)} UTC"))
    grid = grid_of([(name, cell_of(value)) for name, value in rows])
    return Group(title, Padding(grid, (0, 0, 0, 2), expand=False))


def _launches(finding: Finding) -> str:
    first, last = time_text(finding.first_launch_time), time_text(finding.last_launch_time)
    when = f"at {last}" if first == last else f"from {first} to {last}"
    return f"{finding.occurrence_count}, {when} UTC"


def _search(search: ImageSearch) -> RenderableType:
    rows = [("name", _lines(search.name_patterns))] if search.name_patterns else []
    rows += [(item.name, _lines(item.values)) for item in search.other_filters]
    if search.owners:
        rows.append(("owners", cell_of(", ".join(search.owners))))
    rows += [("unsafe", cell_of(_REASONS.get(reason, reason))) for reason in search.reasons]
    rows.append(("fingerprint", cell_of(search.fingerprint)))
    return grid_of(rows)


def _lines(values: Iterable[str]) -> Text:
    return Text("\n".join(map(safe, values)))


def _steps(steps: Iterable[ScoreStep]) -> Sheet:
    sheet = Sheet(("STEP", "SCORE", "WHY"))
    for step in steps:
        entry = f" ({step.allowlist_entry})" if step.allowlist_entry else ""
        sheet.add(step.code, str(step.score), step.message + entry)
    return sheet


def _launches_title(finding: Finding) -> str:
    shown = len(finding.recent_occurrences)
    if shown == finding.occurrence_count:
        return "Launches, newest first (UTC)"
    return f"Newest {shown} of {finding.occurrence_count} launches (UTC)"


def _timeline(occurrences: Iterable[Occurrence]) -> RenderableType:
    rows: list[tuple[str, Text]] = []
    for occurrence in occurrences:
        template = occurrence.pinned_template
        after = "" if template else f" {gap_text(occurrence)} after the search"
        details = [
            launched_by_text(occurrence) + after,
            ", ".join(occurrence.image_ids) or "no image id recorded",
            ", ".join(occurrence.instance_ids),
            f"confidence {occurrence.confidence}",
            f"suppressed: {occurrence.suppression}" if occurrence.suppression else "",
            f"event {occurrence.launch.event_id}",
            (
                f"{occurrence.copy_count} copies of this event contradict each other"
                if occurrence.copy_count > 1
                else ""
            ),
        ]
        caller = [
            f"by {occurrence.principal_arn or 'nobody that the record names'}",
            f"from {occurrence.source_ip_address}" if occurrence.source_ip_address else "",
        ]
        search = f"DescribeImages; event {occurrence.search.event_id}"
        agent = f"with {occurrence.user_agent}" if occurrence.user_agent else ""
        rows += [
            (time_text(occurrence.launch.event_time), _phrase(details)),
            *([_pin_row(occurrence, template)] if template else []),
            (time_text(occurrence.search.event_time), cell_of(search)),
            *(("", _phrase([text])) for text in (" ".join(filter(None, caller)), agent) if text),
        ]
    return grid_of(rows)


def _pin_row(occurrence: Occurrence, template: PinnedTemplate) -> tuple[str, Text]:
    details = [
        f"{template.launch_path} {gap_text(occurrence)} after the search",
        f"made {template_text(template)}",
        f"event {template.pin.event_id}",
    ]
    return time_text(template.pin.event_time), _phrase(details)


def _phrase(parts: Iterable[str]) -> Text:
    return cell_of("; ".join(part for part in parts if part))


def _numbered(steps: Iterable[str]) -> RenderableType:
    return grid_of([(f"{number}.", cell_of(step)) for number, step in enumerate(steps, 1)])


def _fix(remediation: Remediation) -> RenderableType:
    from rich.syntax import Syntax

    language = remediation.fix_language
    return Syntax(
        safe_block(remediation.fix_snippet),
        _LEXERS.get(language, language) or "text",
        theme="ansi_dark",
        background_color="default",
        word_wrap=True,
    )
