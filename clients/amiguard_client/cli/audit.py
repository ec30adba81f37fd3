"""`amiguardctl audit`: who changed the tuning and why, and whether the record of it is whole."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.exits import FAILED
from amiguard_client.cli.listings import ALL, LIST_OUTPUT, PAGE_TOKEN, TUNING_PAGE_SIZE, Listing
from amiguard_client.cli.output import JSON, TEXT, count_text, say, write_json
from amiguard_client.cli.server import server_of, tuning_calls
from amiguard_client.cli.times import Time

if TYPE_CHECKING:
    from amiguard_client.tuning_values import Audit


@click.group("audit")
def command() -> None:
    """See every change of allowlist, rules and known images, and check that none was tampered with.

    Each change is sealed with the hash of the one before it.
    """


@command.command("list")
@click.option("--since", type=Time(), help="Only changes at or after this time.")
@TUNING_PAGE_SIZE
@PAGE_TOKEN
@ALL
@LIST_OUTPUT
@click.pass_context
def list_changes(
    ctx: click.Context,
    *,
    since: datetime | None,
    page_size: int | None,
    page_token: str,
    is_all: bool,
    output: str,
) -> None:
    """List changes, oldest first."""
    with tuning_calls(ctx) as tuning:
        pages = tuning.change_pages(
            start_time=since, page_size=page_size or 0, page_token=page_token
        )
        listing = Listing(pages, field="changes", is_all=is_all)
        from amiguard_client.cli.tuning_views import audit_sheet

        listing.write(output, sheet_of=audit_sheet)


@command.command("verify", short_help="Check that no change was tampered with.")
@click.option(
    "--known-hash",
    "known_hashes",
    multiple=True,
    metavar="HASH",
    help="A hash that a former run printed: the chain must hold it. Give it once for each.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice([TEXT, JSON]),
    default=TEXT,
    show_default=True,
    help="A sentence, or one JSON object.",
)
@click.pass_context
def verify_changes(ctx: click.Context, *, known_hashes: tuple[str, ...], output: str) -> None:
    """Compute the hash of every change again, to find changes that were edited or removed.

    Exits 1 with the number of the first change that is not as it was sealed. A writer of the
    database could seal all of it again. So keep the hash that this prints somewhere else, and give
    it as --known-hash to the next run.
    """
    from amiguard_client.tuning import AuditBrokenError, verify_audit

    with server_of(ctx).connect() as client:
        audit = client.tuning.read_audit()
    try:
        verify_audit(audit.changes, total_count=audit.total_count, last_hash=audit.last_hash)
        _find_hashes(audit, known_hashes)
    except AuditBrokenError as error:
        if output == JSON:
            write_json({"is_whole": False, "number": error.number, "problem": error.problem})
        say(f"Error: {error}")
        ctx.exit(FAILED)
    if output == JSON:
        write_json({"is_whole": True, "count": audit.total_count, "last_hash": audit.last_hash})
        return
    count = count_text(audit.total_count, "change")
    click.echo(f"{count}, whole; last hash {audit.last_hash or '-'}")


def _find_hashes(audit: Audit, known_hashes: tuple[str, ...]) -> None:
    """Raises AuditBrokenError where a hash that was noted once is that of no change."""
    from amiguard_client.tuning import AuditBrokenError

    present = {change.hash for change in audit.changes}
    for known in known_hashes:
        if known not in present:
            count = max(audit.total_count, 1)
            raise AuditBrokenError(count, f"no change up to here has the hash {known}")
