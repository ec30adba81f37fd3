"""Files that cannot be taken for what they were given as."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from amiguard_client.cli.discovery import STDIN, STDIN_NAME


class BadFileError(Exception):
    """A file is not what it should be; each problem says where and what was wanted."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


def name_of(path: Path) -> str:
    """Returns how a file is named in messages."""
    return STDIN_NAME if str(path) == STDIN else str(path)


def read_bytes(path: Path) -> bytes:
    """Returns what a file holds, or standard input for `-`; raises BadFileError."""
    if str(path) == STDIN:
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFileError([f"{path}: {error.strerror or error}"]) from error


def read_text(path: Path) -> str:
    """Returns the text of a file in UTF-8; raises BadFileError."""
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"{name_of(path)}: got an invalid byte at offset {error.start}, wanted UTF-8"
        raise BadFileError([problem]) from error
