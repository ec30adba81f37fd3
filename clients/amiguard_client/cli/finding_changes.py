"""The verbs of `amiguardctl findings` that change a finding, and what was done to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.completers import complete_finding
from amiguard_client.cli.durations import Duration
from amiguard_client.cli.listings import ALL, LIST_OUTPUT, PAGE_SIZE, PAGE_TOKEN, Listing
from amiguard_client.cli.output import JSON, TABLE, to_json, write_json, write_sheet
from amiguard_client.cli.server import finding_calls
from amiguard_client.cli.times import Time
from amiguard_client.errors import ConflictError

if TYPE_CHECKING:
    from amiguard.v1 import finding_pb2
    from amiguard_client._finding_calls import FindingCalls

_DISPOSITIONS = ("true-positive", "unrelated-launch", "false-positive", "risk-accepted")
_ATTEMPTS = 5
"""How often labels are merged anew after somebody else was faster."""

FINDING = click.argument("finding", shell_complete=complete_finding)
_ETAG = click.option(
    "--etag", metavar="ETAG", help="Do it only if this is still the finding's etag."
)
_COMMENT = click.option("--comment", required=True, metavar="TEXT", help="Why. Required.")
_OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice([TABLE, JSON]),
    default=TABLE,
    show_default=True,
    help="The finding after the change: a table, or the JSON of the API.",
)


@click.command("ack")
@FINDING
@click.option("--assignee", metavar="WHO", help="Who takes it up; you unless given.")
@_ETAG
@_OUTPUT
@click.pass_context
def acknowledge(
    ctx: click.Context, finding: str, *, assignee: str | None, etag: str | None, output: str
) -> None:
    """Acknowledge an open finding.

    FINDING is its id, or its name: findings/ID.
    """
    with finding_calls(ctx) as findings:
        _show(findings.acknowledge(finding, assignee=assignee, etag=etag), output)


@click.command("close")
@FINDING
@click.option(
    "--as",
    "disposition",
    required=True,
    type=click.Choice(_DISPOSITIONS, case_sensitive=False),
    help="What it turned out to be. Required.",
)
@_COMMENT
@click.option("--accept-until", type=Time(), help="With risk-accepted: until when.")
@click.option("--accept-for", type=Duration(), help="The same, counted from now: 90d.")
@_ETAG
@_OUTPUT
@click.pass_context
def close(
    ctx: click.Context,
    finding: str,
    *,
    disposition: str,
    comment: str,
    accept_until: datetime | None,
    accept_for: timedelta | None,
    etag: str | None,
    output: str,
) -> None:
    """Close a finding.

    FINDING is its id, or its name: findings/ID. A later launch opens it again, unless its risk is
    accepted for the time.
    """
    if accept_until is not None and accept_for is not None:
        raise click.UsageError("got --accept-until and --accept-for, wanted one of them")
    if accept_for is not None:
        accept_until = datetime.now(UTC) + accept_for
    is_accepted = disposition == "risk-accepted"
    if is_accepted and accept_until is None:
        raise click.UsageError("risk-accepted wants --accept-until or --accept-for")
    if not is_accepted and accept_until is not None:
        raise click.UsageError(f"a time of acceptance goes with risk-accepted, got {disposition}")
    with finding_calls(ctx) as findings:
        closed = findings.close(
            finding,
            disposition=disposition.upper().replace("-", "_"),
            comment=comment,
            accept_until_time=accept_until,
            etag=etag,
        )
        _show(closed, output)


@click.command("reopen")
@FINDING
@_COMMENT
@_ETAG
@_OUTPUT
@click.pass_context
def reopen(
    ctx: click.Context, finding: str, *, comment: str, etag: str | None, output: str
) -> None:
    """Open a closed finding again.

    FINDING is its id, or its name: findings/ID.
    """
    with finding_calls(ctx) as findings:
        _show(findings.reopen(finding, comment=comment, etag=etag), output)


@click.command("assign")
@FINDING
@click.argument("assignee", required=False)
@click.option("--nobody", "is_nobody", is_flag=True, help="Remove the assignee.")
@_ETAG
@_OUTPUT
@click.pass_context
def assign(
    ctx: click.Context,
    finding: str,
    assignee: str | None,
    *,
    is_nobody: bool,
    etag: str | None,
    output: str,
) -> None:
    """Hand a finding to somebody, in whichever state it is.

    FINDING is its id, or its name: findings/ID.
    """
    if is_nobody == bool(assignee):
        raise click.UsageError("wanted either an ASSIGNEE or --nobody")
    with finding_calls(ctx) as findings:
        _show(findings.update(finding, assignee=assignee or "", etag=etag), output)


@click.command("label", short_help="Set its labels, or take them away.")
@FINDING
@click.argument("labels", nargs=-1, required=True, metavar="KEY=VALUE|KEY-...")
@_ETAG
@_OUTPUT
@click.pass_context
def label(
    ctx: click.Context, finding: str, labels: tuple[str, ...], *, etag: str | None, output: str
) -> None:
    """Set labels of a finding, or take them away: KEY=VALUE sets one, KEY- takes one away.

    FINDING is its id, or its name: findings/ID. Labels that are not named stay as they are.
    """
    wanted = dict(map(_label, labels))
    with finding_calls(ctx) as findings:
        _show(_merge(findings, finding, wanted, etag=etag), output)


@click.command("history", short_help="List its moves from state to state.")
@FINDING
@PAGE_SIZE
@PAGE_TOKEN
@ALL
@LIST_OUTPUT
@click.pass_context
def list_history(
    ctx: click.Context,
    finding: str,
    *,
    page_size: int | None,
    page_token: str,
    is_all: bool,
    output: str,
) -> None:
    """List the moves of one finding from state to state, oldest first.

    FINDING is its id, or its name: findings/ID.
    """
    with finding_calls(ctx) as findings:
        pages = findings.history_pages(finding, page_size=page_size or 0, page_token=page_token)
        from amiguard_client.cli.finding_rows import history_sheet

        listing = Listing(pages, field="entries", is_all=is_all)
        listing.write(output, sheet_of=history_sheet)


def _label(text: str) -> tuple[str, str | None]:
    """Returns a key and its value, None where it is to go."""
    key, equals, value = text.partition("=")
    if equals and key:
        return key, value
    if not equals and len(text) > 1 and text.endswith("-"):
        return text[:-1], None
    raise click.UsageError(f"got {text!r}, wanted KEY=VALUE or KEY-")


def _merge(
    findings: FindingCalls, name: str, wanted: dict[str, str | None], *, etag: str | None
) -> finding_pb2.Finding:
    """Sets labels beside those there are; what others set meanwhile stays."""
    for attempt in range(_ATTEMPTS):
        present = findings.get(name)
        merged = {**present.labels, **wanted}
        labels = {key: value for key, value in merged.items() if value is not None}
        try:
            return findings.update(name, labels=labels, etag=etag or present.etag)
        except ConflictError as error:
            is_last = attempt + 1 == _ATTEMPTS
            if error.reason != "ETAG_MISMATCH" or etag is not None or is_last:
                raise
    raise AssertionError


def _show(finding: finding_pb2.Finding, output: str) -> None:
    if output == JSON:
        write_json(to_json(finding))
        return
    from amiguard_client.cli.finding_rows import finding_sheet

    write_sheet(finding_sheet([finding]))
