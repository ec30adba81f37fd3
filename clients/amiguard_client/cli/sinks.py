"""`amiguardctl sinks`: where findings are delivered to, and how that fares."""

from __future__ import annotations

import click

from amiguard_client.cli.completers import complete_finding, complete_sink
from amiguard_client.cli.exits import FAILED
from amiguard_client.cli.listings import (
    ALL,
    LIST_OUTPUT,
    PAGE_TOKEN,
    TUNING_PAGE_SIZE,
    Listing,
    output_option,
)
from amiguard_client.cli.output import JSON, TEXT, count_text, to_json, write_json
from amiguard_client.cli.safe import safe
from amiguard_client.cli.server import sink_calls

_OUTPUT = output_option((TEXT, JSON), "A sentence, or the JSON of the API.")
_SINK = click.argument("sink", metavar="SINK", shell_complete=complete_sink)


@click.group("sinks")
def command() -> None:
    """See where findings are delivered to, retry what failed, and test it.

    Sinks are configured in a file that the server is started with.
    """


@command.command("list")
@TUNING_PAGE_SIZE
@PAGE_TOKEN
@ALL
@LIST_OUTPUT
@click.pass_context
def list_sinks(
    ctx: click.Context, *, page_size: int | None, page_token: str, is_all: bool, output: str
) -> None:
    """List sinks by name: their state, what waits, what failed last."""
    with sink_calls(ctx) as sinks:
        pages = sinks.sink_pages(page_size=page_size or 0, page_token=page_token)
        listing = Listing(pages, field="sinks", is_all=is_all)
        from amiguard_client.cli.sink_views import sink_sheet

        listing.write(output, sheet_of=sink_sheet)


@command.command("dead")
@_SINK
@TUNING_PAGE_SIZE
@PAGE_TOKEN
@ALL
@LIST_OUTPUT
@click.pass_context
def list_dead_letters(
    ctx: click.Context,
    sink: str,
    *,
    page_size: int | None,
    page_token: str,
    is_all: bool,
    output: str,
) -> None:
    """List the dead letters of a sink: findings that are not tried any more."""
    with sink_calls(ctx) as sinks:
        pages = sinks.dead_letter_pages(sink, page_size=page_size or 0, page_token=page_token)
        listing = Listing(pages, field="dead_letters", is_all=is_all)
        from amiguard_client.cli.sink_views import dead_letter_sheet

        listing.write(output, sheet_of=dead_letter_sheet)


@command.command("retry")
@_SINK
@click.argument("finding", metavar="[FINDING]", required=False, shell_complete=complete_finding)
@_OUTPUT
@click.pass_context
def retry_dead_letters(ctx: click.Context, sink: str, finding: str | None, *, output: str) -> None:
    """Deliver dead letters after all: those of a sink, or that of one finding.

    Each is sent as its finding is now. Safe to repeat.
    """
    with sink_calls(ctx) as sinks:
        count = sinks.retry(sink, finding)
    if output == JSON:
        write_json({"retried_count": str(count)})
        return
    click.echo(f"{count_text(count, 'dead letter')} due now")


@command.command("test")
@_SINK
@_OUTPUT
@click.pass_context
def test_sink(ctx: click.Context, sink: str, *, output: str) -> None:
    """Send a sink an event that says it is a test, and say what came back.

    Exits 1 where the sink did not take it.
    """
    with sink_calls(ctx) as sinks:
        response = sinks.test(sink)
    if output == JSON:
        write_json(to_json(response))
    else:
        what = "delivered" if response.delivered else "not delivered"
        milliseconds = response.duration.ToMilliseconds()
        click.echo(f"{what} in {milliseconds:,} ms: {safe(response.answer)}")
    if not response.delivered:
        ctx.exit(FAILED)
