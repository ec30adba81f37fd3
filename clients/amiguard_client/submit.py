"""Submissions: batches in, acknowledgements out, across broken streams and restarts."""

from __future__ import annotations

from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard_client._backoff import Backoff
from amiguard_client._feed import Feed, InputEnded, Packed
from amiguard_client._stream import Ended, Response, Stream
from amiguard_client.errors import (
    AmiguardError,
    ServerFaultError,
    UnreachableError,
)
from amiguard_client.packing import Batch, Limits, Submittable
from amiguard_client.proxies import unreachable
from amiguard_client.retry import RetryPolicy, Timing
from amiguard_client.summary import BatchResult, SubmitSummary, Tally, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from amiguard_client.channel import Connection

__all__ = ["BatchResult", "RetryPolicy", "SubmitSummary", "Submitter", "Timing"]

_BRIEF_SECONDS: Final = 1.0
"""A server that asks to reconnect sooner is one that will ask again."""


class _Talk:
    """One stream and where it stands: what is to be sent again, what is out, what came back."""

    def __init__(self, stream: Stream, unacked: Iterable[Batch]) -> None:
        self.stream = stream
        self.limits: Limits | None = None
        self.unsent = deque(batch for batch in unacked if batch.is_sendable)
        self.in_flight: deque[Batch] = deque()
        self.acked = 0
        self.is_finished = False
        self.is_told_to_leave = False

    @property
    def is_waiting(self) -> bool:
        """Whether it is the server's turn to say something."""
        return self.limits is None or bool(self.in_flight) or self.is_finished

    def send(self, batch: Batch) -> None:
        """Sends a batch under the next sequence."""
        self.in_flight.append(batch)
        self.stream.send(batch.to_message(self.acked + len(self.in_flight)))

    def finish(self) -> None:
        """Sends nothing more; what is out may still be acknowledged."""
        if not self.is_finished:
            self.is_finished = True
            self.stream.finish()


class Submitter:
    """One submission over one connection: `run` it once.

    Batches go out in the order of the input and are acknowledged in that order, each exactly once,
    whatever happens to the streams that carry them. Besides the server's window of batches, one
    that waits for room in it and one that is being packed are held in memory; `bounds`, where they
    are tighter than the server's limits, make that less.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        source: str,
        on_ack: Callable[[BatchResult], None] | None = None,
        on_retry: Callable[[AmiguardError, timedelta], None] | None = None,
        retry: RetryPolicy | None = None,
        timing: Timing | None = None,
        bounds: Limits | None = None,
    ) -> None:
        self._connection = connection
        self._source = source
        self._bounds = bounds
        self._on_ack = on_ack
        self._retry = retry or RetryPolicy()
        timing = timing or Timing()
        self._now = timing.now
        self._events: SimpleQueue[object] = SimpleQueue()
        self._tally = Tally()
        # Taken from the input and not acknowledged, in order. The next batch waits in the inbox.
        self._unacked: deque[Batch] = deque()
        self._inbox: Batch | None = None
        self._feed: Feed | None = None
        self._input_ended: InputEnded | None = None
        self._backoff = Backoff(self._retry, timing, on_retry=on_retry)

    def run(self, inputs: Iterable[Submittable]) -> SubmitSummary:
        """Submits all of `inputs` and returns once everything is acknowledged.

        `inputs` is read in another thread. What it raises is raised here after what came before is
        acknowledged. Raises an AmiguardError, with `summary` and `unacked_batch_count`, when the
        server refuses or the retry policy is exhausted.
        """
        try:
            while not self._is_done:
                self._converse(inputs)
        except AmiguardError as error:
            error.summary = self._tally.summary()
            error.unacked_batch_count = len(self._unacked) + (self._inbox is not None)
            raise
        finally:
            if self._feed is not None:
                self._feed.stop()
        if self._input_ended is not None and self._input_ended.error is not None:
            raise self._input_ended.error
        return self._tally.summary()

    @property
    def _is_done(self) -> bool:
        return self._input_ended is not None and self._inbox is None and not self._unacked

    def _converse(self, inputs: Iterable[Submittable]) -> None:
        """Goes on over a new stream until everything is acknowledged or the stream ends."""
        stream = Stream(self._connection, source=self._source, events=self._events)
        talk = _Talk(stream, self._unacked)
        began = self._now()
        try:
            failure = self._listen(talk, inputs)
        finally:
            stream.cancel()
        if self._is_done:
            return
        self._tally.reconnect_count += 1
        # A stream that nothing went over for long is ended too; then another one is no failure.
        if failure is None and not talk.acked and self._now() - began < _BRIEF_SECONDS:
            failure = self._lost("it asked to reconnect before it acknowledged anything")
        if failure is not None:
            self._backoff.wait(failure)

    def _listen(self, talk: _Talk, inputs: Iterable[Submittable]) -> AmiguardError | None:
        """Returns what broke the stream; None where the server asked to reconnect."""
        patience = self._retry.ack_timeout.total_seconds()
        stall_at = self._now() + patience
        while True:
            if self._fill(talk):
                stall_at = self._now() + patience
            if self._is_done and talk.limits is not None:
                talk.finish()
            event = self._next_event(stall_at if talk.is_waiting else None)
            match event:
                case None:
                    return self._lost(f"no answer for {patience:g} s")
                case Packed(batch):
                    self._inbox = batch
                case InputEnded():
                    self._input_ended = event
                case Response(stream, message) if stream is talk.stream:
                    stall_at = self._now() + patience
                    fault = self._handle(talk, message, inputs)
                    if fault is not None:
                        return fault
                case Ended(stream, error) if stream is talk.stream:
                    return self._end_of(talk, error)
                case _:
                    pass  # a former stream's last words

    def _next_event(self, deadline: float | None) -> object | None:
        if deadline is None:
            return self._events.get()
        try:
            return self._events.get(timeout=max(0.0, deadline - self._now()))
        except Empty:
            return None

    def _handle(
        self, talk: _Talk, message: wire.SubmitEventsResponse, inputs: Iterable[Submittable]
    ) -> AmiguardError | None:
        """Takes in one response; returns an error where it breaks the contract."""
        match message.WhichOneof("message"):
            case "opened":
                talk.limits = Limits.from_message(message.opened, bounds=self._bounds)
                if self._feed is None:
                    self._feed = Feed(inputs, talk.limits, events=self._events)
                if not self._unacked:
                    self._backoff.reset()
            case "ack":
                if message.ack.sequence <= talk.acked:
                    return None
                if not talk.in_flight or message.ack.sequence != talk.acked + 1:
                    return self._broken(
                        f"acknowledged batch {message.ack.sequence}, expected {talk.acked + 1}"
                    )
                talk.acked += 1
                talk.in_flight.popleft()
                self._backoff.reset()
                self._complete(message.ack)
            case "go_away":
                talk.finish()
                talk.is_told_to_leave = True
            case _:
                pass
        return None

    def _fill(self, talk: _Talk) -> bool:
        """Sends what the window has room for; says whether it sent anything while none was out."""
        if talk.limits is None or talk.is_finished:
            return False
        was_idle = not talk.in_flight
        window = talk.limits.max_batches_in_flight
        while len(talk.in_flight) < window:
            if talk.unsent:
                talk.send(talk.unsent.popleft())
            elif self._inbox is not None and len(self._unacked) < window:
                batch, self._inbox = self._inbox, None
                self._take(talk, batch)
            else:
                break
        return was_idle and bool(talk.in_flight)

    def _take(self, talk: _Talk, batch: Batch) -> None:
        if self._feed is not None:
            self._feed.take()
        self._unacked.append(batch)
        if batch.is_sendable:
            talk.send(batch)
        else:
            self._complete_unsendable()

    def _complete(self, ack: wire.BatchAck) -> None:
        """Counts the oldest batch, and those after it that need no ack."""
        self._count(self._unacked.popleft(), ack)
        self._complete_unsendable()

    def _complete_unsendable(self) -> None:
        while self._unacked and not self._unacked[0].is_sendable:
            self._count(self._unacked.popleft(), wire.BatchAck())

    def _count(self, batch: Batch, ack: wire.BatchAck) -> None:
        result = result_of(batch, ack, number=self._tally.batch_count + 1)
        self._tally.add(result)
        if self._on_ack is not None:
            self._on_ack(result)

    def _end_of(self, talk: _Talk, error: AmiguardError | None) -> AmiguardError | None:
        if talk.is_told_to_leave:
            return None
        return error or self._lost("the stream ended before everything was acknowledged")

    def _lost(self, text: str) -> UnreachableError:
        message = unreachable(self._connection.target, text)
        return UnreachableError(message, code="UNAVAILABLE")

    def _broken(self, text: str) -> ServerFaultError:
        return ServerFaultError(f"{self._connection.target} {text}", code="INTERNAL")
