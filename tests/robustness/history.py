"""What everybody did in a round and what they were told, to be kept and to be read again.

One JSON object a line. `at` is in seconds since the round began, `who` did it, `what` says what:
records that were sent, acks and the server that gave them, changes, moves, steps.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Any


class What(StrEnum):
    """The kinds of lines."""

    ROUND = "round"
    SENT = "sent"
    ACKED = "acked"
    CRASHED = "crashed"
    STEP = "step"
    CHANGE = "change"
    IN_FORCE = "in force"
    TAKEN_UP = "taken up"
    WATCHED = "watched"


@dataclass
class History:
    """The lines of one round; safe to use from any thread."""

    _started_at: float = field(default_factory=time.monotonic)
    _lines: list[dict[str, Any]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def note(self, who: str, what: What, **more: Any) -> None:
        """Adds a line."""
        at = round(time.monotonic() - self._started_at, 4)
        with self._lock:
            self._lines.append({"at": at, "who": who, "what": str(what), **more})

    def sent(self, who: str, batch: int | str, records: Sequence[bytes]) -> None:
        """Adds that records were given away to be sent, as one batch."""
        self.note(who, What.SENT, batch=batch, records=[record.decode() for record in records])

    def lines(self) -> list[dict[str, Any]]:
        """Returns the lines, in the order in which they were added."""
        with self._lock:
            return list(self._lines)

    def write(self, file: Path) -> None:
        """Writes the lines to a file."""
        text = "".join(f"{json.dumps(line, default=str)}\n" for line in self.lines())
        file.write_text(text, encoding="utf-8")


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yields the lines of a history that was written."""
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def records_of(lines: Sequence[dict[str, Any]]) -> tuple[list[bytes], list[bytes]]:
    """Returns the records that were sent, and those of them that were acknowledged.

    A batch that is acknowledged is the last one of its number that the same client sent.
    """
    sent: dict[tuple[str, object], list[bytes]] = {}
    every: dict[bytes, None] = {}
    acked: dict[bytes, None] = {}
    for line in lines:
        if line["what"] == What.SENT:
            records = [record.encode() for record in line["records"]]
            sent[line["who"], line["batch"]] = records
            every |= dict.fromkeys(records)
        elif line["what"] == What.ACKED:
            acked |= dict.fromkeys(sent[line["who"], line["batch"]])
    return list(every), list(acked)
