"""`amiguardctl submit`: log files in, a summary out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from amiguard_client.cli.discovery import STDIN, STDIN_NAME, Discovery
from amiguard_client.cli.durations import Duration
from amiguard_client.cli.exits import DONE, FAILED, SOME_REJECTED
from amiguard_client.cli.inputs import follow_links_option, rejections_option
from amiguard_client.cli.output import JSON, TEXT, count_text, say, write_json
from amiguard_client.cli.progress import progress_bar
from amiguard_client.cli.safe import safe
from amiguard_client.cli.server import server_of
from amiguard_client.cli.submit_s3 import SCHEME, Meant, objects_of, s3_options
from amiguard_client.errors import AmiguardError

if TYPE_CHECKING:
    from amiguard_client.cli.progress import Bar
    from amiguard_client.log_folders import FoundFile
    from amiguard_client.packing import Submittable
    from amiguard_client.summary import BatchResult, SubmitSummary

_FINDINGS_SHOWN = 20


@click.command("submit")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
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
@follow_links_option
@rejections_option
@s3_options
@click.option(
    "-o",
    "--output",
    type=click.Choice([TEXT, JSON]),
    default=TEXT,
    show_default=True,
    help="Form of the summary.",
)
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    *,
    source: str,
    give_up_after: timedelta,
    follows_links: bool,
    show_rejections: int,
    since: datetime | None,
    until: datetime | None,
    accounts: tuple[str, ...],
    regions: tuple[str, ...],
    state: Path | None,
    output: str,
) -> None:
    """Submit log files to a server and wait until everything is durable.

    PATH is a log file, a folder of them, s3://BUCKET/PREFIX, or - for standard input. Files are
    JSON as CloudTrail delivers it or one record a line, plain or gzip. Folders and buckets are
    searched for files named .json, .jsonl or .ndjson, with or without .gz, and for files without
    an extension that begin as JSON or gzip. Other files are left out and counted, as are
    CloudTrail's digest, insight, network activity and aggregated files, and links. A file that is
    named itself is opened whatever its name. Submitting a file again is safe.
    """
    meant = Meant(since=since, until=until, accounts=accounts, regions=regions, state=state)
    discovery = Discovery(on_problem=say, follows_links=follows_links)
    telling = _Telling(show_rejections, output)
    sending = partial(_send, ctx, telling, source=source, give_up_after=give_up_after)
    buckets = [path for path in paths if path.startswith(SCHEME)]
    if buckets and len(buckets) < len(paths):
        raise click.UsageError(f"got both {SCHEME} and other paths, wanted one or the other")
    if buckets:
        with objects_of(
            buckets, meant, give_up_after=give_up_after, discovery=discovery
        ) as objects:
            summary = sending(objects.open_all(), total=None, on_ack=objects.take)
        if objects.known_count:
            say(f"left out {count_text(objects.known_count, 'file')} acknowledged before")
    else:
        if meant.is_given:
            raise click.UsageError(f"got an option for {SCHEME}, wanted such a path too")
        files = list(_expand(map(Path, paths), discovery))
        if not files:
            # Nothing to say to a server, which may not even be there.
            _end(ctx, discovery)
        total = None if None in files else len(files)
        summary = sending(_open_all(files, discovery), total=total)
    _end(ctx, discovery, rejected_count=summary.rejected_count)


def _end(ctx: click.Context, discovery: Discovery, *, rejected_count: int = 0) -> NoReturn:
    """Tells what was left out, and ends with the exit code for all that was told."""
    for line in discovery.left_out.lines():
        say(line)
    if discovery.problem_count:
        ctx.exit(FAILED)
    ctx.exit(SOME_REJECTED if rejected_count or discovery.refused_count else DONE)


@dataclass(frozen=True, slots=True)
class _Telling:
    """How the summary is told."""

    show_rejections: int
    output: str

    def report(self, summary: SubmitSummary, file_count: int) -> None:
        _report(summary, file_count, show=self.show_rejections, output=self.output)


def _send(
    ctx: click.Context,
    telling: _Telling,
    inputs: Iterator[Submittable],
    *,
    source: str,
    give_up_after: timedelta,
    total: int | None,
    on_ack: Callable[[BatchResult], None] | None = None,
) -> SubmitSummary:
    """Submits inputs and tells what became of them, also where an error ends it."""
    from amiguard_client.retry import RetryPolicy

    with server_of(ctx).connect() as client, progress_bar(total) as bar:

        def take(result: BatchResult) -> None:
            if on_ack is not None:
                on_ack(result)
            _advance(bar, result)

        try:
            summary = client.submit(
                inputs, source=source, on_ack=take, retry=RetryPolicy(give_up_after=give_up_after)
            )
        except AmiguardError as error:
            bar.hide()
            if error.summary is not None:
                telling.report(error.summary, bar.file_count)
            raise
        except OSError as error:
            raise click.ClickException(f"cannot read the input: {error}") from error
    telling.report(summary, bar.file_count)
    return summary


def _expand(paths: Iterable[Path], discovery: Discovery) -> Iterator[FoundFile | None]:
    """Yields the files to submit, None for standard input."""
    for path in paths:
        if str(path) == STDIN:
            yield None
        else:
            yield from discovery.find([path])


def _open_all(files: Iterable[FoundFile | None], discovery: Discovery) -> Iterator[Submittable]:
    """Opens the files one by one; one that cannot be opened costs no other."""
    from amiguard_client.cli.stdin import Pipe
    from amiguard_client.packing import LogStream

    for file in files:
        if file is None:
            pipe = Pipe(sys.stdin.buffer)
            yield from pipe.read()
            _say_padding(pipe.padding_bytes)
            continue
        try:
            stream = file.open()
        except OSError as error:
            discovery.problem(f"{file}: {error.strerror}")
            continue
        if not stream.peek(1):
            stream.close()
            say(f"{file}: empty, left out")
            continue
        yield LogStream(stream, name=str(file))


def _say_padding(count: int) -> None:
    if count:
        say(f"left out {count_text(count, 'byte')} of NUL padding")


def _advance(bar: Bar, result: BatchResult) -> None:
    bar.advance(
        files=result.is_last_of_input and result.input_name != STDIN_NAME,
        records=result.accepted_count + result.rejected_count,
    )


def _report(summary: SubmitSummary, file_count: int, *, show: int, output: str) -> None:
    _name_rejections(summary, show)
    _say_padding(summary.padding_bytes)
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
