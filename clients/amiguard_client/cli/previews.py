"""What a change of the tuning would do to findings, shown before it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from amiguard_client.cli.output import count_text, say, write
from amiguard_client.cli.safe import safe
from amiguard_client.cli.times import Time
from amiguard_client.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from amiguard.v1 import tuning_service_pb2 as wire

_Command = TypeVar("_Command", bound="Callable[..., Any]")

MAX_EXAMPLES = 100


def preview_options(function: _Command) -> _Command:
    """Adds the options that say how a change is tried, and when it is refused."""
    for option in (
        click.option(
            "--refuse-if-loses-true-positives",
            "keeps_true_positives",
            is_flag=True,
            help="Refuse it where a finding closed as true positive would vanish or fall to LOW.",
        ),
        click.option(
            "--examples",
            "example_count",
            type=click.IntRange(1, MAX_EXAMPLES),
            default=10,
            show_default=True,
            metavar="COUNT",
            help="Most findings to show of those that would be others.",
        ),
        click.option(
            "--since",
            type=Time(),
            help="Try it on findings made since then; the last 7 days unless given.",
        ),
    ):
        function = option(function)
    return function


def tell_preview(preview: wire.PreviewTuningResponse, *, is_talk: bool) -> None:
    """Says how many findings would be others, and shows the worst of them."""
    click.echo(_summary(preview), err=is_talk)
    if preview.HasField("evidence_start_time"):
        oldest = preview.evidence_start_time.ToJsonString()
        text = f"Of records that came before {oldest}, only the findings made of them are judged."
        click.echo(text, err=is_talk)
    if not preview.examples:
        return
    from amiguard_client._from_wire import finding_of
    from amiguard_client.cli.sheets import Sheet

    sheet = Sheet(("FINDING", "BEFORE", "AFTER", "STATE", "ACCOUNT", "REGION", "SEARCHED", "ACTOR"))
    for example in preview.examples:
        before = finding_of(example.before) if example.HasField("before") else None
        after = finding_of(example.after) if example.HasField("after") else None
        finding = before or after
        if finding is None:
            continue
        disposition = f" ({finding.disposition})" if finding.disposition else ""
        sheet.add(
            finding.name.removeprefix("findings/"),
            f"{before.likelihood} {before.likelihood_score}" if before else "none",
            f"{after.likelihood} {after.likelihood_score}" if after else "gone",
            finding.state + disposition,
            finding.account_id,
            finding.region,
            ", ".join(finding.search.name_patterns),
            finding.actor_arn,
        )
    write(sheet, is_talk=is_talk)


def short_text(preview: wire.PreviewTuningResponse) -> str:
    """Returns the counts of a preview, briefly."""
    counts = (
        (preview.removed_count, "gone"),
        (preview.rescored_count, "with another score"),
        (preview.added_count, "new"),
    )
    changed = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    return f"{changed or 'no change'} of {count_text(preview.evaluated_count, 'finding')}"


def tell_changes(before: Mapping[str, str], after: Mapping[str, str], *, is_talk: bool) -> None:
    """Shows field by field what would be another."""
    for line in difference_lines(before, after):
        click.echo(line, err=is_talk)


def difference_lines(before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[str]:
    """Yields a line for each field that differs."""
    for field in dict.fromkeys((*before, *after)):
        old, new = before.get(field), after.get(field)
        if old == new:
            continue
        if old is None or new is None:
            yield f"{'+' if old is None else '-'} {field}: {safe(new or old or '')}"
        else:
            yield f"~ {field}: {safe(old)} -> {safe(new)}"


@contextmanager
def naming_losses() -> Iterator[None]:
    """Names the findings for whose sake a change was refused."""
    try:
        yield
    except ConflictError as error:
        if error.reason == "LOSES_TRUE_POSITIVES":
            for name in filter(None, error.metadata.get("names", "").split(",")):
                say(f"  would lose {name}")
        raise


def _summary(preview: wire.PreviewTuningResponse) -> str:
    judged = count_text(preview.evaluated_count, "finding")
    counts = (
        f"{preview.removed_count:,} would be gone",
        f"{preview.rescored_count:,} would have another score",
        f"{preview.added_count:,} would be new",
    )
    return f"Judged {judged} again: {', '.join(counts)}."
