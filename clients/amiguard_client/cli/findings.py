"""`amiguardctl findings`: findings of a server, as tables or as the JSON of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import rich_click as click

from amiguard_client.cli.output import (
    JSON,
    NDJSON,
    TABLE,
    say,
    to_json,
    write,
    write_json,
    write_list,
    write_ndjson,
    write_sheet,
)
from amiguard_client.cli.safe import safe
from amiguard_client.cli.server import Server
from amiguard_client.errors import InvalidRequestError

if TYPE_CHECKING:
    from amiguard_client._finding_calls import FindingCalls


_PAGE_SIZE = click.option(
    "--page-size",
    type=click.IntRange(1, 500),
    metavar="COUNT",
    help="Most of a page; 50 unless given.",
)
_PAGE_TOKEN = click.option("--page-token", default="", help="Start at the page of this token.")
_ALL = click.option("--all", "is_all", is_flag=True, help="Go on until there are no more pages.")
_LIST_OUTPUT = click.option(
    "-o",
    "output",
    type=click.Choice([TABLE, JSON, NDJSON]),
    default=TABLE,
    show_default=True,
    help="A table, the JSON of the API, or that of one item a line.",
)


@click.group("findings")
def command() -> None:
    """Read findings from a server."""


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
@_PAGE_SIZE
@_PAGE_TOKEN
@_ALL
@_LIST_OUTPUT
@click.pass_context
def list_findings(
    ctx: click.Context,
    *,
    expression: str,
    order_by: str,
    page_size: int | None,
    page_token: str,
    is_all: bool,
    output: str,
) -> None:
    """List findings, the latest change first.

    Suppressed findings are listed when the filter names the state: state = SUPPRESSED.
    """
    with _findings_of(ctx) as findings, _pointing_into(expression):
        pages = findings.pages(
            expression, order_by=order_by, page_size=page_size or 0, page_token=page_token
        )
        listing = _Listing(pages, field="findings", is_all=is_all)
        if output == TABLE:
            from amiguard_client._from_wire import finding_of
            from amiguard_client.cli.views import finding_sheet

            write_sheet(finding_sheet(map(finding_of, listing)))
        listing.write(output)


@command.command("get")
@click.argument("finding")
@click.option(
    "-o",
    "output",
    type=click.Choice([TABLE, JSON]),
    default=TABLE,
    show_default=True,
    help="For reading, or the JSON of the API.",
)
@click.pass_context
def get_finding(ctx: click.Context, finding: str, *, output: str) -> None:
    """Show one finding in full.

    FINDING is its id, or its name: findings/ID.
    """
    with _findings_of(ctx) as findings:
        message = findings.get(finding)
    if output == JSON:
        write_json(to_json(message))
        return
    from amiguard_client._from_wire import finding_of
    from amiguard_client.cli.views import finding_detail

    write(finding_detail(finding_of(message)))


@command.command("occurrences")
@click.argument("finding")
@_PAGE_SIZE
@_PAGE_TOKEN
@_ALL
@_LIST_OUTPUT
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
    with _findings_of(ctx) as findings:
        pages = findings.occurrence_pages(finding, page_size=page_size or 0, page_token=page_token)
        listing = _Listing(pages, field="occurrences", is_all=is_all)
        if output == TABLE:
            from amiguard_client._from_wire import occurrence_of
            from amiguard_client.cli.views import occurrence_sheet

            write_sheet(occurrence_sheet(map(occurrence_of, listing)))
        listing.write(output)


class _Listing:
    """The items of one page or of all, and the token of the page that was not asked for."""

    def __init__(self, pages: Iterator[Any], *, field: str, is_all: bool) -> None:
        self._pages = pages if is_all else islice(pages, 1)
        self._field = field
        self._is_all = is_all
        self._rest: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Any]:
        for page in self._pages:
            yield from getattr(page, self._field)
            if page.next_page_token and not self._is_all:
                self._rest["next_page_token"] = page.next_page_token

    def write(self, output: str) -> None:
        """Writes what was not yet read as JSON, and says how to go on."""
        if output == JSON:
            write_list(self._field, map(to_json, self), last=self._rest)
        elif output == NDJSON:
            write_ndjson(map(to_json, self))
        if output != JSON and self._rest:
            say(f"There is more: --all, or --page-token {self._rest['next_page_token']}")


@contextmanager
def _findings_of(ctx: click.Context) -> Iterator[FindingCalls]:
    server = ctx.find_object(Server)
    assert server is not None  # noqa: S101 - the root command makes one
    from amiguard_client._finding_calls import FindingCalls

    with server.connect() as client:
        yield FindingCalls(client.connection)


@contextmanager
def _pointing_into(expression: str) -> Iterator[None]:
    """Shows where in a filter the server stopped understanding it."""
    try:
        yield
    except InvalidRequestError as error:
        offset = error.metadata.get("offset", "")
        if error.reason == "FILTER_SYNTAX" and offset.isdecimal():
            before = safe(expression.encode()[: int(offset)].decode(errors="replace"))
            say(f"  {expression}")
            say(f"  {' ' * len(before)}^")
        raise
