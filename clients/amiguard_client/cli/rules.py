"""`amiguardctl rules`: the rule configuration. Reads here; changes and backtests beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from amiguard_client.cli.backtest import backtest
from amiguard_client.cli.completers import complete_revision
from amiguard_client.cli.listings import ALL, LIST_OUTPUT, PAGE_TOKEN, TUNING_PAGE_SIZE, Listing
from amiguard_client.cli.output import (
    JSON,
    TABLE,
    TEXT,
    YAML,
    count_text,
    say,
    to_json,
    write,
    write_json,
)
from amiguard_client.cli.rule_changes import roll_back, set_rule
from amiguard_client.cli.server import tuning_calls

if TYPE_CHECKING:
    from amiguard.v1 import tuning_service_pb2 as wire

REVISION = click.IntRange(min=1)


@click.group("rules")
def command() -> None:
    """See, change and test the rule configuration.

    One revision is in force at a time. A change makes a new one; older ones are never changed.
    """


@command.command("get")
@click.argument("revision", type=REVISION, required=False, shell_complete=complete_revision)
@click.option(
    "-o",
    "--output",
    type=click.Choice([TABLE, JSON, YAML]),
    default=TABLE,
    show_default=True,
    help="For reading, the JSON of the API, or a file for `rules set -f` and `rules backtest`.",
)
@click.pass_context
def get_rule(ctx: click.Context, revision: int | None, *, output: str) -> None:
    """Show the configuration in force, or the one of a REVISION."""
    with tuning_calls(ctx) as tuning:
        message = tuning.get_rule(revision or 0)
    if output == JSON:
        write_json(to_json(message))
    elif output == YAML:
        from amiguard_client.cli.rule_files import rule_of, write_rule

        click.echo(write_rule(rule_of(message)), nl=False)
    else:
        from amiguard_client.cli.tuning_views import rule_detail

        write(rule_detail(message))


@command.command("list")
@TUNING_PAGE_SIZE
@PAGE_TOKEN
@ALL
@LIST_OUTPUT
@click.pass_context
def list_rules(
    ctx: click.Context, *, page_size: int | None, page_token: str, is_all: bool, output: str
) -> None:
    """List configurations, newest first."""
    with tuning_calls(ctx) as tuning:
        pages = tuning.rule_pages(page_size=page_size or 0, page_token=page_token)
        listing = Listing(pages, field="rule_configs", is_all=is_all)
        from amiguard_client.cli.tuning_views import rule_sheet

        listing.write(output, sheet_of=rule_sheet)


@command.command("diff", short_help="Say in which settings two revisions differ.")
@click.argument("revision", type=REVISION, shell_complete=complete_revision)
@click.argument("other", type=REVISION, required=False, shell_complete=complete_revision)
@click.option(
    "-o",
    "--output",
    type=click.Choice([TEXT, JSON]),
    default=TEXT,
    show_default=True,
    help="A line for each setting that differs, or one JSON object.",
)
@click.pass_context
def diff_rules(ctx: click.Context, revision: int, other: int | None, *, output: str) -> None:
    """Say in which settings a REVISION and an OTHER one, or the one in force, differ."""
    with tuning_calls(ctx) as tuning:
        before, after = tuning.get_rule(revision), tuning.get_rule(other or 0)
    _write_differences(before, after, output)


@command.command("status", short_help="Say how far a change has been applied.")
@click.option(
    "-o",
    "--output",
    type=click.Choice([TEXT, JSON]),
    default=TEXT,
    show_default=True,
    help="For reading, or the JSON of the API.",
)
@click.pass_context
def status(ctx: click.Context, *, output: str) -> None:
    """Say how far the latest change of rules or allowlist has been applied to what is stored.

    New records are judged by it from the moment it is in force.
    """
    with tuning_calls(ctx) as tuning:
        progress = tuning.progress()
    if output == JSON:
        write_json(to_json(progress))
    elif progress.in_progress:
        nouns = {"FINDINGS": "finding", "LANES": "lane"}
        done = count_text(progress.done_count, nouns.get(progress.scope, "item"))
        began = progress.start_time.ToJsonString()
        click.echo(f"policy {progress.policy_version}: under way since {began}, {done} done")
    else:
        click.echo(f"policy {progress.policy_version}: applied to all that is stored")


def _write_differences(before: wire.RuleConfig, after: wire.RuleConfig, output: str) -> None:
    from amiguard_client.cli.previews import difference_lines
    from amiguard_client.cli.rule_files import changed_settings, plain_of, rule_of, texts_of

    old, new = rule_of(before), rule_of(after)
    differing = changed_settings(old, new)
    if output == JSON:
        one, other = plain_of(old), plain_of(new)
        write_json(
            {
                "from": before.revision,
                "to": after.revision,
                "changes": [
                    {"field": name, "before": one[name], "after": other[name]} for name in differing
                ],
            }
        )
        return
    for line in difference_lines(texts_of(old), texts_of(new)):
        click.echo(line)
    count = count_text(len(differing), "setting")
    say(f"revision {before.revision} -> {after.revision}: {count} another")


for _verb in (set_rule, roll_back, backtest):
    command.add_command(_verb)
