"""What was acknowledged, kept in a file across restarts.

A line is a JSON list of two texts, a group and an item in it: a folder and a file, a prefix and the
rest of a key. A line is written once the server has acknowledged what it names, and not before.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Self

from amiguard_client.forward.errors import SetupError

_DIGEST_BYTES = 8
"""Of an item within its group: of a thousand items two are alike once in 10^13 groups. Millions
of items so take some 10 MB each million, where their names would take ten times that."""


class Journal:
    """The items of a file, and those added since; safe to use from any thread.

    Only one process at a time has a journal open.
    """

    def __init__(
        self, path: Path, *, keeps: Callable[[str, str], bool] = lambda _group, _item: True
    ) -> None:
        """Opens a journal, making it where there is none.

        Items that `keeps` says no to are taken out of the file. Raises a SetupError where the file
        cannot be had, is another process's, or is no journal.
        """
        self.path = path
        self._lock = Lock()
        self._digests: dict[str, bytearray] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _open_alone(path)
        except OSError as error:
            raise SetupError(f"{path}: {error.strerror or error}") from error
        try:
            self._load(keeps)
        except BaseException:  # whatever it is, nobody else will let go of the file
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets another process have the journal."""
        with self._lock:
            self._file.close()

    def add(self, group: str, item: str) -> None:
        """Keeps an item; raises an OSError where it cannot be written."""
        line = json.dumps([group, item], separators=(",", ":")) + "\n"
        with self._lock:
            # The system has it after this, whatever becomes of the process. A machine that fails
            # takes some lines with it, whose files are sent again: no reason to wait for the disk.
            self._file.write(line.encode())
            self._file.flush()
            self._remember(group, item)

    def items(self, group: str) -> Items:
        """Returns the items of a group as they are now, of this run and of earlier ones."""
        with self._lock:
            return Items(bytes(self._digests.get(group, b"")))

    def _load(self, keeps: Callable[[str, str], bool]) -> None:
        is_whole = True
        for line in self._file:
            entry = _entry_of(line)
            if entry is None:
                if self._file.tell() == len(line) and not _is_torn(line):
                    raise SetupError(f"{self.path}: got another file, wanted one of a former run")
                is_whole = False  # what was being written when the machine or the process ended
            elif keeps(*entry):
                self._remember(*entry)
            else:
                is_whole = False
        if not is_whole:
            self._rewrite(keeps)

    def _rewrite(self, keeps: Callable[[str, str], bool]) -> None:
        """Leaves nothing in the file but what counts."""
        self._file.seek(0)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(handle, "wb") as copy:
                for line in self._file:
                    entry = _entry_of(line)
                    if entry is not None and keeps(*entry):
                        copy.write(line.rstrip(b"\n") + b"\n")
            replaced, self._file = self._file, _open_alone(Path(name))
            self._file.seek(0, os.SEEK_END)
            Path(name).replace(self.path)
            replaced.close()
        except BaseException:  # an interrupt leaves nothing behind either
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise

    def _remember(self, group: str, item: str) -> None:
        self._digests.setdefault(group, bytearray()).extend(_digest(item))


class Items:
    """The items of one group."""

    def __init__(self, digests: bytes) -> None:
        self._digests = {
            digests[start : start + _DIGEST_BYTES]
            for start in range(0, len(digests), _DIGEST_BYTES)
        }

    def __contains__(self, item: str) -> bool:
        return _digest(item) in self._digests


def _open_alone(path: Path) -> BinaryIO:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    file = os.fdopen(handle, "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Or a process that had it a moment ago has put another file in its place.
        is_there = os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        is_there = False
    if not is_there:
        file.close()
        raise SetupError(f"{path}: another process has it open")
    return file


def _is_torn(line: bytes) -> bool:
    """Says whether a line begins as one of ours and was not written to its end."""
    return not line.endswith(b"\n") and line[:2] in {b"[", b'["'}


def _entry_of(line: bytes) -> tuple[str, str] | None:
    """Returns group and item of a line, None for one that was not written to its end."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match entry:
        case [str(group), str(item)]:
            return group, item
        case _:
            return None


def _digest(item: str) -> bytes:
    return blake2b(
        item.encode("utf-8", errors="surrogateescape"), digest_size=_DIGEST_BYTES
    ).digest()
