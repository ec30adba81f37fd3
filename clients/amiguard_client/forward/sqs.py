"""Messages of SQS that name log files or hold records.

A message is deleted once all it names is acknowledged by the server, and not before: whatever ends
the forwarder, the queue gives out again what was not done with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from amiguard_client.forward.counts import (
    DEAD_LETTERS,
    DELAY,
    MESSAGES,
    OBJECTS,
    SQS,
    Counts,
)
from amiguard_client.forward.dead_letters import DeadLetter, DeadLetters
from amiguard_client.forward.deliveries import Delivery, Outcome, Part
from amiguard_client.forward.errors import (
    BadObjectError,
    ForwardError,
    ObjectFaultError,
    SetupError,
)
from amiguard_client.forward.notifications import (
    LogObjects,
    ObjectAt,
    OneRecord,
    PassedOver,
    SetupTest,
    read_message,
)
from amiguard_client.forward.s3 import Fetcher
from amiguard_client.forward.sqs_queue import Held, Message, Queue
from amiguard_client.forward.stopping import Patience
from amiguard_client.left_out import LeftOut, Reason
from amiguard_client.log_names import (
    begins_as_log_file,
    has_no_extension,
    reason_to_leave_out,
)
from amiguard_client.packing import LogStream, Records

_WANTED = ".json, .jsonl or .ndjson, with or without .gz, or no extension"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsSettings:
    """How messages are received.

    `wait` is how long a call waits for messages, in whole seconds up to 20, `visibility` how long
    they are hidden from others at a time, in whole seconds. Objects of other buckets than
    `buckets` are set aside; where it is empty, all buckets are read that may be.
    """

    wait: timedelta = timedelta(seconds=10)
    visibility: timedelta = timedelta(minutes=2)
    buckets: Collection[str] = ()


@dataclass(slots=True)
class SqsSource:
    """A queue. `say` is told one line of each message that cannot be forwarded.

    What is deleted without being forwarded is counted in `left_out`.
    """

    queue: Queue
    fetcher: Fetcher
    settings: SqsSettings
    counts: Counts
    patience: Patience
    say: Callable[[str], None]
    dead_letters: DeadLetters | None = None
    left_out: LeftOut = field(default_factory=LeftOut)
    _held: Held = field(init=False)
    _has_received: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._held = Held(self.queue, self.counts, visibility=self.settings.visibility)

    @property
    def name(self) -> str:
        """The queue's URL."""
        return self.queue.url

    def take(self, room: int) -> Sequence[Delivery]:
        """Returns a delivery for each message that names objects, and one for all with records.

        Messages with neither are done with here.
        """
        del room  # ten messages are little to hold, and a call each is much to pay
        if not self._has_received:
            self._begin()
        messages = self._receive()
        deliveries: list[Delivery] = []
        with_records = []
        for message in messages:
            if not self._held.add(message):
                continue
            match self._read(message):
                case LogObjects(objects=objects):
                    deliveries.append(_Objects(self, message, objects))
                case OneRecord(text=text):
                    with_records.append((message, text))
                case None:
                    pass
        if with_records:
            deliveries.append(_LooseRecords(self, with_records))
        return deliveries

    def interrupt(self) -> None:
        """Does nothing: a call of SQS ends by itself, and what it brings is given back."""

    def close(self) -> None:
        """Lets others receive at once what is still held."""
        self.release(self._held.close())

    def release(self, messages: Sequence[Message]) -> None:
        """Makes messages visible; where that fails, they are once their time is over."""
        if not messages:
            return
        self.counts.add(MESSAGES, "given_back", count=len(messages))
        try:
            self.queue.set_visibility(messages, 0)
        except ForwardError as error:
            self.say(f"{error}; what was received and not done with is seen again later")

    def end(self, message: Message, *, reason: str | None = None) -> None:
        """Deletes a message, or where there is a reason sets it aside."""
        if reason is not None and not self._put_aside(message, reason):
            # Nobody extends it from now on, so that the queue gives it out again or moves it.
            self._held.take(message.id)
            self.counts.add(MESSAGES, "left")
            return
        self.delete([message], "deleted" if reason is None else "dead_lettered")

    def delete(self, messages: Sequence[Message], outcome: str) -> None:
        """Deletes messages that are done with; one that cannot be comes again, without harm."""
        if not messages:
            return
        held = [self._held.take(message.id) or message for message in messages]
        try:
            failed_count = len(self.patience.call(lambda: self.queue.delete(held), peer=SQS))
        except ForwardError as error:
            self.say(f"{error}; what was to be deleted comes again")
            failed_count = len(held)
        self.counts.add(MESSAGES, "left", count=failed_count)
        self.counts.add(MESSAGES, outcome, count=len(held) - failed_count)
        for message in held:
            if message.sent_time is not None:
                delay = datetime.now(UTC) - message.sent_time
                self.counts.set(DELAY, to=max(0.0, delay.total_seconds()))

    def give_back(self, messages: Sequence[Message]) -> None:
        """Lets others receive messages at once."""
        taken = [self._held.take(message.id) for message in messages]
        self.release([message for message in taken if message is not None])

    def _begin(self) -> None:
        if self.dead_letters is None and self.queue.has_redrive_policy() is False:
            self.say(
                f"{self.name}: there is no --dead-letter and the queue has no redrive policy, so "
                "what cannot be forwarded comes again until it is too old"
            )
        self._held.start()

    def _receive(self) -> list[Message]:
        receive = partial(
            self.queue.receive, wait=self.settings.wait, visibility=self.settings.visibility
        )
        try:
            messages = self.patience.call(receive, peer=SQS, is_taking=True)
        except (BadObjectError, ObjectFaultError) as error:
            # No such queue, or no permission: it may become right later, but not by waiting.
            raise SetupError(str(error)) from error
        self._has_received = True
        return messages

    def _read(self, message: Message) -> LogObjects | OneRecord | None:
        """Returns what a message says where there is something to forward, and else ends it."""
        try:
            notice = read_message(message.body)
            if isinstance(notice, LogObjects):
                self._check_buckets(notice.objects)
        except BadObjectError as error:
            self.counts.add(OBJECTS, "bad")
            self.end(message, reason=str(error))
            return None
        match notice:
            case SetupTest():
                self.left_out.add(Reason.TEST_EVENT, f"message {message.id}")
                self.delete([message], "test_event")
            case PassedOver():
                self.left_out.add(Reason.NO_NEW_OBJECT, f"message {message.id}")
                self.counts.add(OBJECTS, "passed_over")
                self.delete([message], "deleted")
            case LogObjects(objects=objects, passed_over=passed_over):
                for reason, at in passed_over:
                    self.left_out.add(reason, at)
                self.counts.add(OBJECTS, "passed_over", count=len(passed_over))
                if objects:
                    return notice
                self.delete([message], "deleted")
            case OneRecord():
                return notice
        return None

    def _check_buckets(self, objects: Sequence[ObjectAt]) -> None:
        for at in objects:
            if self.settings.buckets and at.bucket not in self.settings.buckets:
                wanted = ", ".join(sorted(self.settings.buckets))
                raise BadObjectError(f"{at}: got another bucket, wanted {wanted}")

    def _put_aside(self, message: Message, reason: str) -> bool:
        """Says what is wrong with a message; returns whether it is safe among the dead letters."""
        self.say(f"message {message.id}: {reason}")
        if self.dead_letters is None:
            return False
        letter = DeadLetter(id=message.id, source=self.name, reason=reason, body=message.body)
        try:
            self.dead_letters.put(letter)
        except (OSError, ForwardError) as error:
            self.say(f"message {message.id} stays in the queue, as it is no dead letter: {error}")
            return False
        self.counts.add(DEAD_LETTERS)
        return True


@dataclass(frozen=True, slots=True)
class _Objects:
    """A message that names objects, which are fetched and submitted one after the other."""

    source: SqsSource
    message: Message
    objects: tuple[ObjectAt, ...]

    def groups(self) -> Iterator[Sequence[Part]]:
        for at in self.objects:
            yield [Part(str(at), partial(self._open, at))]

    def _open(self, at: ObjectAt) -> LogStream:
        if reason_to_leave_out(at.key) is not None:
            raise BadObjectError(f"{at}: got another name, wanted that of a log file: {_WANTED}")
        stream = self.source.fetcher.fetch(at)
        if has_no_extension(at.key) and not begins_as_log_file(stream):
            stream.close()
            raise BadObjectError(f"{at}: got neither JSON nor gzip, wanted a log file")
        return LogStream(stream, name=str(at))

    def settle(self, outcomes: Mapping[str, Outcome]) -> None:
        for name, outcome in outcomes.items():
            if outcome.remark is not None:
                self.source.say(f"{name}: {outcome.remark}")
        flaws = [
            outcome.flaw if name in outcome.flaw else f"{name}: {outcome.flaw}"
            for name, outcome in outcomes.items()
            if outcome.flaw is not None
        ]
        self.source.end(self.message, reason="; ".join(flaws) or None)

    def give_back(self) -> None:
        self.source.give_back([self.message])


@dataclass(frozen=True, slots=True)
class _LooseRecords:
    """Messages received together that each hold a record; submitted together, ended one by one."""

    source: SqsSource
    messages: Sequence[tuple[Message, str]]

    def groups(self) -> Iterator[Sequence[Part]]:
        yield [
            Part(message.id, partial(self._open, message.id, text))
            for message, text in self.messages
        ]

    def _open(self, name: str, text: str) -> Records:
        return Records([text.encode("utf-8", errors="surrogatepass")], name=name)

    def settle(self, outcomes: Mapping[str, Outcome]) -> None:
        done = []
        for message, _ in self.messages:
            flaw = outcomes[message.id].flaw
            if flaw is None:
                done.append(message)
            else:
                self.source.end(message, reason=flaw)
        self.source.delete(done, "deleted")

    def give_back(self) -> None:
        self.source.give_back([message for message, _ in self.messages])
