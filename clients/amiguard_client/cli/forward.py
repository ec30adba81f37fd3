"""`amiguardctl forward`: log files and records handed to the server as they come, for ever."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amiguard_client.cli.draining import draining
from amiguard_client.cli.durations import Duration
from amiguard_client.cli.exits import DONE, FAILED, SOME_REJECTED
from amiguard_client.cli.inputs import follow_links_option
from amiguard_client.cli.output import JSON, TEXT, count_text, say, write_json
from amiguard_client.cli.server import server_of
from amiguard_client.cli.sizes import Size

if TYPE_CHECKING:
    from amiguard_client.forward.counts import Counts
    from amiguard_client.forward.dead_letters import DeadLetters
    from amiguard_client.forward.deliveries import Source
    from amiguard_client.forward.forwarder import Forwarder, ForwardSettings
    from amiguard_client.forward.lines import LineSource
    from amiguard_client.left_out import LeftOut

_C = TypeVar("_C", bound=Callable[..., Any])

_MAX_VISIBILITY = timedelta(hours=12)
_MAX_PORT = 65_535
_ONCE_PATIENCE = timedelta(minutes=5)

_OPTIONS = (
    click.option(
        "--source",
        default="amiguardctl",
        show_default=True,
        help="Name of the forwarder in the server's logs: 1 to 64 of a-z, 0-9 and -.",
    ),
    click.option(
        "--dead-letter",
        metavar="FOLDER|QUEUE_URL",
        help="Where goes what cannot be forwarded, with the reason: a folder, or a queue of SQS.",
    ),
    click.option(
        "--metrics",
        metavar="[HOST:]PORT",
        help="Serve metrics for Prometheus there. The host is this machine's own by default.",
    ),
    click.option(
        "--in-flight",
        type=click.IntRange(1, 64),
        default=8,
        show_default=True,
        help="Log files that are worked on at a time.",
    ),
    click.option(
        "--max-bytes-in-flight",
        type=Size(),
        default="256MiB",
        show_default=True,
        help="Memory that all of them take together; what is larger goes to disk.",
    ),
    click.option(
        "--max-object-bytes",
        type=Size(),
        default="256MiB",
        show_default=True,
        help="Largest log file that is forwarded.",
    ),
    click.option(
        "--max-attempts",
        type=click.IntRange(min=1),
        default=5,
        show_default=True,
        help="How often to try what fails because of one log file.",
    ),
    click.option(
        "--min-retry",
        type=Duration(),
        default="0.25s",
        show_default=True,
        help="First wait before trying again. It doubles, less a random part of up to a half.",
    ),
    click.option(
        "--max-retry", type=Duration(), default="30s", show_default=True, help="Longest such wait."
    ),
    click.option(
        "--give-up-after",
        type=Duration(),
        help="How long to keep trying while the server or AWS is away: for ever by default, for 5m "
        "with --once.",
    ),
    click.option(
        "--grace",
        type=Duration(),
        default="20s",
        show_default=True,
        help="How long what is in flight may take after SIGTERM.",
    ),
    click.option(
        "-o",
        "--output",
        type=click.Choice([TEXT, JSON]),
        default=TEXT,
        show_default=True,
        help="Form of the summary at the end.",
    ),
)
_once = click.option("--once", is_flag=True, help="Stop once nothing is left to forward.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    """The options that all sources share."""

    source: str
    dead_letter: str | None
    metrics: str | None
    in_flight: int
    max_bytes_in_flight: int
    max_object_bytes: int
    max_attempts: int
    min_retry: timedelta
    max_retry: timedelta
    give_up_after: timedelta | None
    grace: timedelta
    output: str
    once: bool = False

    def settings(self) -> ForwardSettings:
        from amiguard_client.forward.forwarder import FOR_EVER, ForwardSettings
        from amiguard_client.retry import RetryPolicy

        patience = self.give_up_after or (_ONCE_PATIENCE if self.once else FOR_EVER)
        return ForwardSettings(
            source=self.source,
            in_flight=self.in_flight,
            max_bytes_in_flight=self.max_bytes_in_flight,
            max_object_bytes=self.max_object_bytes,
            max_attempts=self.max_attempts,
            retry=RetryPolicy(
                initial_delay=self.min_retry, max_delay=self.max_retry, give_up_after=patience
            ),
            grace=self.grace,
            is_once=self.once,
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """What a source is made with."""

    forwarder: Forwarder
    settings: ForwardSettings
    counts: Counts
    dead_letters: DeadLetters | None
    left_out: LeftOut


def _common_options(command: _C) -> _C:
    """Adds the options that all sources share, and gives them as one argument."""

    @wraps(command)
    def called(*args: Any, **values: Any) -> Any:
        names = _Common.__dataclass_fields__
        shared = {name: values.pop(name) for name in list(values) if name in names}
        return command(*args, common=_Common(**shared), **values)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called  # type: ignore[return-value]  # click gives the function back


@click.group("forward")
def command() -> None:
    """Forward log files and records to a server as they come, until stopped.

    What was taken and not acknowledged is given back, so that nothing is lost however it ends.
    What is forwarded twice counts once. SIGTERM ends it in order, with exit code 0.
    """


@command.command("sqs")
@click.argument("queue_url", metavar="QUEUE_URL")
@_once
@_common_options
@click.option(
    "--bucket",
    "buckets",
    multiple=True,
    metavar="NAME",
    help="Read from this bucket alone; may be repeated. From all that may be read by default.",
)
@click.option(
    "--visibility",
    type=Duration(),
    default="2m",
    show_default=True,
    help="How long a message is hidden from others at a time; extended while it is worked on.",
)
@click.option(
    "--wait",
    type=Duration(),
    default="10s",
    show_default=True,
    help="How long to wait for messages in one call, 1s to 20s.",
)
@click.pass_context
def sqs(
    ctx: click.Context,
    *,
    queue_url: str,
    common: _Common,
    buckets: tuple[str, ...],
    visibility: timedelta,
    wait: timedelta,
) -> None:
    """Forward what the messages of an SQS queue name or hold.

    These are notifications of S3 or CloudTrail about new log files, directly or through SNS or
    EventBridge, and EventBridge events with a record in them. A message is deleted once the server
    has acknowledged all of it.
    """
    if not queue_url.startswith(("https://", "http://")):
        raise click.UsageError(f"got {queue_url!r}, wanted the URL of a queue")
    _check_seconds("--wait", wait, timedelta(seconds=1), timedelta(seconds=20))
    _check_seconds("--visibility", visibility, timedelta(seconds=1), _MAX_VISIBILITY)

    @contextmanager
    def make(work: _Work) -> Iterator[Source]:
        from amiguard_client.forward.aws import open_client, queue_region
        from amiguard_client.forward.s3 import Fetcher
        from amiguard_client.forward.sqs import SqsSettings, SqsSource
        from amiguard_client.forward.sqs_queue import Queue

        pool_size = common.in_flight + 4
        region = queue_region(queue_url)
        yield SqsSource(
            Queue(open_client("sqs", region=region, pool_size=pool_size), queue_url),
            Fetcher(
                open_client("s3", region=region, pool_size=pool_size),
                work.forwarder.patience,
                spool_bytes=work.settings.spool_bytes,
                max_object_bytes=work.settings.max_object_bytes,
            ),
            SqsSettings(wait=wait, visibility=visibility, buckets=buckets),
            work.counts,
            work.forwarder.patience,
            say,
            work.dead_letters,
            work.left_out,
        )

    ctx.exit(_run(ctx, common, make, ends=lambda: common.once))


@command.command("directory")
@click.argument(
    "path", metavar="PATH", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@_once
@_common_options
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that remembers what was forwarded. PATH/.amiguardctl-forward by default.",
)
@click.option(
    "--poll",
    type=Duration(),
    default="10s",
    show_default=True,
    help="How long to wait between two looks at the directory.",
)
@click.option(
    "--settle",
    type=Duration(),
    default="10s",
    show_default=True,
    help="How long a file must not have changed to count as complete.",
)
@follow_links_option
@click.pass_context
def directory(
    ctx: click.Context,
    *,
    path: Path,
    common: _Common,
    follows_links: bool,
    state: Path | None,
    poll: timedelta,
    settle: timedelta,
) -> None:
    """Forward the log files that others put into a directory.

    Files are those that submit takes. Each is forwarded once, and again when it has changed, so
    files that grow for ever are better piped into forward stdin.
    """
    root = path.absolute()
    is_failed = False

    @contextmanager
    def make(work: _Work) -> Iterator[Source]:
        from amiguard_client.forward.directory import (
            DirectorySettings,
            DirectorySource,
            is_still_there,
        )
        from amiguard_client.forward.journal import Journal
        from amiguard_client.log_names import STATE_NAME, SUFFIXES

        nonlocal is_failed
        remembered = state or root / STATE_NAME
        _check_outside(root, common.dead_letter, remembered)
        settings = DirectorySettings(
            poll=poll,
            settle=settle,
            max_object_bytes=common.max_object_bytes,
            follows_links=follows_links,
            is_once=common.once,
        )
        with Journal(remembered, keeps=is_still_there) as journal:
            source = DirectorySource(
                root, journal, settings, work.counts, say, work.dead_letters, work.left_out
            )
            yield source
        if common.once and source.is_empty:
            say(f"{root}: no log file in this folder ({', '.join(SUFFIXES)})")
        is_failed = source.is_empty or source.problem_count > 0

    code = _run(ctx, common, make, ends=lambda: common.once)
    ctx.exit(FAILED if common.once and is_failed else code)


@command.command("stdin")
@_common_options
@click.pass_context
def stdin(ctx: click.Context, *, common: _Common) -> None:
    """Forward records from standard input, one a line, until it ends.

    Lines are forwarded as they come. A pipe has no memory: lines that were read and not
    acknowledged are lost with a crash. Those that a stop leaves are counted, with exit code 1.
    Where some were rejected, the exit code at the end of the input is 5.
    """
    source: LineSource | None = None

    @contextmanager
    def make(work: _Work) -> Iterator[Source]:
        from amiguard_client.forward.lines import LineSource

        nonlocal source
        descriptor = sys.stdin.fileno()
        source = LineSource(descriptor, "<stdin>", work.counts, say, work.dead_letters)
        yield source

    code = _run(ctx, common, make, ends=lambda: source is not None and source.has_ended)
    if source is not None and source.lost_count:
        say(f"{count_text(source.lost_count, 'line')} read and not acknowledged")
        ctx.exit(FAILED)
    ctx.exit(code)


def _run(
    ctx: click.Context,
    common: _Common,
    make: Callable[[_Work], AbstractContextManager[Source]],
    *,
    ends: Callable[[], bool],
) -> int:
    """Forwards until the end, then says what was done; returns the exit code.

    `ends` says whether the source had an end, so that what was rejected shows in the exit code: a
    forwarder that is stopped ends well.
    """
    from amiguard_client.forward.counts import Counts
    from amiguard_client.forward.errors import ForwardError
    from amiguard_client.forward.forwarder import Forwarder
    from amiguard_client.left_out import LeftOut

    counts = Counts()
    # Told when it happens where there is no end at which to tell it.
    left_out = LeftOut(on_first=None if common.once else say)
    try:
        settings = common.settings()
        with server_of(ctx).connect() as client, _metrics(common.metrics, counts):
            forwarder = Forwarder(client, settings, counts=counts, say=say)
            dead_letters = _dead_letters(common.dead_letter, forwarder)
            work = _Work(forwarder, settings, counts, dead_letters, left_out)
            with make(work) as source, draining(forwarder.stop):
                say(f"forwarding {source.name} to {client.connection.target}")
                try:
                    forwarder.run(source)
                finally:
                    for line in left_out.lines():
                        say(line)
                    _report(counts, common.output)
    except (ForwardError, OSError) as error:
        say(f"Error: {error}")
        ctx.exit(FAILED)
    return SOME_REJECTED if ends() and _has_bad(counts) else DONE


@contextmanager
def _metrics(address: str | None, counts: Counts) -> Iterator[None]:
    if address is None:
        yield
        return
    from amiguard_client.forward.metrics import serving_metrics

    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isascii() or not port.isdecimal() or int(port) > _MAX_PORT:
        raise click.UsageError(f"--metrics: got {address!r}, wanted HOST:PORT or PORT")
    with serving_metrics(counts, host=host, port=int(port)) as served_port:
        say(f"metrics at http://{f'[{host}]' if ':' in host else host}:{served_port}/metrics")
        yield


def _dead_letters(place: str | None, forwarder: Forwarder) -> DeadLetters | None:
    from amiguard_client.forward.aws import open_client, queue_region
    from amiguard_client.forward.dead_letters import FolderOfDeadLetters, QueueOfDeadLetters

    if place is None:
        return None
    if not place.startswith(("https://", "http://")):
        # Better now than when the first letter is to be kept.
        Path(place).mkdir(parents=True, exist_ok=True)
        return FolderOfDeadLetters(Path(place))
    client = open_client("sqs", region=queue_region(place))
    return QueueOfDeadLetters(client, place, forwarder.patience)


def _check_seconds(name: str, value: timedelta, least: timedelta, most: timedelta) -> None:
    if value % timedelta(seconds=1) or not least <= value <= most:
        raise click.UsageError(
            f"{name}: got {value.total_seconds():g} s, wanted whole seconds from "
            f"{least.total_seconds():g} to {most.total_seconds():g}"
        )


def _check_outside(root: Path, dead_letter: str | None, state: Path) -> None:
    """Ends the command where it would forward what it writes itself."""
    from amiguard_client.log_names import is_named_as_log_file

    if dead_letter is not None and Path(dead_letter).absolute().is_relative_to(root):
        raise click.UsageError(f"--dead-letter: got a folder in {root}, wanted one outside of it")
    if state.absolute().is_relative_to(root) and is_named_as_log_file(state.name):
        raise click.UsageError(f"--state: got the name of a log file in {root}, wanted another")


def _has_bad(counts: Counts) -> bool:
    from amiguard_client.forward.counts import OBJECTS, RECORDS

    return bool(counts.get(OBJECTS, "bad") or counts.get(RECORDS, "rejected"))


def _report(counts: Counts, output: str) -> None:
    from amiguard_client.forward.counts import DEAD_LETTERS, MESSAGES, OBJECTS, RECORDS

    if output == JSON:
        shown = {
            f"{metric.name}_{value}" if value else metric.name: int(counts.get(metric, value))
            for metric in (OBJECTS, RECORDS, MESSAGES, DEAD_LETTERS)
            for value in metric.values
        }
        write_json(shown)
        return
    texts = [
        count_text(int(counts.get(OBJECTS, "forwarded")), "object") + " forwarded",
        f"{int(counts.get(OBJECTS, 'passed_over')):,} passed over",
        f"{int(counts.get(OBJECTS, 'bad')):,} bad",
        count_text(int(counts.get(RECORDS, "accepted")), "record") + " accepted",
        f"{int(counts.get(RECORDS, 'relevant')):,} relevant",
        count_text(int(counts.get(RECORDS, "duplicate")), "duplicate"),
        f"{int(counts.get(RECORDS, 'rejected')):,} rejected",
    ]
    click.echo("  ".join(texts))
