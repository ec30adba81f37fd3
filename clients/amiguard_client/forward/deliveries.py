"""What a source hands over, in which pieces it is submitted, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from amiguard_client.packing import Submittable
from amiguard_client.summary import MAX_REJECTIONS_KEPT, BatchResult, RecordRejection


@dataclass(frozen=True, slots=True)
class Part:
    """A log file or a group of records.

    `name` tells it from the others of its delivery. `open` gives it under that name; it may raise
    a BadObjectError or an ObjectFaultError, and is called anew for each attempt.
    """

    name: str
    open: Callable[[], Submittable]


@dataclass(slots=True)
class Outcome:
    """What became of a part: `flaw` says why it could not be forwarded as a whole.

    `rejections` are those that were named, and not too many to keep.
    """

    accepted_count: int = 0
    rejected_count: int = 0
    unsent_count: int = 0
    rejections: list[RecordRejection] = field(default_factory=list)
    flaw: str | None = None

    def add(self, result: BatchResult) -> None:
        """Takes in the ack of one batch, and with the last of them whether there is a flaw.

        Records that the server set aside are no flaw, because it keeps them: unless there was
        nothing else, as in a log file that cannot be read, or the server never saw them.
        """
        self.accepted_count += result.accepted_count
        self.rejected_count += result.rejected_count
        self.unsent_count += result.unsent_count
        room = MAX_REJECTIONS_KEPT - len(self.rejections)
        self.rejections += result.rejections[:room]
        is_unread = self.rejected_count and not self.accepted_count
        if result.is_last_of_input and (is_unread or self.unsent_count):
            self.flaw = self._describe()

    @property
    def remark(self) -> str | None:
        """What is to be said of a part that is no flaw of it: records that the server set aside."""
        if self.flaw is not None or not self.rejected_count:
            return None
        record_count = self.accepted_count + self.rejected_count
        return f"{self.rejected_count} of {record_count} records were rejected: {self._describe()}"

    def _describe(self) -> str:
        if not self.rejections:
            return f"{self.rejected_count} records were rejected"
        first = self.rejections[0]
        path = "" if first.message.startswith(first.path) else f"{first.path}: "
        more = f" (and {self.rejected_count - 1} more)" if self.rejected_count > 1 else ""
        return f"record {first.index}: {path}{first.message}{more}"


class Delivery(Protocol):
    """What is taken from a source at once, and done with at once."""

    def groups(self) -> Iterable[Sequence[Part]]:
        """Yields parts that are submitted together, all of them over one stream."""

    def settle(self, outcomes: Mapping[str, Outcome]) -> None:
        """Ends it: each part, by its name, was acknowledged or has a flaw."""

    def give_back(self) -> None:
        """Leaves it to the next run, or to another forwarder."""


class Source(Protocol):
    """Where deliveries come from. Used from one thread, but for `interrupt`."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def take(self, room: int) -> Sequence[Delivery] | None:
        """Returns what there is, about `room` deliveries at most; None once no more can come.

        It waits for some seconds where there is nothing. Raises StoppedError where it is
        interrupted.
        """

    def interrupt(self) -> None:
        """Makes a `take` that waits return soon. Called from another thread."""

    def close(self) -> None:
        """Gives back what is not settled, and ends."""
