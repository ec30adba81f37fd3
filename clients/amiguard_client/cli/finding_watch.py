"""`amiguardctl findings watch`: every change as it happens, from where the last run left off."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import click

from amiguard_client.cli.durations import Duration
from amiguard_client.cli.finding_output import ChangeWriter
from amiguard_client.cli.listings import FINDING_FORMS, output_option, pointing_into
from amiguard_client.cli.server import server_of
from amiguard_client.cli.times import Time
from amiguard_client.whole_files import write_whole

MAX_CURSOR_BYTES = 4096
"""A cursor is some hundred characters: what is longer is another file, given by mistake."""


@click.command("watch")
@click.option(
    "--filter",
    "expression",
    default="",
    metavar="FILTER",
    help="Which findings, as with list. Those that cease to fulfil it are not told of.",
)
@click.option("--since", type=Time(), help="Begin with the first change at or after this time.")
@click.option(
    "--cursor",
    "cursor_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that keeps the place: read at the start, written after each change that was shown.",
)
@click.option(
    "--give-up-after",
    type=Duration(),
    default="5m",
    show_default=True,
    help="How long to keep trying a server that is away or overloaded.",
)
@output_option(
    FINDING_FORMS,
    "For each change, table: a line for people; wide, with all there is; json as the API has it, "
    "ndjson on one line, or yaml; csv; ocsf, a Detection Finding on one line.",
)
@click.pass_context
def watch(
    ctx: click.Context,
    *,
    expression: str,
    since: datetime | None,
    cursor_file: Path | None,
    give_up_after: timedelta,
    output: str,
) -> None:
    """Show findings as they change, until interrupted.

    Restarts of the server are waited out. With --cursor, a later run goes on where this one ended;
    a change that was shown just before the end may be shown again, none is left out.
    """
    from amiguard_client._watch import Watcher
    from amiguard_client.retry import RetryPolicy

    cursor = _read_cursor(cursor_file) if cursor_file is not None else None
    with (
        suppress(KeyboardInterrupt),
        server_of(ctx).connect() as client,
        pointing_into(expression),
    ):
        watcher = Watcher(
            client.connection,
            filter=expression,
            cursor=cursor,
            start_time=None if cursor is not None else since,
            retry=RetryPolicy(give_up_after=give_up_after),
        )
        writer = ChangeWriter(output)
        for response in watcher:
            writer.write(response.findings)
            if cursor_file is not None:
                with _undisturbed():
                    _write_cursor(cursor_file, response.cursor)


def _read_cursor(path: Path) -> str | None:
    """Returns the cursor in a file; None where there is no file yet."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CURSOR_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from error
    text = content.decode("ascii", errors="replace").strip()
    if not text or len(content) > MAX_CURSOR_BYTES or not text.isprintable():
        raise click.UsageError(f"{path}: got no cursor, wanted a file that a former run wrote")
    return text


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Puts an interrupt off until the end of the block, so that it leaves nothing half done."""
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
    if interrupts:
        raise KeyboardInterrupt


def _write_cursor(path: Path, cursor: str) -> None:
    """Puts a cursor in a file, whole or not at all."""
    try:
        write_whole(path, f"{cursor}\n".encode())
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from error
