"""`amiguardctl allow export|apply`: the allowlist as a file under version control."""

from __future__ import annotations

from datetime import timedelta
from itertools import zip_longest
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.bad_files import BadFileError, name_of
from amiguard_client.cli.consent import DRY_RUN, YES, ask, require_consent
from amiguard_client.cli.output import (
    JSON,
    TEXT,
    YAML,
    count_text,
    say,
    to_json,
    write_json,
    write_list,
)
from amiguard_client.cli.previews import naming_losses, short_text
from amiguard_client.cli.server import tuning_calls
from amiguard_client.errors import AmiguardError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amiguard.v1 import tuning_service_pb2 as wire
    from amiguard_client._tuning_calls import TuningCalls
    from amiguard_client.cli.entry_plans import Plan, Terms

PREVIEW_TIME = timedelta(seconds=30)
"""How long changes of a plan are tried on what is stored, one by one: each reads all of it."""


@click.command("export", short_help="Write the allowlist as a file.")
@click.option(
    "-o",
    "--output",
    type=click.Choice([YAML, JSON]),
    default=YAML,
    show_default=True,
    help="A file for `allow apply`, or the JSON of `allow list`.",
)
@click.pass_context
def export_entries(ctx: click.Context, *, output: str) -> None:
    """Write the whole allowlist to standard output, as a file that `allow apply` takes.

    Applying it where it came from changes nothing. The aliases that are trusted from the start are
    entries like any other.
    """
    with tuning_calls(ctx) as tuning:
        messages = tuning.entries()
    if output == JSON:
        write_list("allowlist_entries", map(to_json, messages))
        return
    from amiguard_client.cli.entries import entry_of
    from amiguard_client.cli.entry_files import write_entries

    click.echo(write_entries(map(entry_of, messages)), nl=False)


@click.command("apply")
@click.option(
    "-f",
    "--file",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The allowlist as it is to be, YAML; - is standard input.",
)
@click.option(
    "--prune", "prunes", is_flag=True, help="Remove the entries that are not in the file."
)
@click.option("--force", "is_forced", is_flag=True, help="Accept new patterns of well-known names.")
@click.option(
    "--refuse-if-loses-true-positives",
    "keeps_true_positives",
    is_flag=True,
    help="Refuse each change that would lose a finding closed as true positive.",
)
@DRY_RUN
@YES
@click.option(
    "-o",
    "--output",
    type=click.Choice([TEXT, JSON]),
    default=TEXT,
    show_default=True,
    help="The plan: like a diff, or one JSON object.",
)
@click.pass_context
def apply_entries(
    ctx: click.Context,
    path: Path,
    *,
    prunes: bool,
    is_forced: bool,
    keeps_true_positives: bool,
    is_dry_run: bool,
    is_yes: bool,
    output: str,
) -> None:
    """Make the allowlist what a file says.

    The plan is shown first: + added, ~ changed field by field, - removed. Every change is checked
    by the server before the first is made. It can be repeated at any time: what is done already is
    not done again.
    """
    require_consent(is_yes=is_yes, is_dry_run=is_dry_run)
    from amiguard_client.cli.entry_files import read_entries
    from amiguard_client.cli.entry_plans import Terms, make_plan

    wanted = read_entries(path)
    terms = Terms(is_forced=is_forced, keeps_true_positives=keeps_true_positives)
    with tuning_calls(ctx) as tuning, naming_losses():
        last_hash = tuning.last_hash()
        plan = make_plan(tuning.entries(), wanted, prunes=prunes)
        if plan.problems:
            raise BadFileError(f"{name_of(path)}: {problem}" for problem in plan.problems)
        _check(tuning, plan, terms, last_hash=last_hash)
        _show(tuning, plan, output)
        if plan.unlisted:
            count = count_text(len(plan.unlisted), "entry", "entries")
            say(f"Not in the file, and left as they are without --prune: {count}.")
        if not plan.changes:
            say("Nothing to change.")
            return
        if is_dry_run:
            return
        ask(f"Make {count_text(len(plan.changes), 'change')}?", is_yes=is_yes)
        _take(tuning, plan, terms, last_hash=last_hash)


def _show(tuning: TuningCalls, plan: Plan, output: str) -> None:
    tried = list(_try_in_time(tuning, plan))
    untried_count = len(plan.changes) - len(tried)
    if output == JSON:
        changes = [change.to_plain() for change in plan.changes]
        for plain, preview in zip(changes, tried, strict=False):
            counts = to_json(preview)
            counts.pop("examples", None)
            plain["preview"] = counts
        write_json(
            {
                "changes": changes,
                "unlisted": list(plan.unlisted),
                "untried_count": untried_count,
            }
        )
        return
    for change, preview in zip_longest(plan.changes, tried):
        for line in change.lines():
            click.echo(line)
        if preview is not None:
            click.echo(f"    by itself: {short_text(preview)} of the last 7 days")
    if untried_count:
        seconds = PREVIEW_TIME.total_seconds()
        changes_text = count_text(len(plan.changes), "change")
        say(f"The last {untried_count} of {changes_text} were not tried within {seconds:g} s.")


def _try_in_time(tuning: TuningCalls, plan: Plan) -> Iterator[wire.PreviewTuningResponse]:
    """Yields what each change would do by itself, until the time for that is over."""
    deadline = monotonic() + PREVIEW_TIME.total_seconds()
    for change in plan.changes:
        if monotonic() >= deadline:
            return
        yield tuning.preview(change.preview_request())


def _check(tuning: TuningCalls, plan: Plan, terms: Terms, *, last_hash: str) -> None:
    """Has the server check every change, and ends the command where it refuses one."""
    from msgspec.structs import replace

    from amiguard_client.cli.entry_plans import take_step

    checked = replace(terms, validate_only=True)
    for change in plan.changes:
        try:
            take_step(tuning, change, checked, last_hash=last_hash)
        except AmiguardError:
            say(f"{change.entry.entry_id}: refused; nothing was changed")
            raise


def _take(tuning: TuningCalls, plan: Plan, terms: Terms, *, last_hash: str) -> None:
    from amiguard_client.cli.entry_plans import take_step

    for done, change in enumerate(plan.changes):
        try:
            take_step(tuning, change, terms, last_hash=last_hash)
        except AmiguardError:
            rest = f"{done} of {len(plan.changes)} changes are made"
            say(f"{change.entry.entry_id}: not done; {rest}, repeat the command for the rest")
            raise
    say(f"Made {count_text(len(plan.changes), 'change')}.")
