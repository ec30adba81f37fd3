"""Forwarding: deliveries out of a source, through the server, and back to the source settled."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from amiguard_client.client import Client
from amiguard_client.errors import (
    AmiguardError,
    InvalidRequestError,
    OverloadedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnreachableError,
)
from amiguard_client.forward.counts import (
    BYTES,
    IN_FLIGHT,
    LAST_SUCCESS,
    OBJECTS,
    RECORDS,
    SERVER,
    Counts,
    Outages,
)
from amiguard_client.forward.deliveries import Delivery, Outcome, Part, Source
from amiguard_client.forward.errors import (
    AwayError,
    BadObjectError,
    ForwardError,
    SetupError,
    StoppedError,
)
from amiguard_client.forward.stopping import Patience, Stop
from amiguard_client.packing import Limits, LogStream, Records, Submittable
from amiguard_client.retry import RetryPolicy, Timing
from amiguard_client.submit import Submitter
from amiguard_client.summary import BatchResult

MIN_BYTES_PER_DELIVERY: Final = 16 * 1024 * 1024
"""Memory that forwarding one log file takes at least."""
FOR_EVER: Final = timedelta(days=36_500)

_SOURCE = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_MESSAGES_HELD = 4
"""Two that are out, one that waits for room and one that is being packed: see Submitter."""
_UNBOUNDED = 2**31 - 1
_UNWINDING_SECONDS = 2.0
_SETUP_CODES = {"UNIMPLEMENTED", "FAILED_PRECONDITION"}
"""Answers of what is no server of ours, or too old a one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardSettings:
    """How a forwarder works.

    `source` names it in the server's logs. `in_flight` deliveries are worked on at a time, with
    about `max_bytes_in_flight` in memory; what of an object is more goes to disk. `max_attempts`
    bounds what is tried again because of one object, `retry` what is tried again because the
    server or AWS is away. At a stop, what is under way has `grace` to end.
    """

    source: str = "amiguardctl"
    in_flight: int = 8
    max_bytes_in_flight: int = 256 * 1024 * 1024
    max_object_bytes: int = 256 * 1024 * 1024
    max_attempts: int = 5
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(give_up_after=FOR_EVER))
    grace: timedelta = timedelta(seconds=20)
    is_once: bool = False

    def __post_init__(self) -> None:
        if not _SOURCE.fullmatch(self.source):
            raise SetupError(f"source: got {self.source!r}, wanted 1 to 64 of a-z, 0-9 and -")
        least = MIN_BYTES_PER_DELIVERY * self.in_flight
        if self.max_bytes_in_flight < least:
            raise SetupError(
                f"bytes in flight: got {self.max_bytes_in_flight}, wanted at least {least}: "
                f"{MIN_BYTES_PER_DELIVERY} for each of {self.in_flight} in flight"
            )

    @property
    def spool_bytes(self) -> int:
        """Bytes of one object that are held in memory."""
        return self._share_bytes // 4

    @property
    def bounds(self) -> Limits:
        """Bounds on one submission, so that all of them keep to the bytes in flight."""
        return Limits(
            max_batches_in_flight=2,
            max_records_per_batch=_UNBOUNDED,
            max_message_bytes=self._share_bytes // 2 // _MESSAGES_HELD,
            max_inflated_bytes=self._share_bytes // 4,
        )

    @property
    def _share_bytes(self) -> int:
        """Bytes that one delivery holds: each is in memory twice on its way to the server."""
        return self.max_bytes_in_flight // self.in_flight // 2


class Forwarder:
    """Forwards a source until it is stopped, or until the source has no more: `run` it once."""

    def __init__(
        self,
        client: Client,
        settings: ForwardSettings,
        *,
        counts: Counts,
        say: Callable[[str], None],
    ) -> None:
        self._client = client
        self._settings = settings
        self._counts = counts
        self._say = say
        self._stop = Stop()
        self._outages = Outages(say, counts)
        self.patience = Patience(settings.retry, self._stop, self._outages)
        self._changed = threading.Condition()
        self._waiting: deque[Delivery] = deque()
        self._held_count = 0
        self._failure: Exception | None = None
        self._source: Source | None = None

    def run(self, source: Source) -> None:
        """Returns once everything taken is settled or given back.

        Raises what makes going on senseless: a SetupError, an AwayError or AmiguardError where the
        retry policy allows no more. The client is closed if a stop has to cut short what it does.
        """
        self._source = source
        workers = [
            threading.Thread(target=self._work, name=f"amiguard-forward-{number}", daemon=True)
            for number in range(self._settings.in_flight)
        ]
        for worker in workers:
            worker.start()
        try:
            self._take_all(source)
            self._drain(workers)
        finally:
            self._stop.cut()
            with self._changed:
                self._source = None
                self._changed.notify_all()
            source.close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Takes nothing more, and has `run` return once what is in flight is settled."""
        self._stop.drain()
        with self._changed:
            self._changed.notify_all()
            if self._source is not None:
                self._source.interrupt()

    def _take_all(self, source: Source) -> None:
        """Takes deliveries while there is room for them."""
        try:
            while (room := self._wait_for_room()) and not self._stop.is_draining:
                deliveries = source.take(room)
                if deliveries is None:
                    return
                self._hand_out(deliveries)
                if not deliveries and self._settings.is_once and self._is_over():
                    return
        except StoppedError:
            pass
        except ForwardError as error:
            self._fail(error)

    def _wait_for_room(self) -> int:
        with self._changed:
            self._changed.wait_for(
                lambda: self._stop.is_draining or self._held_count < self._settings.in_flight
            )
            return self._settings.in_flight - self._held_count

    def _is_over(self) -> bool:
        """Says whether nothing was under way; if something was, waits for its end first."""
        with self._changed:
            was_idle = not self._held_count
            self._changed.wait_for(lambda: self._stop.is_draining or not self._held_count)
            return was_idle

    def _hand_out(self, deliveries: Sequence[Delivery]) -> None:
        with self._changed:
            self._waiting.extend(deliveries)
            self._held_count += len(deliveries)
            self._counts.set(IN_FLIGHT, to=self._held_count)
            self._changed.notify_all()

    def _drain(self, workers: Sequence[threading.Thread]) -> None:
        """Waits for what is in flight: without a stop as long as it takes, else for the grace."""
        with self._changed:
            self._changed.wait_for(lambda: self._stop.is_draining or not self._held_count)
            self._changed.wait_for(
                lambda: self._stop.is_cut or not self._held_count,
                timeout=self._settings.grace.total_seconds(),
            )
            if not self._held_count:
                return
        self._stop.cut()
        self._client.close()
        deadline = time.monotonic() + _UNWINDING_SECONDS
        with self._changed:
            self._changed.notify_all()
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def _fail(self, error: Exception) -> None:
        """Ends everything because of an error that nothing can go on after."""
        with self._changed:
            self._failure = self._failure or error
        self._stop.cut()
        self.stop()

    def _work(self) -> None:
        """Settles deliveries until there are no more to come."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stop.is_cut)
                if not self._waiting:
                    return
                delivery = self._waiting.popleft()
            try:
                self._settle(delivery)
            except Exception as error:  # noqa: BLE001 - a task's supervisor: it must not die unseen
                self._fail(error)
            finally:
                with self._changed:
                    self._held_count -= 1
                    self._counts.set(IN_FLIGHT, to=self._held_count)
                    self._changed.notify_all()

    def _settle(self, delivery: Delivery) -> None:
        outcomes: dict[str, Outcome] = {}
        try:
            for parts in delivery.groups():
                if outcomes:
                    self._stop.wait(0)
                else:
                    # Nothing of it is under way yet.
                    self._stop.wait_to_take(0)
                outcomes |= _Submission(self, parts).run()
        except Exception as error:  # whatever it is, what was taken goes back before it is told
            self._counts.add(OBJECTS, "given_back")
            delivery.give_back()
            if isinstance(error, StoppedError):
                return
            raise
        for outcome in outcomes.values():
            self._counts.add(OBJECTS, "forwarded" if outcome.flaw is None else "bad")
        if any(outcome.accepted_count for outcome in outcomes.values()):
            self._counts.set(LAST_SUCCESS, to=time.time())
        delivery.settle(outcomes)


class _Submission:
    """Parts that are submitted together, until each is acknowledged or has a flaw."""

    def __init__(self, forwarder: Forwarder, parts: Sequence[Part]) -> None:
        self._forwarder = forwarder
        self._settings = forwarder._settings  # noqa: SLF001 - one class in two
        self._stop = forwarder._stop  # noqa: SLF001
        self._counts = forwarder._counts  # noqa: SLF001
        self._outages = forwarder._outages  # noqa: SLF001
        self._parts = {part.name: part for part in parts}
        self._outcomes: dict[str, Outcome] = {}
        self._open_outcomes: dict[str, Outcome] = {}

    def run(self) -> dict[str, Outcome]:
        """Returns the outcome of every part."""
        failures = 0
        while self._parts:
            try:
                self._submit(list(self._parts.values()))
            except (StoppedError, SetupError, AwayError):
                raise
            except InvalidRequestError as error:
                self._refused(error)
            except Exception as error:  # noqa: BLE001 - whatever one object sets off costs no other
                self._check(error)
                failures += 1
                if failures >= self._settings.max_attempts:
                    self._flaw_all(_text_of(error))
                else:
                    self._stop.wait(self._forwarder.patience.delay(failures))
        return self._outcomes

    def _submit(self, parts: Sequence[Part]) -> None:
        self._open_outcomes = {}
        submitter = Submitter(
            self._forwarder._client.connection,  # noqa: SLF001
            source=self._settings.source,
            on_ack=self._take,
            on_retry=lambda error, _: self._outages.failed(SERVER, str(error)),
            retry=self._settings.retry,
            timing=Timing(sleep=self._stop.wait),
            bounds=self._settings.bounds,
        )
        try:
            submitter.run(self._open_all(parts))
        except (AmiguardError, ValueError) as error:
            # After a cut the client is closed, under which calls fail in several ways.
            if self._stop.is_cut:
                raise StoppedError("the forwarder stops") from error
            raise

    def _open_all(self, parts: Sequence[Part]) -> Iterator[Submittable]:
        for part in parts:
            try:
                item = part.open()
            except BadObjectError as error:
                self._end(part.name, Outcome(flaw=str(error)))
                continue
            self._counts.add(BYTES, count=_size_of(item))
            yield item

    def _take(self, result: BatchResult) -> None:
        """Counts one acknowledged batch."""
        self._outages.went_well(SERVER)
        self._counts.add(RECORDS, "accepted", count=result.accepted_count)
        self._counts.add(RECORDS, "rejected", count=result.rejected_count)
        self._counts.add(RECORDS, "relevant", count=result.relevant_count)
        self._counts.add(RECORDS, "duplicate", count=result.duplicate_count)
        name = result.input_name or ""
        outcome = self._open_outcomes.setdefault(name, Outcome())
        outcome.add(result)
        if result.is_last_of_input:
            self._end(name, outcome)

    def _end(self, name: str, outcome: Outcome) -> None:
        self._outcomes[name] = outcome
        del self._parts[name]

    def _refused(self, error: InvalidRequestError) -> None:
        """Takes in that the server refused what it was sent: one of the parts, as it is."""
        if len(self._parts) == 1:
            self._flaw_all(str(error))
            return
        for name, part in list(self._parts.items()):
            self._outcomes |= _Submission(self._forwarder, [part]).run()
            del self._parts[name]

    def _flaw_all(self, reason: str) -> None:
        for name in list(self._parts):
            outcome = self._open_outcomes.get(name, Outcome())
            outcome.flaw = reason
            self._end(name, outcome)

    def _check(self, error: Exception) -> None:
        """Raises an error that is not about what was submitted."""
        if isinstance(
            error,
            OverloadedError | PermissionDeniedError | UnauthenticatedError | UnreachableError,
        ):
            raise error
        if isinstance(error, AmiguardError) and error.code in _SETUP_CODES:
            raise error


def _size_of(item: Submittable) -> int:
    if isinstance(item, Records):
        return sum(len(record) for record in item.records if isinstance(record, bytes))
    if isinstance(item, LogStream):
        size = item.stream.seek(0, 2)
        item.stream.seek(0)
        return size
    return 0


def _text_of(error: Exception) -> str:
    """Returns what a person should read; of an error that nobody foresaw, its kind too."""
    if isinstance(error, AmiguardError | ForwardError | OSError):
        return str(error)
    return f"{type(error).__name__}: {error}"
