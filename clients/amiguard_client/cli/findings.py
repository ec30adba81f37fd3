"""`amiguardctl findings`: findings of a server, as tables or as the JSON of the contract.

The verbs that change and watch them have modules of their own.
"""

from __future__ import annotations

import click

from amiguard_client.cli.finding_changes import (
    FINDING,
    acknowledge,
    assign,
    close,
    label,
    list_history,
    reopen,
)
from amiguard_client.cli.finding_output import sheet_for, write_finding
from amiguard_client.cli.finding_watch import watch
from amiguard_client.cli.listings import (
    ALL,
    FINDING_OUTPUT,
    LIST_OUTPUT,
    PAGE_SIZE,
    PAGE_TOKEN,
    Listing,
    pointing_into,
)
from amiguard_client.cli.server import finding_calls, server_of


@click.group("findings")
def command() -> None:
    """Read findings from a server, change them and watch them."""


@command.command("list")
@click.option(
    "--filter",
    "expression",
    default="",
    metavar="FILTER",
    help="Which findings, for example: state = OPEN AND likelihood = HIGH",
)
@click.option(
    "--order-by",
    default="",
    metavar="FIELDS",
    help="For example: likelihood_score desc, last_launch_time desc",
)
@PAGE_SIZE
@PAGE_TOKEN
@ALL
@click.option(
    "--watch",
    "is_watching",
    is_flag=True,
    help="Keep showing changes until interrupted. On a terminal the table is redrawn; elsewhere "
    "changed findings are appended.",
)
@FINDING_OUTPUT
@click.pass_context
def list_findings(
    ctx: click.Context,
    *,
    expression: str,
    order_by: str,
    page_size: int | None,
    page_token: str,
    is_all: bool,
    is_watching: bool,
    output: str,
) -> None:
    """List findings, the latest change first.

    Suppressed findings are listed when the filter names the state: state = SUPPRESSED.
    """
    if is_watching and page_token:
        raise click.UsageError("got --watch and --page-token, wanted one of them")

    def listed() -> Listing:
        pages = findings.pages(
            expression, order_by=order_by, page_size=page_size or 0, page_token=page_token
        )
        return Listing(pages, field="findings", is_all=is_all)

    with server_of(ctx).connect() as client, pointing_into(expression):
        from amiguard_client._finding_calls import FindingCalls

        findings = FindingCalls(client.connection)
        if is_watching:
            from amiguard_client.cli.finding_list_watch import follow

            follow(client.connection, listed, expression=expression, output=output)
            return
        listed().write(output, sheet_of=sheet_for(output))


@command.command("get")
@FINDING
@FINDING_OUTPUT
@click.pass_context
def get_finding(ctx: click.Context, finding: str, *, output: str) -> None:
    """Show one finding in full.

    FINDING is its id, or its name: findings/ID.
    """
    with finding_calls(ctx) as findings:
        message = findings.get(finding)
    write_finding(message, output)


@command.command("occurrences")
@FINDING
@PAGE_SIZE
@PAGE_TOKEN
@ALL
@LIST_OUTPUT
@click.pass_context
def list_occurrences(
    ctx: click.Context,
    finding: str,
    *,
    page_size: int | None,
    page_token: str,
    is_all: bool,
    output: str,
) -> None:
    """List the launches of one finding, newest first.

    FINDING is its id, or its name: findings/ID.
    """
    with finding_calls(ctx) as findings:
        pages = findings.occurrence_pages(finding, page_size=page_size or 0, page_token=page_token)
        from amiguard_client.cli.finding_rows import occurrence_sheet

        listing = Listing(pages, field="occurrences", is_all=is_all)
        listing.write(output, sheet_of=occurrence_sheet)


for _verb in (acknowledge, close, reopen, assign, label, list_history, watch):
    command.add_command(_verb)
