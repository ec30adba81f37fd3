"""`amiguardctl explain`: how each search and launch of a file is judged, and why."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amiguard_client.cli.discovery import STDIN, STDIN_NAME, Discovery
from amiguard_client.cli.exits import SOME_REJECTED
from amiguard_client.cli.output import JSON, TEXT, count_text, say, write_json
from amiguard_client.cli.policy import policy_of, policy_options
from amiguard_client.cli.safe import safe

if TYPE_CHECKING:
    from datetime import timedelta

    from amiguard_client.cli.scan import Scan


@click.command("explain")
@click.argument("file", type=click.Path(path_type=Path))
@policy_options
@click.option(
    "-o",
    "--output",
    type=click.Choice([TEXT, JSON]),
    default=TEXT,
    show_default=True,
    help="For reading, or one JSON object.",
)
@click.pass_context
def command(
    ctx: click.Context,
    file: Path,
    *,
    mode: str,
    correlate_by: str,
    window: timedelta,
    launch_paths: tuple[str, ...],
    output: str,
) -> None:
    """Say how each search and launch in a file is judged, without a server.

    FILE is a log file, or - for standard input. Each search comes with its protections or with
    the reasons why it is unsafe, and with the launches that follow it or that miss it and by what.
    """
    from amiguard_client.cli.verdict_json import json_of
    from amiguard_client.cli.verdict_text import text_of
    from amiguard_client.cli.verdicts import explain

    policy = policy_of(
        mode=mode, correlate_by=correlate_by, window=window, launch_paths=launch_paths
    )
    if Discovery(on_problem=say).is_refused(str(file)):
        ctx.exit(SOME_REJECTED)
    scan = _scan(file)
    verdicts = explain(scan.searches, scan.launches, policy)
    if output == JSON:
        write_json({**json_of(verdicts), **_counts(scan)})
    else:
        for line in text_of(verdicts):
            click.echo(safe(line))
    _say_counts(scan)
    if scan.rejections:
        ctx.exit(SOME_REJECTED)


def _scan(file: Path) -> Scan:
    """Reads the file, counting every way of launching there is: the policy judges later."""
    from amiguard_client.cli.scan import Scan, scan_stream
    from amiguard_core.events import LaunchPath

    found = Scan()
    name = STDIN_NAME if str(file) == STDIN else str(file)
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == STDIN else file.open("rb") as stream:
            scan_stream(stream, found, name=name, launch_paths=LaunchPath)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror or error}") from error
    if found.empty:
        raise click.ClickException(f"{name} is empty")
    return found


def _say_counts(scan: Scan) -> None:
    for rejected in scan.rejections:
        say(f"rejected: {rejected.file}[{rejected.index}] {rejected.message}")
    if scan.failed_count:
        say(f"{scan.failed_count:,} of the searches and launches failed and count as neither")
    counts = (
        count_text(scan.record_count + len(scan.rejections), "record"),
        count_text(len(scan.searches), "search", "searches"),
        count_text(len(scan.launches), "launch", "launches"),
        f"{len(scan.rejections):,} rejected",
    )
    say("  ".join(counts))


def _counts(scan: Scan) -> dict[str, Any]:
    return {
        "rejections": [
            {"index": r.index, "path": r.path, "message": r.message} for r in scan.rejections
        ],
        "record_count": scan.record_count,
        "failed_count": scan.failed_count,
        "unidentified_count": scan.unidentified_count,
    }
