"""A directory that others fill with log files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from threading import Event, Lock

from amiguard_client.forward.counts import DEAD_LETTERS, Counts
from amiguard_client.forward.dead_letters import DeadLetter, DeadLetters
from amiguard_client.forward.deliveries import Outcome, Part
from amiguard_client.forward.errors import BadObjectError, ForwardError, SetupError, StoppedError
from amiguard_client.forward.journal import Items, Journal
from amiguard_client.log_names import is_log_key
from amiguard_client.packing import LogStream


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """A file counts as complete once it has not changed for `settle`; `poll` is between looks."""

    poll: timedelta = timedelta(seconds=10)
    settle: timedelta = timedelta(seconds=10)
    max_object_bytes: int = 256 * 1024 * 1024
    is_once: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """A file as it was found; one that changes is another."""

    folder: str
    name: str
    size: int
    mtime_ns: int

    @property
    def path(self) -> Path:
        return Path(self.folder, self.name)

    @property
    def item(self) -> str:
        """What stands for it in the journal."""
        return f"{self.size} {self.mtime_ns} {self.name}"


@dataclass(slots=True)
class DirectorySource:
    """Log files below a directory, each submitted once as it stands; the journal remembers which.

    Names are those that `amiguardctl submit` takes. Links are followed to files alone.
    """

    root: Path
    journal: Journal
    settings: DirectorySettings
    counts: Counts
    say: Callable[[str], None]
    dead_letters: DeadLetters | None = None
    _interrupted: Event = field(init=False, default_factory=Event)
    _lock: Lock = field(init=False, default_factory=Lock)
    _taken: set[_Found] = field(init=False, default_factory=set)
    _scan: Iterator[_Found] | None = field(init=False, default=None)

    @property
    def name(self) -> str:
        """The directory's path."""
        return str(self.root)

    def take(self, room: int) -> Sequence[_File]:
        """Returns the next files of the present look at the directory; none at its end."""
        if not self.root.is_dir():
            raise SetupError(f"{self.root}: got no directory")
        if self._scan is None:
            self._scan = self._find(str(self.root))
        found = list(islice(self._scan, room))
        if not found:
            self._scan = None
            if not self.settings.is_once and self._interrupted.wait(
                self.settings.poll.total_seconds()
            ):
                raise StoppedError("the forwarder drains")
        with self._lock:
            self._taken.update(found)
        return [_File(self, file) for file in found]

    def interrupt(self) -> None:
        """Ends the wait for the next look."""
        self._interrupted.set()

    def close(self) -> None:
        """Does nothing: what was not acknowledged is not in the journal."""

    def end(self, file: _Found, flaw: str | None) -> None:
        """Has the journal remember a file; one with a flaw is first set aside."""
        if flaw is None or self._put_aside(file, flaw):
            self.journal.add(file.folder, file.item)
        self.give_back(file)

    def give_back(self, file: _Found) -> None:
        """Lets the next look find a file again."""
        with self._lock:
            self._taken.discard(file)

    def _put_aside(self, file: _Found, reason: str) -> bool:
        """Says what is wrong with a file; returns whether it is to be remembered.

        Without a place for dead letters it is: it stays where it is, and is read again when it has
        changed.
        """
        self.say(f"{file.path}: {reason}")
        if self.dead_letters is None:
            return True
        letter = DeadLetter(id=str(file.path), source=self.name, reason=reason, body=str(file.path))
        try:
            self.dead_letters.put(letter)
        except (OSError, ForwardError) as error:
            self.say(f"{file.path}: is read again, as it is no dead letter: {error}")
            return False
        self.counts.add(DEAD_LETTERS)
        return True

    def _find(self, folder: str) -> Iterator[_Found]:
        """Yields the files below a folder that are complete and neither sent nor being sent."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            # Gone since it was listed, or not for us to read.
            self.say(f"{folder}: {error.strerror}")
            return
        sent: Items | None = None
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    yield from self._find(entry.path)
            elif is_log_key(entry.path):
                file = self._look(folder, entry)
                if file is None:
                    continue
                sent = self.journal.items(folder) if sent is None else sent
                with self._lock:
                    is_taken = file in self._taken
                if not is_taken and file.item not in sent:
                    yield file

    def _look(self, folder: str, entry: os.DirEntry[str]) -> _Found | None:
        """Returns a file that is complete and not empty."""
        try:
            if not entry.is_file():
                return None
            status = entry.stat()
        except OSError:
            return None  # gone since it was listed
        age = time.time() - status.st_mtime
        # A time in the future says nothing of how long ago it was.
        if not status.st_size:
            return None
        if 0 <= age < self.settings.settle.total_seconds():
            if self.settings.is_once:
                self.say(f"{entry.path}: left for the next run, as it has only just changed")
            return None
        return _Found(folder, entry.name, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class _File:
    """One file of the directory."""

    source: DirectorySource
    found: _Found

    def groups(self) -> Iterator[Sequence[Part]]:
        yield [Part(str(self.found.path), self._open)]

    def _open(self) -> LogStream:
        most = self.source.settings.max_object_bytes
        if self.found.size > most:
            raise BadObjectError(f"got {self.found.size} bytes, wanted at most {most}")
        try:
            return LogStream(self.found.path.open("rb"), name=str(self.found.path))
        except FileNotFoundError:
            raise BadObjectError("it was taken away before it was forwarded") from None

    def settle(self, outcomes: Mapping[str, Outcome]) -> None:
        outcome = outcomes[str(self.found.path)]
        if outcome.remark is not None:
            self.source.say(f"{self.found.path}: {outcome.remark}")
        self.source.end(self.found, outcome.flaw)

    def give_back(self) -> None:
        self.source.give_back(self.found)


def is_still_there(folder: str, item: str) -> bool:
    """Says whether a file that a journal names is still as it was sent."""
    size, mtime_ns, name = item.split(" ", 2)
    try:
        status = Path(folder, name).stat()
    except OSError:
        return False
    return f"{status.st_size} {status.st_mtime_ns}" == f"{size} {mtime_ns}"
