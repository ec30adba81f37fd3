"""Keeps what the reader gives of files that are broken in many ways: `python -m tests...keep`.

Run it only after a change that is meant to read such files otherwise, and look at the difference.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from amiguard_core.log_files.reader import LogReader, Unreadable

KEPT: Final = Path(__file__).with_name("kept.jsonl")
PIECES: Final = (0, 1, 3, 16)
"""Bytes of a piece that a file comes in; 0 for all at once."""
_COUNT: Final = 700
_SEED: Final = 20_261
_LIMITS: Final = (120, 10_000)


def answers(content: bytes, limit: int, size: int) -> tuple[list[str], int]:
    """Returns what the reader gives of a file that comes in pieces, and the padding it saw."""
    reader = LogReader(max_record_bytes=limit)
    pieces = [content] if size == 0 else _cut(content, size)
    given = [
        f"! {item.path} {item.message}" if isinstance(item, Unreadable) else item.decode("latin-1")
        for item in reader.read(pieces)
    ]
    return given, reader.padding_bytes


def _cut(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def read_kept() -> list[dict[str, Any]]:
    """Returns the kept files, each with its limit of a record and what it gives."""
    return [json.loads(line) for line in KEPT.read_text(encoding="ascii").splitlines()]


def _drawn() -> Iterator[tuple[bytes, int]]:
    from tests.core.log_files.test_reader import FRAGMENTS

    draws = random.Random(_SEED)  # noqa: S311 - no secret
    openings = [b"", b"", b'{"Records":[', b'{"x":{},"Records":[', b"[\n  ", b'{"Events":[\n']
    for _ in range(_COUNT):
        fragments = draws.choices(FRAGMENTS, k=draws.randint(2, 14))
        yield draws.choice(openings) + b"".join(fragments), draws.choice(_LIMITS)


def main() -> None:
    """Writes the file anew."""
    with KEPT.open("w", encoding="ascii") as file:
        for content, limit in _drawn():
            given, padding = answers(content, limit, 0)
            kept = {"file": content.decode("latin-1"), "limit": limit, "gives": given}
            file.write(json.dumps(kept | {"padding": padding}) + "\n")


if __name__ == "__main__":
    main()
