"""A bar on standard error, where somebody watches."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID


class Bar:
    """Counts files and records that are done; shows nothing where nobody watches."""

    def __init__(self, progress: Progress | None, task: TaskID | None) -> None:
        self.file_count = 0
        self._record_count = 0
        self._progress = progress
        self._task = task

    def advance(self, *, files: int, records: int) -> None:
        """Counts what was done since."""
        self.file_count += files
        self._record_count += records
        if self._progress is not None and self._task is not None:
            self._progress.update(
                self._task, completed=self.file_count, records=self._record_count, refresh=True
            )

    def hide(self) -> None:
        """Takes the bar away."""
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def progress_bar(total: int | None) -> Iterator[Bar]:
    """Shows a bar while the block runs; None is a total that nobody knows."""
    if not sys.stderr.isatty():
        yield Bar(None, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[records]:,} records"),
        TimeElapsedColumn(),
    )
    # It has no thread that refreshes it: processes are forked while it is shown.
    with Progress(
        *columns, console=Console(stderr=True), transient=True, auto_refresh=False
    ) as progress:
        yield Bar(progress, progress.add_task("", total=total, records=0))
