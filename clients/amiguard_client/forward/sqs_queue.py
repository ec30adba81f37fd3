"""One queue of SQS, and the messages of it that are held."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, TypeVar

from amiguard_client.forward.aws import aws_errors
from amiguard_client.forward.counts import VISIBILITY, Counts
from amiguard_client.forward.errors import ForwardError

T = TypeVar("T")

MAX_BATCH: Final = 10
"""Messages that one call of SQS takes."""
MAX_WAIT_SECONDS: Final = 20
"""Longest time that SQS lets a call wait for messages."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was received."""

    id: str
    body: str
    receipt: str
    sent_time: datetime | None


@dataclass(frozen=True, slots=True)
class Queue:
    """The calls of one queue. All raise a ForwardError where AWS refuses or is away."""

    client: Any
    url: str

    def receive(self, *, wait: timedelta, visibility: timedelta) -> list[Message]:
        """Returns up to 10 messages, none where none came in time."""
        with aws_errors(self.url):
            answer = self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=MAX_BATCH,
                WaitTimeSeconds=int(wait.total_seconds()),
                VisibilityTimeout=int(visibility.total_seconds()),
                AttributeNames=["SentTimestamp"],
            )
        return [_message_of(received) for received in answer.get("Messages", ())]

    def delete(self, messages: Iterable[Message]) -> list[str]:
        """Deletes messages; returns the ids of those that it could not."""
        return self._in_batches(
            self.client.delete_message_batch,
            [{"Id": m.id, "ReceiptHandle": m.receipt} for m in messages],
        )

    def set_visibility(self, messages: Iterable[Message], seconds: int) -> list[str]:
        """Hides messages for so long from now; returns the ids of those that it could not."""
        return self._in_batches(
            self.client.change_message_visibility_batch,
            [
                {"Id": m.id, "ReceiptHandle": m.receipt, "VisibilityTimeout": seconds}
                for m in messages
            ],
        )

    def has_redrive_policy(self) -> bool | None:
        """Says whether the queue has a dead-letter queue of its own; None where it may not say."""
        try:
            with aws_errors(self.url):
                answer = self.client.get_queue_attributes(
                    QueueUrl=self.url, AttributeNames=["RedrivePolicy"]
                )
        except ForwardError:
            return None
        return bool(answer.get("Attributes", {}).get("RedrivePolicy"))

    def _in_batches(self, call: Callable[..., Any], entries: Sequence[dict[str, Any]]) -> list[str]:
        failed = []
        for some in _batched(entries):
            with aws_errors(self.url):
                answer = call(QueueUrl=self.url, Entries=some)
            failed += [str(entry["Id"]) for entry in answer.get("Failed", ())]
        return failed


class Held:
    """The messages of a queue that are being worked on, kept from being received elsewhere.

    A thread extends their visibility from `start` to `close`, each time for `visibility`, long
    before the last one is over. SQS ends that 12 hours after a message was received.
    """

    def __init__(self, queue: Queue, counts: Counts, *, visibility: timedelta) -> None:
        self._queue = queue
        self._counts = counts
        self._seconds = int(visibility.total_seconds())
        self._interval = visibility.total_seconds() / 3
        self._changed = threading.Condition()
        self._messages: dict[str, tuple[Message, float]] = {}
        self._is_closed = False

    def start(self) -> None:
        """Begins to extend."""
        threading.Thread(target=self._run, name="amiguard-visibility", daemon=True).start()

    def close(self) -> list[Message]:
        """Ends the extending; returns what is still held."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            return [message for message, _ in self._messages.values()]

    def add(self, message: Message) -> bool:
        """Holds a message. Says no to one that is held already, and goes on with its new receipt.

        Such a one has come a second time, because it could not be extended in time.
        """
        with self._changed:
            is_new = message.id not in self._messages
            self._messages[message.id] = (message, time.monotonic() + self._interval)
            self._changed.notify_all()
            return is_new

    def take(self, message_id: str) -> Message | None:
        """Ends the holding of a message and returns it with its last receipt."""
        with self._changed:
            message, _ = self._messages.pop(message_id, (None, 0.0))
            return message

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._is_closed:
                    return
                now = time.monotonic()
                due = [m for m, at in self._messages.values() if at <= now]
                if not due:
                    nearest = min((at for _, at in self._messages.values()), default=None)
                    self._changed.wait(None if nearest is None else max(0.0, nearest - now))
                    continue
                for message in due:
                    self._messages[message.id] = (message, now + self._interval)
            self._extend(due)

    def _extend(self, due: Sequence[Message]) -> None:
        try:
            failed = self._queue.set_visibility(due, self._seconds)
        except ForwardError:
            # Tried again after the interval, which comes round before the visibility is over.
            failed = [message.id for message in due]
        with self._changed:
            # One that was deleted meanwhile cannot be extended, and need not be.
            self._counts.add(VISIBILITY, count=sum(one in self._messages for one in failed))


def _message_of(received: Any) -> Message:
    sent = received.get("Attributes", {}).get("SentTimestamp")
    return Message(
        id=received["MessageId"],
        body=received["Body"],
        receipt=received["ReceiptHandle"],
        sent_time=datetime.fromtimestamp(int(sent) / 1000, UTC) if sent else None,
    )


def _batched(values: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, MAX_BATCH)):
        yield some
