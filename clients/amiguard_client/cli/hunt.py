"""`amiguardctl hunt`: the rule over log files, with no server and no database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.discovery import STDIN, STDIN_NAME, Discovery
from amiguard_client.cli.exits import FAILED, SOME_REJECTED
from amiguard_client.cli.finding_output import sheet_for
from amiguard_client.cli.inputs import follow_links_option, paths_argument, rejections_option
from amiguard_client.cli.listings import FINDING_OUTPUT, write_items
from amiguard_client.cli.output import TABLE, WIDE, count_text, say
from amiguard_client.cli.policy import policy_of, policy_options
from amiguard_client.cli.progress import progress_bar

if TYPE_CHECKING:
    from datetime import timedelta

    from amiguard_client.cli.scan import Scan
    from amiguard_core.findings import Finding
    from amiguard_core.policy import Policy


@click.command("hunt")
@paths_argument
@policy_options
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="COUNT",
    help="Worker processes; as many as there are processors unless given.",
)
@follow_links_option
@rejections_option
@FINDING_OUTPUT
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    *,
    jobs: int | None,
    mode: str,
    correlate_by: str,
    window: timedelta,
    launch_paths: tuple[str, ...],
    follows_links: bool,
    show_rejections: int,
    output: str,
) -> None:
    """Look for findings in log files, without a server.

    PATH is a log file, a folder of them, or - for standard input, as with submit. Of a folder
    the same files are read, and the same are left out and counted. What is found
    is what a server would find with the same settings and an empty allowlist. Findings that the
    rule suppresses are listed too, with the state SUPPRESSED.
    """
    policy = policy_of(
        mode=mode, correlate_by=correlate_by, window=window, launch_paths=launch_paths
    )
    discovery = Discovery(on_problem=say, follows_links=follows_links)
    scan = _scan(paths, policy, discovery, jobs=jobs)
    findings = _find(scan, policy)
    _write(findings, output)
    _say_what_role_adds(scan, findings, policy)
    _say_counts(scan, findings, discovery, show_rejections=show_rejections)
    if discovery.problem_count:
        ctx.exit(FAILED)
    if scan.rejections or discovery.refused_count:
        ctx.exit(SOME_REJECTED)


def _scan(
    paths: tuple[Path, ...], policy: Policy, discovery: Discovery, *, jobs: int | None
) -> Scan:
    from amiguard_client.cli.scan import Scan
    from amiguard_client.cli.workers import available_cpus, scan_all

    files = list(discovery.find(path for path in paths if str(path) != STDIN))
    found = Scan()
    if any(str(path) == STDIN for path in paths):
        _scan_stdin(found, policy)
    with progress_bar(len(files)) as bar:
        for file_count, scan in scan_all(
            files, launch_paths=policy.rule.launch_paths, jobs=jobs or available_cpus()
        ):
            found.add(scan)
            bar.advance(files=file_count, records=scan.record_count)
    for name in found.empty:
        say(f"{name}: empty, left out")
    for problem in found.problems:
        discovery.problem(problem)
    return found


def _scan_stdin(found: Scan, policy: Policy) -> None:
    from amiguard_client.cli.scan import scan_stream

    launch_paths = policy.rule.launch_paths
    scan_stream(sys.stdin.buffer, found, name=STDIN_NAME, launch_paths=launch_paths)


def _find(scan: Scan, policy: Policy) -> list[Finding]:
    """Returns the findings, the likeliest first and the latest before others."""
    from amiguard_core.pipeline import find

    return sorted(
        find(scan.searches, scan.launches, policy),
        key=lambda finding: (finding.score, finding.latest.recency),
        reverse=True,
    )


def _write(findings: list[Finding], output: str) -> None:
    from amiguard_client.cli._convert import finding_message

    if findings or output not in {TABLE, WIDE}:
        messages = map(finding_message, findings)
        write_items("findings", messages, output, sheet_of=sheet_for(output))


def _say_what_role_adds(scan: Scan, findings: list[Finding], policy: Policy) -> None:
    from msgspec.structs import replace

    from amiguard_core.policy import CorrelateBy

    if policy.rule.correlate_by is not CorrelateBy.PRINCIPAL:
        return
    by_role = replace(policy, rule=replace(policy.rule, correlate_by=CorrelateBy.ROLE))
    found = _find(scan, by_role)
    more = count_text(len(found) - len(findings), "more finding")
    if len(found) == len(findings):
        launch_count = sum(len(one.occurrences) for one in found)
        launch_count -= sum(len(one.occurrences) for one in findings)
        if not launch_count:
            return
        more = count_text(launch_count, "more launch", "more launches")
    say(f"{more} with --correlate-by role: calls of one role under different session names")


def _say_counts(
    scan: Scan, findings: list[Finding], discovery: Discovery, *, show_rejections: int
) -> None:
    for rejected in scan.rejections[:show_rejections]:
        say(f"rejected: {rejected.file}[{rejected.index}] {rejected.message}")
    unnamed_count = len(scan.rejections) - show_rejections
    if show_rejections and unnamed_count > 0:
        say(f"... and {unnamed_count:,} more")
    for line in discovery.left_out.lines():
        say(line)
    if scan.padding_bytes:
        say(f"left out {count_text(scan.padding_bytes, 'byte')} of NUL padding")
    if scan.unidentified_count:
        say(f"{scan.unidentified_count:,} of the searches and launches name nobody to correlate by")
    counts = (
        count_text(scan.file_count, "file"),
        count_text(scan.record_count + len(scan.rejections), "record"),
        count_text(len(scan.searches), "search", "searches"),
        count_text(len(scan.launches), "launch", "launches"),
        f"{len(scan.rejections):,} rejected",
        count_text(len(findings), "finding"),
    )
    say("  ".join(counts))
