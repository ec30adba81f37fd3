"""Files that cannot be taken for what they were given as."""

from __future__ import annotations

import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from amiguard_client.cli.discovery import STDIN, STDIN_NAME


class BadFileError(Exception):
    """A file is not what it should be; each problem says where and what was wanted."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class Problems:
    """Gathers all that is wrong with files, so that one run tells of it."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, problem: str) -> None:
        """Adds one."""
        self._found.append(problem)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Adds those of a BadFileError that ends the block."""
        try:
            yield
        except BadFileError as error:
            self._found += error.problems

    def check(self) -> None:
        """Raises BadFileError where there are any."""
        if self._found:
            raise BadFileError(self._found)


def name_of(path: Path) -> str:
    """Returns how a file is named in messages."""
    return STDIN_NAME if str(path) == STDIN else str(path)


def read_bytes(path: Path) -> bytes:
    """Returns what a file holds, or standard input for `-`; raises BadFileError.

    A byte order mark at its start is left out, as editors of Windows write one.
    """
    try:
        content = sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes()
    except OSError as error:
        raise BadFileError([f"{path}: {error.strerror or error}"]) from error
    return content.removeprefix(BOM_UTF8)


def read_text(path: Path) -> str:
    """Returns the text of a file in UTF-8; raises BadFileError."""
    content = read_bytes(path)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        problem = f"{name_of(path)}: got an invalid byte at offset {error.start}, wanted UTF-8"
        raise BadFileError([problem]) from error
