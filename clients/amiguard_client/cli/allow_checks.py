"""`amiguardctl allow lint|test`: what is amiss with entries, and what a pattern would cover."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.bad_files import Problems
from amiguard_client.cli.exits import FAILED
from amiguard_client.cli.output import JSON, TABLE, count_text, say, write_json, write_sheet
from amiguard_client.cli.server import tuning_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amiguard_client.cli.entries import Entry
    from amiguard_client.cli.pattern_trials import Trial
    from amiguard_core.allowlist import LintedEntry, Remark
    from amiguard_core.patterns import Pattern

UNMATCHED_AFTER = timedelta(days=30)
"""How old an entry that never matched must be to be remarked on."""

_FILE = click.Path(dir_okay=False, path_type=Path)
_OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice([TABLE, JSON]),
    default=TABLE,
    show_default=True,
    help="A table, or one JSON object.",
)


@click.command("lint")
@click.option(
    "-f",
    "--file",
    "path",
    type=_FILE,
    help="Look at this file instead of the server's allowlist; - is standard input.",
)
@click.option(
    "--rule",
    "rule_path",
    type=_FILE,
    help="With -f: the rule configuration whose public patterns count, as `rules get -o yaml`.",
)
@_OUTPUT
@click.pass_context
def lint_entries(
    ctx: click.Context, *, path: Path | None, rule_path: Path | None, output: str
) -> None:
    """Check the entries of the allowlist for mistakes.

    Remarked on are entries that have expired, that a wider one covers, that are too broad to say
    whose names they mean, or that vouch for well-known public names; and, of a server, those that
    never matched in their first 30 days. Exits 1 when there are remarks.
    """
    if rule_path is not None and path is None:
        raise click.UsageError("--rule goes with -f; a server has its own")
    from amiguard_core.allowlist import lint

    now = datetime.now(UTC)
    if path is not None:
        entries, public_patterns = _entries_of_file(path, rule_path, now)
    else:
        entries, public_patterns = _entries_of_server(ctx)
    remarks = lint(
        entries, now=now, unmatched_since=now - UNMATCHED_AFTER, public_patterns=public_patterns
    )
    _write_remarks(remarks, output)
    say(f"{count_text(len(remarks), 'remark')} on {count_text(len(entries), 'entry', 'entries')}")
    if remarks:
        ctx.exit(FAILED)


@click.command("test", short_help="Say what a pattern would match and cover.")
@click.argument("pattern")
@click.option(
    "--against",
    "paths",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Names one a line, the JSON of `aws ec2 describe-images`, or that of `findings list` or "
    "`hunt`; - is standard input. Give it once for each file.",
)
@_OUTPUT
def try_entry(pattern: str, *, paths: tuple[Path, ...], output: str) -> None:
    """Say which names a pattern matches and which searches it covers, without a server.

    As an organization pattern it would lower every search that it covers: each name that such a
    search can find, the pattern matches. It also says which well-known public names it reaches, for
    the sake of which the server would refuse it.
    """
    from amiguard_client.cli.pattern_trials import read_subjects, try_pattern

    trial = try_pattern(pattern, [subject for path in paths for subject in read_subjects(path)])
    if output == JSON:
        write_json(trial.to_plain())
        return
    _write_trial(trial)


def _entries_of_file(
    path: Path, rule_path: Path | None, now: datetime
) -> tuple[list[LintedEntry], tuple[Pattern, ...]]:
    from amiguard_client.cli.entry_files import read_entries
    from amiguard_core.allowlist import LintedEntry
    from amiguard_core.patterns import Pattern

    problems = Problems()
    listed: list[Entry] = []
    texts: Sequence[str] = ()
    with problems.gathering():
        listed = read_entries(path)
    if rule_path is not None:
        from amiguard_client.cli.rule_files import read_rule

        with problems.gathering():
            texts = read_rule(rule_path).get("public_patterns", ())
    problems.check()
    entries = [
        # A file knows no history: as if it were made now, and matched.
        LintedEntry(entry.to_core(), create_time=now, match_count=1)
        for entry in listed
    ]
    return entries, tuple(map(Pattern.parse, texts))


def _entries_of_server(ctx: click.Context) -> tuple[list[LintedEntry], tuple[Pattern, ...]]:
    from amiguard_client.cli.entries import entry_of
    from amiguard_core.allowlist import LintedEntry
    from amiguard_core.patterns import Pattern

    with tuning_calls(ctx) as tuning:
        messages = tuning.entries()
        public_patterns = tuning.get_rule().public_patterns
    entries = [
        LintedEntry(
            entry_of(message).to_core(),
            create_time=message.create_time.ToDatetime(tzinfo=UTC),
            match_count=message.match_count,
        )
        for message in messages
    ]
    return entries, tuple(map(Pattern.parse, public_patterns))


def _write_remarks(remarks: list[Remark], output: str) -> None:
    if output == JSON:
        write_json(
            {
                "remarks": [
                    {"entry": r.entry, "fault": r.fault.value, "message": r.message}
                    for r in remarks
                ]
            }
        )
        return
    from amiguard_client.cli.sheets import Sheet

    sheet = Sheet(("ENTRY", "FAULT", "WHY"))
    for remark in remarks:
        sheet.add(
            remark.entry.removeprefix("allowlistEntries/"), remark.fault.value, remark.message
        )
    if sheet.rows:
        write_sheet(sheet)


def _write_trial(trial: Trial) -> None:
    from amiguard_client.cli.sheets import Sheet

    sheet = Sheet(("", "WHAT", "TEXT", "FROM"))
    for subject, is_covered in trial.results:
        sheet.add("yes" if is_covered else "no", subject.kind.value, subject.text, subject.source)
    for family in trial.families:
        sheet.add("yes", "public names", family.pattern.text, family.publisher or "")
    if sheet.rows:
        write_sheet(sheet)
    if trial.refusal is not None:
        say(f"As an entry it is refused: {trial.refusal}")
    say(trial.summary)
