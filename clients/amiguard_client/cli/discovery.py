"""Which files of a tree are CloudTrail log files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from amiguard_client.log_names import SUFFIXES, is_log_file, is_other_feed

STDIN = "-"
STDIN_NAME = "<stdin>"
"""What rejections call standard input."""


@dataclass(slots=True)
class Discovery:
    """Log files found under paths, and what was wrong with the paths.

    `on_problem` is told one line for each path that leads to no log file; `problem_count` counts
    them, `skipped_count` the files of CloudTrail's other feeds.
    """

    on_problem: Callable[[str], None]
    problem_count: int = 0
    skipped_count: int = 0
    _found_any: bool = field(default=False, init=False)

    def find(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Yields the log files under the paths: the paths in their order, a folder by names."""
        for path in paths:
            try:
                is_folder = stat.S_ISDIR(path.stat().st_mode)
            except (FileNotFoundError, NotADirectoryError):
                self.problem(f"{path}: no such file or folder")
                continue
            except OSError as error:
                self.problem(f"{path}: {error.strerror}")
                continue
            if is_folder:
                self._found_any = False
                yield from self._walk(path)
                if not self._found_any:
                    self.problem(f"{path}: no log file in this folder ({', '.join(SUFFIXES)})")
            elif is_other_feed(path.parts[:-1]):
                self.skipped_count += 1
            else:
                yield path

    def problem(self, text: str) -> None:
        """Reports that something cannot be read."""
        self.problem_count += 1
        self.on_problem(text)

    def _walk(self, folder: Path) -> Iterator[Path]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.problem(f"{folder}: {error.strerror}")
            return
        for entry in entries:
            path = folder / entry.name
            # A link to a folder may lead back up, so links are followed to files alone.
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(path)
            elif entry.is_file() and is_log_file(entry.name):
                self._found_any = True
                if is_other_feed(path.parts[:-1]):
                    self.skipped_count += 1
                else:
                    yield path
