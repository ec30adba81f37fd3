"""Forwarders: each delivers its batches until every one of them is acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from threading import Condition, Thread

from amiguard_client import connect
from amiguard_client.errors import AmiguardError, OverloadedError, UnreachableError
from amiguard_client.packing import Submittable
from amiguard_client.retry import RetryPolicy
from amiguard_client.summary import BatchResult
from tests.robustness.history import History, What
from tests.robustness.plan import Delivery, Forwarding
from tests.robustness.waiting import patiently

_RETRY = RetryPolicy(
    initial_delay=timedelta(milliseconds=20),
    max_delay=timedelta(milliseconds=400),
    give_up_after=timedelta(seconds=60),
    ack_timeout=timedelta(seconds=2),
)
_CALL_TIMEOUT = timedelta(seconds=3)
_CALL_PATIENCE_SECONDS = 60


@dataclass
class Progress:
    """What all forwarders of a round were told; safe to use from any thread."""

    changed: Condition = field(default_factory=Condition)
    acked_count: int = 0
    """Batches, each as often as it was acknowledged."""
    acked_records: set[bytes] = field(default_factory=set)
    fresh_count: int = 0
    """Searches and launches that acks said were not stored before."""
    complaints: list[str] = field(default_factory=list)
    last_ack_at: float = field(default_factory=time.monotonic)
    history: History = field(default_factory=History)

    def take(
        self,
        delivery: Delivery,
        result: BatchResult,
        *,
        source: str,
        batch: int | str,
        server: int | None = None,
    ) -> None:
        """Takes in what an ack of a server says of a batch."""
        self.history.note(
            source,
            What.ACKED,
            batch=batch,
            server=server,
            accepted=result.accepted_count,
            rejected=result.rejected_count,
            relevant=result.relevant_count,
            duplicate=result.duplicate_count,
        )
        said = (result.accepted_count, result.rejected_count)
        sent = (len(delivery.records), delivery.malformed_count)
        with self.changed:
            if said != sent:
                self.complaints.append(
                    f"{source}: an ack says accepted and rejected are {said}, sent were {sent}"
                )
            self.acked_count += 1
            self.acked_records.update(delivery.records)
            stored_count = result.relevant_count - delivery.unidentified_count
            self.fresh_count += stored_count - result.duplicate_count
            self.last_ack_at = time.monotonic()
            self.changed.notify_all()


class _CrashError(Exception):
    """Ends a forwarder as a crash would, between two acks."""


class _Attempt:
    """The life of a forwarder from a start to the next crash: what it sends, and how far it is."""

    def __init__(
        self, forwarding: Forwarding, *, source: str, start: int, progress: Progress
    ) -> None:
        self.done = start
        self._source = source
        self.is_over = False
        self._forwarding = forwarding
        self._start = start
        self._progress = progress

    def inputs(self) -> Iterator[Submittable]:
        """Yields what is to be sent, no further ahead of the acks than the forwarder goes."""
        for place in range(self._start, len(self._forwarding.deliveries)):
            with self._progress.changed:
                self._progress.changed.wait_for(partial(self._may_send, place))
                if self.is_over:
                    return
            delivery = self._forwarding.deliveries[place]
            self._progress.history.sent(self._source, place, delivery.records)
            yield delivery.item

    def _may_send(self, place: int) -> bool:
        return self.is_over or place - self.done < self._forwarding.depth

    def end(self) -> None:
        """Lets whoever waits for more input know that there is none."""
        with self._progress.changed:
            self.is_over = True
            self._progress.changed.notify_all()


class Forwarder(Thread):
    """Submits over the client library. A crash forgets acks, so that batches are sent again."""

    def __init__(
        self,
        number: int,
        forwarding: Forwarding,
        *,
        addresses: Sequence[str],
        progress: Progress,
        last_server: Callable[[Sequence[str]], int] = lambda _: 0,
    ) -> None:
        """`last_server` says which of the servers at some addresses answered last."""
        super().__init__(name=f"forwarder-{number}", daemon=True)
        self._addresses = addresses
        self._last_server = last_server
        # gRPC's way to name every replica at once; it takes them in turn.
        self._target = f"ipv4:{','.join(addresses)}"
        self._forwarding = forwarding
        self._progress = progress
        self._crash: int | None = None
        self.failure: AmiguardError | None = None
        self.is_done = False

    def crash(self, *, forgotten_count: int) -> None:
        """Makes it end at the next ack and begin anew, so many batches before."""
        self._crash = forgotten_count

    def run(self) -> None:
        """Returns once everything is acknowledged, or the client library gives up."""
        start = 0
        try:
            while start < len(self._forwarding.deliveries):
                start = self._live(start)
            self.is_done = True
        except AmiguardError as error:
            self.failure = error
        finally:
            with self._progress.changed:
                self._progress.changed.notify_all()

    def _live(self, start: int) -> int:
        """Returns where to go on from."""
        attempt = _Attempt(self._forwarding, source=self.name, start=start, progress=self._progress)
        try:
            if self._forwarding.is_unary:
                self._call(attempt)
            else:
                self._stream(attempt, start)
        except _CrashError:
            forgotten_count, self._crash = self._crash or 0, None
            self._progress.history.note(self.name, What.CRASHED, forgotten=forgotten_count)
            return max(0, attempt.done - forgotten_count)
        finally:
            attempt.end()
        return attempt.done

    def _stream(self, attempt: _Attempt, start: int) -> None:
        def take(result: BatchResult) -> None:
            if result.number != attempt.done - start + 1 or not result.is_last_of_input:
                raise AssertionError("acks do not come in the order of the batches")
            self._take(attempt, result)

        with connect(self._target, insecure=True, timeout=_CALL_TIMEOUT) as client:
            client.submit(attempt.inputs(), source=self.name, on_ack=take, retry=_RETRY)

    def _call(self, attempt: _Attempt) -> None:
        with connect(self._target, insecure=True, timeout=_CALL_TIMEOUT) as client:
            for delivery in self._forwarding.deliveries[attempt.done :]:
                self._progress.history.sent(self.name, attempt.done, delivery.records)
                result = patiently(
                    partial(client.submit_batch, delivery.item, source=self.name),
                    (UnreachableError, OverloadedError),
                    seconds=_CALL_PATIENCE_SECONDS,
                )
                self._take(attempt, result)

    def _take(self, attempt: _Attempt, result: BatchResult) -> None:
        delivery = self._forwarding.deliveries[attempt.done]
        with self._progress.changed:
            attempt.done += 1
        self._progress.take(
            delivery,
            result,
            source=self.name,
            batch=attempt.done - 1,
            server=self._last_server(self._addresses),
        )
        if self._crash is not None:
            raise _CrashError
