"""Records from a pipe that may never end."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from amiguard_client.forward.counts import DEAD_LETTERS, Counts
from amiguard_client.forward.dead_letters import DeadLetter, DeadLetters
from amiguard_client.forward.deliveries import Outcome, Part
from amiguard_client.forward.errors import ForwardError, StoppedError
from amiguard_client.log_files import LogReader, Unreadable
from amiguard_client.packing import Records

MAX_GROUP_BYTES: Final = 1024 * 1024
"""Of records that are submitted together. A longer one is submitted alone."""
MAX_RECORD_BYTES: Final = 4 * 1024 * 1024
"""Sixteen times the longest record of CloudTrail. A longer one is rejected, and not kept."""
_LINGER_SECONDS: Final = 0.2
"""How long to wait for more text before sending the records there are."""


@dataclass(slots=True)
class LineSource:
    """A pipe, by its file descriptor. What was read and not acknowledged is lost with a crash."""

    descriptor: int
    name: str
    counts: Counts
    say: Callable[[str], None]
    dead_letters: DeadLetters | None = None
    lost_count: int = field(init=False, default=0)
    """Records that were read, and neither acknowledged nor made dead letters."""
    has_ended: bool = field(init=False, default=False)
    """Whether the pipe has come to its end."""
    _wake: tuple[int, int] = field(init=False)
    _selector: selectors.BaseSelector | None = field(init=False)
    _reader: LogReader = field(init=False)
    _items: Iterator[bytes | Unreadable] = field(init=False, default=iter(()))
    _index: int = field(init=False, default=0)
    _is_finished: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._reader = LogReader(max_record_bytes=MAX_RECORD_BYTES)
        self._wake = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake[0], selectors.EVENT_READ)
        try:
            self._selector.register(self.descriptor, selectors.EVENT_READ)
        except PermissionError:
            # A regular file, which is always ready.
            self._selector.close()
            self._selector = None

    def take(self, room: int) -> Sequence[_Group] | None:
        """Waits for records; returns those that came close together. None at the end."""
        del room
        items: list[bytes | Unreadable] = []
        size = 0
        timeout = None
        while size < MAX_GROUP_BYTES and not self.has_ended:
            item = next(self._items, None)
            if item is not None:
                items.append(item)
                size += len(item) if isinstance(item, bytes) else 0
                timeout = _LINGER_SECONDS
            elif self._is_finished:
                self.has_ended = True
            elif self._is_ready(timeout):
                self._read()
            else:
                break
        if not items:
            return None if self.has_ended else []
        first, self._index = self._index, self._index + len(items)
        return [_Group(self, items, first)]

    def _read(self) -> None:
        text = os.read(self.descriptor, MAX_GROUP_BYTES)
        if text:
            self._items = self._reader.feed(text)
        else:
            self._is_finished = True
            self._items = iter(()) if self._reader.is_blank else self._reader.finish()

    def interrupt(self) -> None:
        """Makes a `take` that waits raise a StoppedError."""
        os.write(self._wake[1], b".")

    def close(self) -> None:
        """Says how much of a record has come and was not sent."""
        held_bytes = self._reader.held_bytes
        if held_bytes and not self.has_ended:
            self.lost_count += 1
            self.say(f"{self.name}: stopped within a record, of which {held_bytes} bytes came")
        if self._selector is not None:
            self._selector.close()
        for descriptor in self._wake:
            os.close(descriptor)

    def put_aside(self, index: int, item: bytes | Unreadable, reason: str) -> None:
        """Says what is wrong with a record, and keeps it among the dead letters."""
        self.say(f"{self.name}: record {index}: {reason}")
        if self.dead_letters is None:
            return
        body = item if isinstance(item, bytes) else b""
        letter = DeadLetter(
            id=sha256(body or f"{self.name}[{index}]".encode()).hexdigest()[:32],
            source=self.name,
            reason=reason,
            body=body.decode("utf-8", errors="surrogateescape"),
        )
        try:
            self.dead_letters.put(letter)
        except (OSError, ForwardError) as error:
            self.lost_count += 1
            self.say(f"{self.name}: record {index} is lost, as it is no dead letter: {error}")
        else:
            self.counts.add(DEAD_LETTERS)

    def _is_ready(self, timeout: float | None) -> bool:
        """Waits for text; raises StoppedError where it is interrupted."""
        if self._selector is None:
            return True
        ready = [key.fd for key, _ in self._selector.select(timeout)]
        if self._wake[0] in ready:
            if timeout is None:
                raise StoppedError("the forwarder drains")
            return False  # what was read already is sent first
        return bool(ready)


@dataclass(frozen=True, slots=True)
class _Group:
    """Records that came close together."""

    source: LineSource
    items: Sequence[bytes | Unreadable]
    first_index: int

    @property
    def _name(self) -> str:
        return f"{self.source.name}[{self.first_index}]"

    def groups(self) -> Iterator[Sequence[Part]]:
        yield [Part(self._name, self._open)]

    def _open(self) -> Records:
        return Records(self.items, name=self._name, first_index=self.first_index)

    def settle(self, outcomes: Mapping[str, Outcome]) -> None:
        outcome = outcomes[self._name]
        if outcome.flaw is not None and not outcome.rejections:
            # Not one record was wrong: the server would not have any of them.
            for number, item in enumerate(self.items, self.first_index):
                self.source.put_aside(number, item, outcome.flaw)
        for rejection in outcome.rejections:
            item = self.items[rejection.index - self.first_index]
            self.source.put_aside(rejection.index, item, rejection.message)

    def give_back(self) -> None:
        self.source.lost_count += len(self.items)
