"""`amiguardctl submit`: log files in, a summary out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import rich_click as click

from amiguard_client.cli.discovery import STDIN, STDIN_NAME, Discovery
from amiguard_client.cli.durations import Duration
from amiguard_client.cli.exits import FAILED, SOME_REJECTED
from amiguard_client.cli.inputs import paths_argument, rejections_option
from amiguard_client.cli.output import JSON, TEXT, count_text, say, write_json
from amiguard_client.cli.progress import progress_bar
from amiguard_client.cli.safe import safe
from amiguard_client.cli.server import server_of
from amiguard_client.errors import AmiguardError

if TYPE_CHECKING:
    from amiguard_client.cli.progress import Bar
    from amiguard_client.packing import Submittable
    from amiguard_client.summary import BatchResult, SubmitSummary

_FINDINGS_SHOWN = 20


@click.command("submit")
@paths_argument
@click.option(
    "--source",
    default="amiguardctl",
    show_default=True,
    help="Name of the forwarder in the server's logs: 1 to 64 of a-z, 0-9 and -.",
)
@click.option(
    "--give-up-after",
    type=Duration(),
    default="5m",
    show_default=True,
    help="How long to keep trying a server that is away or overloaded.",
)
@rejections_option
@click.option(
    "-o",
    "output",
    type=click.Choice([TEXT, JSON]),
    default=TEXT,
    show_default=True,
    help="Form of the summary.",
)
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    *,
    source: str,
    give_up_after: timedelta,
    show_rejections: int,
    output: str,
) -> None:
    """Submit log files to a server and wait until everything is durable.

    PATH is a log file, a folder of them, or - for standard input. Files are JSON as CloudTrail
    delivers it or one record a line, plain or gzip. In folders, files named .json, .jsonl or
    .ndjson, with or without .gz, are taken in the order of their names; CloudTrail's digest,
    insight, network activity and aggregated folders are left out. Submitting a file again is safe.
    """
    from amiguard_client.retry import RetryPolicy

    discovery = Discovery(on_problem=say)
    files = list(_expand(paths, discovery))
    if not files:
        # Nothing to say to a server, which may not even be there.
        ctx.exit(FAILED if discovery.problem_count else 0)
    total = None if any(str(path) == STDIN for path in files) else len(files)
    with server_of(ctx).connect() as client, progress_bar(total) as bar:
        try:
            summary = client.submit(
                _open_all(files, discovery),
                source=source,
                on_ack=lambda result: _advance(bar, result),
                retry=RetryPolicy(give_up_after=give_up_after),
            )
        except AmiguardError as error:
            bar.hide()
            if error.summary is not None:
                _report(error.summary, bar.file_count, show=show_rejections, output=output)
            raise
        except OSError as error:
            raise click.ClickException(f"cannot read the input: {error}") from error
    _report(summary, bar.file_count, show=show_rejections, output=output)
    if discovery.skipped_count:
        skipped = count_text(discovery.skipped_count, "file")
        say(f"left out {skipped} of other CloudTrail feeds")
    if discovery.problem_count:
        ctx.exit(FAILED)
    if summary.rejected_count:
        ctx.exit(SOME_REJECTED)


def _expand(paths: Iterable[Path], discovery: Discovery) -> Iterator[Path]:
    for path in paths:
        if str(path) == STDIN:
            yield path
        else:
            yield from discovery.find([path])


def _open_all(files: Iterable[Path], discovery: Discovery) -> Iterator[Submittable]:
    """Opens the files one by one; one that cannot be opened costs no other."""
    from amiguard_client.cli.stdin import read_stdin, spool
    from amiguard_client.packing import LogStream

    for path in files:
        if str(path) == STDIN:
            yield from read_stdin(sys.stdin.buffer)
            continue
        try:
            stream: BinaryIO = path.open("rb")
        except OSError as error:
            discovery.problem(f"{path}: {error.strerror}")
            continue
        if not stream.seekable():
            with stream:
                copy = spool(stream)
            stream = copy
        if not stream.read(1):
            stream.close()
            say(f"{path}: empty, left out")
            continue
        stream.seek(0)
        yield LogStream(stream, name=str(path))


def _advance(bar: Bar, result: BatchResult) -> None:
    bar.advance(
        files=result.is_last_of_input and result.input_name != STDIN_NAME,
        records=result.accepted_count + result.rejected_count,
    )


def _report(summary: SubmitSummary, file_count: int, *, show: int, output: str) -> None:
    _name_rejections(summary, show)
    if output == JSON:
        write_json({"file_count": file_count, **asdict(summary)})
        return
    counts = (
        count_text(file_count, "file"),
        count_text(summary.record_count, "record"),
        f"{summary.relevant_count:,} relevant",
        count_text(summary.duplicate_count, "duplicate"),
        f"{summary.rejected_count:,} rejected",
        count_text(len(summary.finding_names), "finding"),
    )
    click.echo("  ".join(counts))
    for name in summary.finding_names[:_FINDINGS_SHOWN]:
        click.echo(f"  {safe(name)}")
    if len(summary.finding_names) > _FINDINGS_SHOWN:
        say(f"... and {len(summary.finding_names) - _FINDINGS_SHOWN} more findings")


def _name_rejections(summary: SubmitSummary, show: int) -> None:
    named = summary.rejections[:show]
    for rejection in named:
        # A server's message begins with the path, which ours leaves to be said.
        path = "" if rejection.message.startswith(rejection.path) else f"{rejection.path}: "
        place = f"{rejection.input_name}[{rejection.index}]"
        say(f"rejected: {place} {path}{rejection.message} ({rejection.reason})")
    if show and summary.rejected_count > len(named):
        say(f"... and {summary.rejected_count - len(named):,} more")
