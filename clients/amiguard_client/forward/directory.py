"""A directory that others fill with log files."""

from __future__ import annotations

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
from amiguard_client.left_out import LeftOut, Reason
from amiguard_client.log_folders import REPLACED, FoundFile, LogFolder
from amiguard_client.packing import LogStream


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """A file counts as complete once it has not changed for `settle`; `poll` is between looks."""

    poll: timedelta = timedelta(seconds=10)
    settle: timedelta = timedelta(seconds=10)
    max_object_bytes: int = 256 * 1024 * 1024
    follows_links: bool = False
    is_once: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """A file as it was found; one that changes is another."""

    file: FoundFile
    size: int
    mtime_ns: int

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def folder(self) -> str:
        """Its group in the journal."""
        return str(self.path.parent)

    @property
    def item(self) -> str:
        """What stands for it in the journal."""
        return f"{self.size} {self.mtime_ns} {self.file.name}"


@dataclass(slots=True)
class DirectorySource:
    """Log files below a directory, each submitted once as it stands; the journal remembers which.

    Files are those that `amiguardctl submit` takes. What the last look at the directory left out
    is in `left_out`.
    """

    root: Path
    journal: Journal
    settings: DirectorySettings
    counts: Counts
    say: Callable[[str], None]
    dead_letters: DeadLetters | None = None
    left_out: LeftOut = field(default_factory=LeftOut)
    problem_count: int = field(init=False, default=0)
    """Folders that could not be listed."""
    is_empty: bool = field(init=False, default=False)
    """Whether the last look has found no log file, not even one that was forwarded before."""
    _interrupted: Event = field(init=False, default_factory=Event)
    _lock: Lock = field(init=False, default_factory=Lock)
    _taken: set[_Found] = field(init=False, default_factory=set)
    _scan: Iterator[_Found] | None = field(init=False, default=None)
    _has_seen_any: bool = field(init=False, default=False)

    @property
    def name(self) -> str:
        """The directory's path."""
        return str(self.root)

    def take(self, room: int) -> Sequence[_File]:
        """Returns the next files of the present look at the directory; none at its end."""
        if not self.root.is_dir():
            raise SetupError(f"{self.root}: got no directory")
        if self._scan is None:
            self._scan = self._find()
        found = list(islice(self._scan, room))
        if not found:
            self._scan = None
            self.is_empty = not self._has_seen_any
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

    def _find(self) -> Iterator[_Found]:
        """Yields the files that are complete and neither sent nor being sent."""
        self.left_out.start_over()
        self._has_seen_any = False
        tree = LogFolder(
            self.root,
            self.left_out,
            self._problem,
            follows_links=self.settings.follows_links,
            ignored=frozenset({self.journal.path}),
        )
        sent: dict[str, Items] = {}
        for file in tree.walk():
            found = self._look(file)
            if found is None:
                continue
            folder = found.folder
            if folder not in sent:
                # Of the folders above alone: the walk comes back to those and to no others.
                sent = {above: items for above, items in sent.items() if folder.startswith(above)}
                sent[folder] = self.journal.items(folder)
            with self._lock:
                is_taken = found in self._taken
            if is_taken or found.item in sent[folder]:
                self._has_seen_any = True
            elif file.may_be_log_file():
                self._has_seen_any = True
                yield found
            else:
                self.left_out.add(Reason.OTHER_CONTENT, file)

    def _problem(self, text: str) -> None:
        """Tells of a folder that is gone since it was listed, or not for us to read."""
        self.problem_count += 1
        self.say(text)

    def _look(self, file: FoundFile) -> _Found | None:
        """Returns a file that is complete and not empty."""
        try:
            status = file.status()
        except OSError:
            return None  # gone since it was listed
        age = time.time() - status.st_mtime
        # A time in the future says nothing of how long ago it was.
        is_fresh = 0 <= age < self.settings.settle.total_seconds()
        if not is_fresh and status.st_size:
            return _Found(file, status.st_size, status.st_mtime_ns)
        self._has_seen_any = True  # or will be one
        if status.st_size and self.settings.is_once:
            self.say(f"{file}: left for the next run, as it has only just changed")
        return None


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
            return LogStream(self.found.file.open(), name=str(self.found.path))
        except FileNotFoundError:
            raise BadObjectError("it was taken away before it was forwarded") from None
        except OSError as error:
            if error.errno in REPLACED:
                raise BadObjectError(str(error.strerror)) from None
            raise

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
