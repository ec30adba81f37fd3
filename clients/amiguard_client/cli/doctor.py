"""`amiguardctl doctor`: what is wrong with what comes in, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from amiguard_client.cli.exits import FAILED
from amiguard_client.cli.output import (
    JSON,
    TEXT,
    count_text,
    say,
    to_json,
    write,
    write_json,
)
from amiguard_client.cli.server import server_of
from amiguard_client.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amiguard.v1.finding_service_pb2 import GetCoverageResponse
    from amiguard_client.channel import Connection
    from amiguard_client.coverage import Coverage, Diagnosis

_UNHEALTHY = (
    "The server is there and takes no calls: its database is lost, or it is about to stop. Its log "
    "says why: store.unavailable with the reason, or server.draining."
)
_LEFT_ALONE = ("STORE_UNAVAILABLE", "DRAINING")
"""Reasons of a server that can be reached and cannot answer."""


@click.command("doctor")
@click.option("--account", "account_id", default="", metavar="ID", help="Only this account.")
@click.option("--region", default="", metavar="REGION", help="Only this region.")
@click.option("--regions", "is_listing", is_flag=True, help="List all regions and forwarders, too.")
@click.option("--all", "tells_all", is_flag=True, help="Every problem, however many of a kind.")
@click.option(
    "-o",
    "--output",
    type=click.Choice([TEXT, JSON]),
    default=TEXT,
    show_default=True,
    help="Sentences, or the JSON of the API.",
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    account_id: str,
    region: str,
    is_listing: bool,
    tells_all: bool,
    output: str,
) -> None:
    """Say what is wrong with a server, and with what it is sent.

    What no longer arrives, arrives too late or cannot be read leads to no finding, and nobody
    notices. Each problem is a sentence that says what to do.

    Exit codes: 0 all is well, 1 something is wrong, 3 server not reachable. Notes are no problems.
    """
    with server_of(ctx).connect() as client:
        pages = _ask(client.connection, account_id=account_id, region=region)
    if pages is None:
        say(f"ERROR    {_UNHEALTHY}")
        ctx.exit(FAILED)
    from amiguard_client.coverage import coverage_of

    coverage = coverage_of(pages)
    if output == JSON:
        write_json(_joined(pages))
    else:
        _write(coverage, is_listing=is_listing, tells_all=tells_all)
    if any(map(_is_problem, coverage.diagnoses)):
        ctx.exit(FAILED)


def _ask(
    connection: Connection, *, account_id: str, region: str
) -> list[GetCoverageResponse] | None:
    """Returns what the server says came in; None where it can be reached and cannot say."""
    from amiguard_client.coverage import coverage_pages
    from amiguard_client.health import is_serving

    if not is_serving(connection):
        return None
    try:
        return list(coverage_pages(connection, account_id=account_id, region=region))
    except UnreachableError as error:
        if error.reason in _LEFT_ALONE:
            return None
        raise


def _joined(pages: Iterable[GetCoverageResponse]) -> object:
    """Returns the pages as the JSON of one answer."""
    from amiguard.v1.finding_service_pb2 import GetCoverageResponse

    whole = GetCoverageResponse()
    for page in pages:
        whole.MergeFrom(page)
    whole.next_page_token = ""
    return to_json(whole)


def _write(coverage: Coverage, *, is_listing: bool, tells_all: bool) -> None:
    from amiguard_client.cli.coverage_views import (
        MOST_OF_A_KIND,
        diagnosis_list,
        region_sheet,
        source_sheet,
    )

    if is_listing:
        write(region_sheet(coverage.regions), "", source_sheet(coverage.sources), "")
    if coverage.diagnoses:
        most = None if tells_all else MOST_OF_A_KIND
        write(diagnosis_list(coverage.diagnoses, most_of_a_kind=most), "")
    write(_summary(coverage))


def _summary(coverage: Coverage) -> str:
    problem_count = sum(map(_is_problem, coverage.diagnoses))
    parts = (
        count_text(sum(region.record_count for region in coverage.regions), "record"),
        count_text(len({region.account_id for region in coverage.regions}), "account"),
        count_text(len({region.region for region in coverage.regions}), "region"),
        count_text(len(coverage.sources), "forwarder"),
    )
    found = f"{count_text(problem_count, 'problem')}." if problem_count else "All is well."
    return f"{found} {parts[0]} of {parts[1]} and {parts[2]}, from {parts[3]}."


def _is_problem(diagnosis: Diagnosis) -> bool:
    from amiguard_client.coverage import Severity

    return diagnosis.severity is not Severity.NOTE
