"""What is delivered to a sink, what came of it, and when it is tried again: values and arithmetic.

Retries wait twice as long each time. A receiver that is down is left alone as a whole, and asked
again with one delivery at a time; one that refuses a single delivery is sent the others meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias

from amiguard_service.stored import StoredFinding

FIRST_WAIT: Final = timedelta(seconds=1)
MAX_WAIT: Final = timedelta(minutes=10)
"""Longest wait of one delivery: what waited through an outage arrives this soon after its end."""
MAX_PAUSE: Final = timedelta(minutes=1)
"""Longest time that a sink which fails is left alone, unless it asks for more."""
MAX_RETRY_AFTER: Final = timedelta(days=1)
"""What a receiver can ask for: a slip of its clock must not silence a sink for good."""
MAX_ANSWER_CHARACTERS: Final = 300
"""What is kept of an answer: enough for its first sentence, little enough for a table."""


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """After which failure a delivery becomes a dead letter: whichever limit is met first."""

    max_attempts: int = 500
    max_age: timedelta = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this server is to attempt; nobody else does so before `lease_time`."""

    finding_id: str
    change_id: int
    take_up_time: datetime
    attempt_count: int
    lease_time: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """What a receiver is told: that a finding has changed, or, without one, that this is a test.

    `key` is the same for every attempt to send one revision of a finding.
    """

    key: str
    time: datetime
    finding: StoredFinding | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt; `answer` says it to a person.

    `is_refusal` where the receiver is well but does not want this delivery, `retry_after` where it
    said when to come again.
    """

    is_delivered: bool
    answer: str
    is_refusal: bool = False
    retry_after: timedelta | None = None


Send: TypeAlias = Callable[[], Awaitable[Outcome]]
"""One attempt, ready to be made on the event loop."""


class Sender(Protocol):
    """Brings events to one receiver."""

    max_concurrent: int

    def prepare(self, event: Event) -> Send:
        """Returns the attempt to send an event. Called in a thread; may take its time."""

    async def close(self) -> None:
        """Ends every connection."""


def printable(text: str, most: int) -> str:
    """Returns at most so many characters of a text that somebody else chose, on one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def event_of(finding: StoredFinding) -> Event:
    """Returns what is told of a finding as it stands."""
    return Event(f"{finding.finding_id}.{finding.revision}", finding.update_time, finding)


def next_attempt(
    claim: Claim, outcome: Outcome, *, limits: RetryLimits, now: datetime, draw: float
) -> datetime | None:
    """Returns when a failed delivery is tried again; None makes it a dead letter.

    `draw`, from 0 to 1, spreads what failed together.
    """
    attempts = claim.attempt_count + 1
    if attempts >= limits.max_attempts or now - claim.take_up_time >= limits.max_age:
        return None
    return now + max(_wait(attempts, most=MAX_WAIT, draw=draw), _asked(outcome))


def next_resumption(
    failure_count: int, outcome: Outcome, *, now: datetime, draw: float
) -> datetime:
    """Returns until when a sink is left alone after so many failures in a row."""
    return now + max(_wait(failure_count, most=MAX_PAUSE, draw=draw), _asked(outcome))


def _wait(attempts: int, *, most: timedelta, draw: float) -> timedelta:
    # Past 2 ** 20 every wait is the longest anyway.
    full = min(FIRST_WAIT * (1 << min(attempts - 1, 20)), most)
    return full * (0.5 + draw / 2)


def _asked(outcome: Outcome) -> timedelta:
    return min(outcome.retry_after or timedelta(0), MAX_RETRY_AFTER)
