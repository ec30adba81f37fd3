"""`amiguardctl findings list --watch`: a table that is drawn anew, or lines that are added."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from amiguard_client.cli.finding_output import ChangeWriter
from amiguard_client.cli.output import TABLE
from amiguard_client.errors import AmiguardError

if TYPE_CHECKING:
    from amiguard.v1 import finding_pb2, finding_service_pb2
    from amiguard_client.channel import Connection

_EVERY_STATE = "state = SUPPRESSED OR state != SUPPRESSED"
"""What leaves a list is a change, too, whatever it leaves to."""
_LEAST_SECONDS = 1.0
"""Between two drawings: nobody reads faster, and a busy server is asked no oftener."""


def follow(
    connection: Connection,
    listed: Callable[[], Iterable[finding_pb2.Finding]],
    *,
    expression: str,
    output: str,
) -> None:
    """Shows what is listed and how it changes, until interrupted.

    A table on a terminal is listed and drawn anew after every change. Everything else is written
    once, and what changes after that, as far as it fulfils the filter, is added.
    """
    with suppress(KeyboardInterrupt):
        if output == TABLE and _can_redraw():
            _redraw(connection, listed, title=f"{connection.target}  {expression}")
        else:
            _append(_watch(connection, expression), listed, output)


def _can_redraw() -> bool:
    if not sys.stdout.isatty():
        return False
    from rich.console import Console

    return not Console().is_dumb_terminal


def _watch(
    connection: Connection, expression: str
) -> Iterator[finding_service_pb2.WatchFindingsResponse]:
    from amiguard_client._watch import Watcher

    return iter(Watcher(connection, filter=expression))


def _append(
    responses: Iterator[finding_service_pb2.WatchFindingsResponse],
    listed: Callable[[], Iterable[finding_pb2.Finding]],
    output: str,
) -> None:
    writer = ChangeWriter(output, is_list=True)
    # The server speaks as soon as it watches: what changes while the list is read comes after it.
    first = next(responses)
    writer.write(listed())
    writer.write(first.findings)
    for response in responses:
        writer.write(response.findings)


class _Alarm:
    """Tells of changes: many of them are one, until they are asked for."""

    def __init__(self, responses: Iterator[finding_service_pb2.WatchFindingsResponse]) -> None:
        self._rings = threading.Event()
        self._error: AmiguardError | None = None
        next(responses)
        self._responses = responses
        threading.Thread(target=self._run, name="amiguardctl-list-watch", daemon=True).start()

    def wait(self) -> None:
        """Returns once something has changed; raises the AmiguardError that ended the watch."""
        self._rings.wait()
        self._rings.clear()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for response in self._responses:
                if response.findings:
                    self._rings.set()
        except AmiguardError as error:
            self._error = error
            self._rings.set()


def _redraw(
    connection: Connection, listed: Callable[[], Iterable[finding_pb2.Finding]], *, title: str
) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from amiguard_client.cli.finding_rows import finding_sheet
    from amiguard_client.cli.safe import safe

    console = Console(highlight=False)
    pause = threading.Event()
    alarm = _Alarm(_watch(connection, _EVERY_STATE))
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            sheet = finding_sheet(listed())
            now = datetime.now(UTC).strftime("%H:%M:%S")
            top = Text(safe(f"{now} UTC  {title}"), style="dim", no_wrap=True, overflow="ellipsis")
            live.update(Group(top, Text(), sheet if sheet.rows else Text("None.")), refresh=True)
            pause.wait(_LEAST_SECONDS)
            alarm.wait()
