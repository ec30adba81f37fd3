"""Finds the log files below a folder, and opens each so that no link leads it elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from amiguard_client.left_out import LeftOut, Reason
from amiguard_client.log_names import (
    STATE_NAME,
    begins_as_log_file,
    has_no_extension,
    is_hidden,
    reason_to_leave_out,
)

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Without waiting: a file that became a pipe since it was listed is refused, not waited for."""
REPLACED = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EINVAL})
"""Errors of a file that something else was put in the place of since it was listed."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is named itself, or that was found at `below` under a folder that is."""

    root: str
    below: str = ""
    follows_links: bool = False

    def __str__(self) -> str:
        """Returns the path."""
        return str(self.path)

    @property
    def path(self) -> Path:
        """The path, which begins as it was named."""
        return Path(self.root, self.below)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    def status(self) -> os.stat_result:
        """Returns what the file system says of the file; raises an OSError."""
        return self.path.stat(follow_symlinks=not self.below or self.follows_links)

    def open(self) -> BufferedReader:
        """Opens the file for reading; raises an OSError.

        A file that is named is opened whatever it is. One that was found has to be a regular file
        and, unless links are followed, no part of its path below the root may have become a link.
        """
        if not self.below:
            return self.path.open("rb")
        stream = os.fdopen(self._open_found(), "rb")
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return stream
        stream.close()
        raise OSError(errno.EINVAL, "Is no regular file any more", str(self))

    def may_be_log_file(self) -> bool:
        """Says whether name or content are those of a log file; one that cannot be read may be."""
        if not has_no_extension(self.name):
            return True
        try:
            with self.open() as stream:
                return begins_as_log_file(stream)
        except OSError:
            return True  # who opens it next tells why it cannot be read

    def _open_found(self) -> int:
        if self.follows_links:
            return os.open(self.path, _FLAGS)
        folder = os.open(self.root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            *folders, name = self.below.split("/")
            for part in folders:
                below = os.open(part, _FLAGS | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = below
            return os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            if error.errno in REPLACED:
                text = "Became a link since it was listed"
                raise OSError(error.errno, text, str(self)) from error
            raise
        finally:
            os.close(folder)


@dataclass(frozen=True, slots=True)
class LogFolder:
    """A folder whose files are log files, in folders as deep as they may be.

    What is left out is counted in `left_out`. `on_problem` is told one line for each folder that
    cannot be listed. `ignored` are paths of files of our own. With `follows_links` each folder is
    read once, however many links lead to it.
    """

    root: Path
    left_out: LeftOut
    on_problem: Callable[[str], None]
    follows_links: bool = False
    ignored: frozenset[Path] = frozenset()

    def walk(self) -> Iterator[FoundFile]:
        """Yields what is or may be a log file, in the order of the names.

        Of a file without an extension the caller asks `may_be_log_file`.
        """
        visited: set[tuple[int, int]] = set()
        # A list and no recursion: a tree may be deeper than Python recurses.
        listings = [self._list("", visited)]
        while listings:
            entry = next(listings[-1], None)
            if entry is None:
                listings.pop()
            elif isinstance(entry, FoundFile):
                yield entry
            else:
                listings.append(self._list(f"{entry}/", visited))

    def _list(self, folder: str, visited: set[tuple[int, int]]) -> Iterator[FoundFile | str]:
        """Yields the files of a folder, and the paths of the folders in it."""
        path = self.root / folder
        try:
            if self.follows_links and not _is_first(path.stat(), visited):
                return
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            self.on_problem(f"{path}: {error.strerror}")
            return
        for entry in entries:
            found = self._look(entry, f"{folder}{entry.name}", path / entry.name)
            if found is not None:
                yield found

    def _look(self, entry: os.DirEntry[str], below: str, path: Path) -> FoundFile | str | None:
        """Returns a file, or the path of a folder; None for what is left out."""
        if entry.name == STATE_NAME or path in self.ignored:
            return None
        reason = self._reason(entry, below, path)
        if reason is not None:
            self.left_out.add(reason, path)
            return None
        return below if entry.is_dir() else FoundFile(str(self.root), below, self.follows_links)

    def _reason(self, entry: os.DirEntry[str], below: str, path: Path) -> Reason | None:
        if entry.is_symlink() and not self.follows_links:
            return Reason.LINK
        try:
            if entry.is_dir():
                return Reason.HIDDEN_FOLDER if is_hidden(entry.name) else None
            if entry.is_file():
                return reason_to_leave_out(str(path), below=below)
        except OSError:
            return Reason.BROKEN_LINK  # one that leads to itself, or to where we may not go
        return Reason.BROKEN_LINK if entry.is_symlink() else Reason.SPECIAL


def _is_first(status: os.stat_result, visited: set[tuple[int, int]]) -> bool:
    """Says whether a folder is visited for the first time, and notes it."""
    identity = (status.st_dev, status.st_ino)
    is_first = identity not in visited
    visited.add(identity)
    return is_first
