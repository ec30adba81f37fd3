"""Records a line, from a pipe that may never end."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from amiguard_client.forward.counts import DEAD_LETTERS, OBJECTS, Counts
from amiguard_client.forward.dead_letters import DeadLetter, DeadLetters
from amiguard_client.forward.deliveries import Outcome, Part
from amiguard_client.forward.errors import ForwardError, StoppedError
from amiguard_client.packing import Records

MAX_GROUP_BYTES: Final = 1024 * 1024
"""Of lines that are submitted together. A longer line is submitted alone."""
MAX_LINE_BYTES: Final = 4 * 1024 * 1024
"""Sixteen times the longest record of CloudTrail. What is longer is set aside, but for its start
is not kept."""
_LINGER_SECONDS: Final = 0.2
"""How long to wait for more lines before sending those there are."""
_KEPT_BYTES: Final = 64 * 1024


@dataclass(slots=True)
class LineSource:
    """A pipe, by its file descriptor. What was read and not acknowledged is lost with a crash."""

    descriptor: int
    name: str
    counts: Counts
    say: Callable[[str], None]
    dead_letters: DeadLetters | None = None
    lost_count: int = field(init=False, default=0)
    """Lines that were read, and neither acknowledged nor set aside."""
    has_ended: bool = field(init=False, default=False)
    """Whether the pipe has come to its end."""
    _wake: tuple[int, int] = field(init=False)
    _selector: selectors.BaseSelector | None = field(init=False)
    _rest: bytearray = field(init=False, default_factory=bytearray)
    _index: int = field(init=False, default=0)
    _is_skipping: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._wake = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake[0], selectors.EVENT_READ)
        try:
            self._selector.register(self.descriptor, selectors.EVENT_READ)
        except PermissionError:
            # A regular file, which is always ready.
            self._selector.close()
            self._selector = None

    def take(self, room: int) -> Sequence[_Lines] | None:
        """Waits for lines; returns those that came close together. None at the end of the pipe."""
        del room
        if self.has_ended:
            return None
        lines: list[bytes] = []
        size = 0
        timeout = None
        while size < MAX_GROUP_BYTES and self._is_ready(timeout):
            text = os.read(self.descriptor, MAX_GROUP_BYTES)
            more = self._split(text)
            lines += more
            size += sum(map(len, more))
            if not text:
                self.has_ended = True
                break
            timeout = _LINGER_SECONDS if lines else None
        if not lines:
            return None if self.has_ended else []
        first, self._index = self._index, self._index + len(lines)
        return [_Lines(self, lines, first)]

    def interrupt(self) -> None:
        """Makes a `take` that waits raise a StoppedError."""
        os.write(self._wake[1], b".")

    def close(self) -> None:
        """Says what of a line has come and was not sent."""
        if self._rest:
            self.lost_count += 1
            self.say(f"{self.name}: stopped within a line, of which {len(self._rest)} bytes came")
        if self._selector is not None:
            self._selector.close()
        for descriptor in self._wake:
            os.close(descriptor)

    def put_aside(self, index: int, line: bytes, reason: str) -> None:
        """Says what is wrong with a line, and keeps it among the dead letters."""
        self.say(f"{self.name}: line {index}: {reason}")
        if self.dead_letters is None:
            return
        letter = DeadLetter(
            id=sha256(line).hexdigest()[:32],
            source=self.name,
            reason=reason,
            body=line.decode("utf-8", errors="surrogateescape"),
        )
        try:
            self.dead_letters.put(letter)
        except (OSError, ForwardError) as error:
            self.lost_count += 1
            self.say(f"{self.name}: line {index} is lost, as it is no dead letter: {error}")
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

    def _split(self, text: bytes) -> list[bytes]:
        """Returns the lines that are whole now, without blank ones."""
        self._rest += text
        *lines, rest = self._rest.split(b"\n")
        if not text:
            lines.append(rest)
            rest = bytearray()
        self._rest = rest
        whole = []
        for line in lines:
            if not self._is_skipping and line.strip():
                whole.append(bytes(line.strip(b"\r")))
            self._is_skipping = False
        if len(rest) > MAX_LINE_BYTES:
            if not self._is_skipping:
                self.counts.add(OBJECTS, "bad")
                reason = f"got more than {MAX_LINE_BYTES} bytes in one line"
                self.put_aside(self._index + len(whole), bytes(rest[:_KEPT_BYTES]), reason)
            self._is_skipping = True
            self._rest = bytearray()
        return whole


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines that came close together."""

    source: LineSource
    lines: Sequence[bytes]
    first_index: int

    @property
    def _name(self) -> str:
        return f"{self.source.name}[{self.first_index}]"

    def groups(self) -> Iterator[Sequence[Part]]:
        yield [Part(self._name, self._open)]

    def _open(self) -> Records:
        return Records(self.lines, name=self._name, first_index=self.first_index)

    def settle(self, outcomes: Mapping[str, Outcome]) -> None:
        outcome = outcomes[self._name]
        if outcome.flaw is not None and not outcome.rejections:
            # It was not a line that was wrong: the server would not have any of them.
            for number, line in enumerate(self.lines, self.first_index):
                self.source.put_aside(number, line, outcome.flaw)
        for rejection in outcome.rejections:
            line = self.lines[rejection.index - self.first_index]
            self.source.put_aside(rejection.index, line, rejection.message)

    def give_back(self) -> None:
        self.source.lost_count += len(self.lines)
