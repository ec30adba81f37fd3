"""Which files of a tree are CloudTrail log files."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from amiguard_client.left_out import LeftOut, Reason
from amiguard_client.log_folders import FoundFile, LogFolder
from amiguard_client.log_names import SUFFIXES, other_feed_of

STDIN = "-"
STDIN_NAME = "<stdin>"
"""What rejections call standard input."""


@dataclass(slots=True)
class Discovery:
    """Log files found under paths, and what was wrong with the paths.

    `on_problem` is told one line for each path that leads to no log file; `problem_count` counts
    them, `refused_count` the named files of CloudTrail's other feeds. What folders hold besides
    is in `left_out`.
    """

    on_problem: Callable[[str], None]
    follows_links: bool = False
    left_out: LeftOut = field(default_factory=LeftOut)
    problem_count: int = 0
    refused_count: int = 0

    def find(self, paths: Iterable[Path]) -> Iterator[FoundFile]:
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
                yield from self._walk(path)
            elif not self.is_refused(str(path)):
                yield FoundFile(str(path))

    def problem(self, text: str) -> None:
        """Reports that something cannot be read."""
        self.problem_count += 1
        self.on_problem(text)

    def is_refused(self, name: str) -> bool:
        """Says, also to the user, whether a file that is named is of another CloudTrail feed."""
        feed = other_feed_of(name)
        if feed is None:
            return False
        self.refused_count += 1
        self.on_problem(
            f"rejected: {name}: got a {feed} file, which holds no API calls: name the log files"
        )
        return True

    def _walk(self, folder: Path) -> Iterator[FoundFile]:
        tree = LogFolder(folder, self.left_out, self.problem, follows_links=self.follows_links)
        found_any = False
        for file in tree.walk():
            if file.may_be_log_file():
                found_any = True
                yield file
            else:
                self.left_out.add(Reason.OTHER_CONTENT, file)
        if not found_any:
            self.problem(f"{folder}: no log file in this folder ({', '.join(SUFFIXES)})")
