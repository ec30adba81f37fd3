"""What a forwarder counts. Each metric's name, kind, unit and meaning stands here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `values` are all that its label takes, none where it has no label.

    A counter only rises while the forwarder runs; its published name ends in `_total`.
    """

    name: str
    help: str
    is_counter: bool = True
    label: str | None = None
    values: tuple[str, ...] = ("",)


SERVER, SQS, S3 = "server", "sqs", "s3"
"""Who may fail: the peers of a forwarder."""

OBJECTS = Metric(
    "objects",
    "Log files, records in messages, and groups of lines: forwarded as a whole; passed_over, "
    "because they hold no records of CloudTrail; bad; or given_back unfinished at a stop. When bad "
    "rises, read the reasons in the dead letters.",
    label="outcome",
    values=("forwarded", "passed_over", "bad", "given_back"),
)
MESSAGES = Metric(
    "messages",
    "Messages of the queue: deleted, after all they name was acknowledged or passed over; "
    "test_event, deleted as well; dead_lettered; left to the queue's redrive policy; or given_back "
    "at a stop. When left rises, give --dead-letter or look into the queue's own.",
    label="outcome",
    values=("deleted", "test_event", "dead_lettered", "left", "given_back"),
)
DEAD_LETTERS = Metric("dead_letters", "Dead letters written.")
RECORDS = Metric(
    "records",
    "Records the server acknowledged: accepted or rejected; of the accepted, relevant to the rule "
    "and duplicate. When rejected rises, something else than CloudTrail is forwarded.",
    label="outcome",
    values=("accepted", "rejected", "relevant", "duplicate"),
)
BYTES = Metric("bytes", "Bytes of what was forwarded, as read from the source.")
RETRIES = Metric(
    "retries",
    "Attempts that failed and were made again, by who failed. When it rises, see `up`.",
    label="peer",
    values=(SERVER, SQS, S3),
)
VISIBILITY = Metric(
    "visibility_failures",
    "Messages whose time of not being visible could not be extended: another forwarder may do the "
    "same work again, without harm. When it rises, raise --visibility.",
)
UP = Metric(
    "up",
    "1 where the last attempt went well, 0 where it failed.",
    is_counter=False,
    label="peer",
    values=(SERVER, SQS, S3),
)
IN_FLIGHT = Metric(
    "in_flight_objects",
    "Deliveries taken from the source and not done with. While it stays at --in-flight, the server "
    "or the network is what limits.",
    is_counter=False,
)
DELAY = Metric(
    "delay_seconds",
    "Time from the sending of the last message that was done with to its end. When it rises, "
    "forwarding is slower than delivery: raise --in-flight or run another forwarder.",
    is_counter=False,
)
LAST_SUCCESS = Metric(
    "last_success_timestamp_seconds",
    "Unix time when something was last forwarded; 0 before the first time.",
    is_counter=False,
)

METRICS = (
    OBJECTS,
    MESSAGES,
    DEAD_LETTERS,
    RECORDS,
    BYTES,
    RETRIES,
    VISIBILITY,
    UP,
    IN_FLIGHT,
    DELAY,
    LAST_SUCCESS,
)


class Counts:
    """The present value of every metric; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = {(m.name, value): 0.0 for m in METRICS for value in m.values}
        for peer in UP.values:
            self._values[UP.name, peer] = 1.0

    def add(self, metric: Metric, value: str = "", *, count: float = 1) -> None:
        """Adds to a metric, under a value of its label if it has one."""
        with self._lock:
            self._values[metric.name, value] += count

    def set(self, metric: Metric, value: str = "", *, to: float) -> None:
        """Sets a metric that is no counter."""
        with self._lock:
            self._values[metric.name, value] = to

    def get(self, metric: Metric, value: str = "") -> float:
        """Returns a metric's present value."""
        with self._lock:
            return self._values[metric.name, value]


class Outages:
    """Tells of a peer that fails once, when it begins, and once it is over."""

    def __init__(self, say: Callable[[str], None], counts: Counts) -> None:
        self._say = say
        self._counts = counts
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}

    def failed(self, peer: str, text: str) -> None:
        """Takes in that an attempt failed and will be made again."""
        self._counts.add(RETRIES, peer)
        self._counts.set(UP, peer, to=0)
        with self._lock:
            is_first = peer not in self._since
            self._since.setdefault(peer, time.monotonic())
        if is_first:
            self._say(f"{text}; trying again until it is back")

    def went_well(self, peer: str) -> None:
        """Takes in that an attempt went well."""
        if peer not in self._since:
            return
        with self._lock:
            since = self._since.pop(peer, None)
        self._counts.set(UP, peer, to=1)
        if since is not None:
            self._say(f"{peer} is back after {time.monotonic() - since:.0f} s")
