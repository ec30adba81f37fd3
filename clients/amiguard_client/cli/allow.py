"""`amiguardctl allow`: what the organization vouches for. Reads here; changes and checks beside."""

from __future__ import annotations

import click

from amiguard_client.cli.allow_changes import ENTRY, add_entry, remove_entry, update_entry
from amiguard_client.cli.allow_checks import lint_entries, try_entry
from amiguard_client.cli.allow_files import apply_entries, export_entries
from amiguard_client.cli.listings import (
    ALL,
    LIST_OUTPUT,
    PAGE_TOKEN,
    TUNING_PAGE_SIZE,
    Listing,
    pointing_into,
)
from amiguard_client.cli.output import JSON, TABLE, YAML, to_json, write, write_json
from amiguard_client.cli.server import tuning_calls


@click.group("allow")
def command() -> None:
    """See, change and check the allowlist.

    An entry vouches for image owners, accounts or name patterns. It makes findings less likely, and
    in mode STRICT searches safe; so every change is shown at work before it is made, and is kept
    with its reason in the audit.
    """


@command.command("list")
@click.option(
    "--filter",
    "expression",
    default="",
    metavar="FILTER",
    help="Which entries, for example: organization_pattern:* AND account_ids:000123456789",
)
@TUNING_PAGE_SIZE
@PAGE_TOKEN
@ALL
@LIST_OUTPUT
@click.pass_context
def list_entries(
    ctx: click.Context,
    *,
    expression: str,
    page_size: int | None,
    page_token: str,
    is_all: bool,
    output: str,
) -> None:
    """List entries by name, the expired too."""
    with tuning_calls(ctx) as tuning, pointing_into(expression):
        pages = tuning.entry_pages(expression, page_size=page_size or 0, page_token=page_token)
        listing = Listing(pages, field="allowlist_entries", is_all=is_all)
        from amiguard_client.cli.tuning_views import entry_sheet

        listing.write(output, sheet_of=entry_sheet)


@command.command("get")
@ENTRY
@click.option(
    "-o",
    "--output",
    type=click.Choice([TABLE, JSON, YAML]),
    default=TABLE,
    show_default=True,
    help="For reading, the JSON of the API, or a file for `allow apply`.",
)
@click.pass_context
def get_entry(ctx: click.Context, entry: str, *, output: str) -> None:
    """Show one entry.

    ENTRY is its id, or its name: allowlistEntries/ID.
    """
    with tuning_calls(ctx) as tuning:
        message = tuning.get_entry(entry)
    if output == JSON:
        write_json(to_json(message))
    elif output == YAML:
        from amiguard_client.cli.entries import entry_of
        from amiguard_client.cli.entry_files import write_entries

        click.echo(write_entries([entry_of(message)]), nl=False)
    else:
        from amiguard_client.cli.tuning_views import entry_detail

        write(entry_detail(message))


for _verb in (
    add_entry,
    update_entry,
    remove_entry,
    export_entries,
    apply_entries,
    lint_entries,
    try_entry,
):
    command.add_command(_verb)
