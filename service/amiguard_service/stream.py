"""One SubmitEvents stream: batches are read, taken, and acknowledged in the order they came."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from contextlib import suppress
from typing import Final, Protocol

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard_service import calls
from amiguard_service.convert import ack_message
from amiguard_service.drain import Drain
from amiguard_service.intake import Batch, Outcome
from amiguard_service.limits import Limits
from amiguard_service.payloads import Unpacker
from amiguard_service.refusals import (
    DrainingError,
    FieldInvalidError,
    MostlyMalformedError,
    RequestMissingError,
    StreamAgedError,
    StreamProtocolError,
    WindowOverrunError,
)

MAX_UNDECODED: Final = 4
"""Log files of one stream that are on their way through the workers: as many as two can take."""

LEAVE_SECONDS: Final = 30.0
"""What a client gets to leave after it was asked to, unless the server stops before."""

_SOURCE = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


class Peer(Protocol):
    """The other end of a stream, as grpc.aio gives it to a handler."""

    async def read(self) -> wire.SubmitEventsRequest | object:
        """Returns the next request, or grpc.aio.EOF."""

    async def write(self, message: wire.SubmitEventsResponse) -> None:
        """Sends a response."""


class Committing(Protocol):
    """What makes decoded batches durable."""

    async def submit(self, batch: Batch) -> asyncio.Future[Outcome]:
        """Returns the future of the outcome once the batch has its place in the queue."""


def read_source(source: str, *, field: str) -> str:
    """Returns the name a forwarder gave itself; raises FieldInvalidError unless it is one."""
    if not _SOURCE.fullmatch(source):
        got = f"{len(source)} characters" if source else "nothing"
        raise FieldInvalidError(field, got=got, expected="1 to 64 characters from [a-z0-9-]")
    return source


class EventStream:
    """Serves one stream: `open` it, then `run` it once.

    Two tasks share the work: a reader, which takes batches in as fast as they can be decoded and
    have a place in the queue of commits, and `run` itself, which alone writes. Batches that were
    taken in are acknowledged before the stream ends, whatever ends it, unless the store failed.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        unpacker: Unpacker,
        committer: Committing,
        limits: Limits,
        drain: Drain,
    ) -> None:
        self._peer = peer
        self._unpacker = unpacker
        self._committer = committer
        self._limits = limits
        self._drain = drain
        self._source = ""
        self._acks: deque[asyncio.Future[Outcome]] = deque()
        self._decoding = asyncio.Semaphore(MAX_UNDECODED)
        self._wake = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._fault: Exception | None = None
        self._read_count = 0
        self._acked_count = 0
        self._record_count = 0
        self._rejected_count = 0
        self._clock = asyncio.get_running_loop().time
        self._oldest = self._clock() + limits.max_stream_age_seconds
        self._last_read = self._clock()

    async def open(self) -> None:
        """Returns once the stream has said what it is, or raises what the caller has to be told.

        Until then it should take nobody's place: it may never say anything.
        """
        self._source = await self._read_opening()

    async def run(self) -> None:
        """Returns at the end of the stream, or raises what the caller has to be told."""
        await self._peer.write(wire.SubmitEventsResponse(opened=self._limits.to_message()))
        self._reader = asyncio.create_task(self._read_batches())
        self._reader.add_done_callback(lambda _: self._wake.set())
        try:
            with self._drain.watching(self._wake.set):
                await self._write_responses(self._reader)
        finally:
            await self._abandon(self._reader)
            calls.count(
                batch_count=self._acked_count,
                record_count=self._record_count,
                rejected_count=self._rejected_count,
            )
        if self._fault is not None:
            raise self._fault

    async def _read_opening(self) -> str:
        seconds = self._limits.first_message_seconds
        end = self._clock() + seconds
        while True:
            try:
                async with asyncio.timeout_at(end):
                    request = await self._peer.read()
            except TimeoutError:
                raise RequestMissingError(seconds) from None
            if not isinstance(request, wire.SubmitEventsRequest):
                raise StreamProtocolError(got="the end of the stream", expected="open")
            match request.WhichOneof("message"):
                case "open":
                    return read_source(request.open.source, field="open.source")
                case "batch":
                    raise StreamProtocolError(got="batch", expected="open")
                case _:
                    continue  # a kind of message that a newer client knows

    async def _read_batches(self) -> None:
        try:
            while self._fault is None:
                request = await self._peer.read()
                if not isinstance(request, wire.SubmitEventsRequest):
                    return
                self._last_read = self._clock()
                await self._take_in(request)
        except Exception as error:  # noqa: BLE001 - raised by `run`, after what came before is acked
            self._end(error)

    async def _take_in(self, request: wire.SubmitEventsRequest) -> None:
        match request.WhichOneof("message"):
            case "batch":
                await self._take(request.batch)
            case "open":
                raise StreamProtocolError(got="open", expected="batch")
            case _:
                pass  # a kind of message that a newer client knows

    async def _take(self, batch: wire.EventBatch) -> None:
        """Checks a batch against the protocol and sets it on its way."""
        if batch.sequence != self._read_count + 1:
            raise StreamProtocolError(
                got=f"sequence {batch.sequence}", expected=f"sequence {self._read_count + 1}"
            )
        if self._read_count - self._acked_count >= self._limits.max_batches_in_flight:
            raise WindowOverrunError(
                got="one more",
                expected=f"at most {self._limits.max_batches_in_flight} batches in flight",
            )
        decoded = self._unpacker.decode_at_once(batch)
        if decoded is not None:
            taken = Batch(decoded, self._source)
            outcome = await self._committer.submit(taken)
            self._judge(taken)
        else:
            await self._decoding.acquire()
            outcome = asyncio.create_task(self._take_slowly(batch))
        self._read_count += 1
        self._acks.append(outcome)
        self._wake.set()

    async def _take_slowly(self, batch: wire.EventBatch) -> Outcome:
        try:
            async with self._unpacker.decoding(batch) as decoded:
                taken = Batch(decoded, self._source)
                outcome = await self._committer.submit(taken)
        finally:
            self._decoding.release()
        self._judge(taken)
        return await outcome

    def _judge(self, batch: Batch) -> None:
        """Ends the stream once most of what it sends is set aside."""
        rejected_count = len(batch.decoded.rejections)
        self._rejected_count += rejected_count
        self._record_count += batch.decoded.record_count + rejected_count
        if (
            rejected_count
            and self._record_count >= self._limits.min_judged_records
            and self._rejected_count > self._record_count * self._limits.max_rejected_share
        ):
            self._end(
                MostlyMalformedError(
                    record_count=self._record_count, rejected_count=self._rejected_count
                )
            )

    def _end(self, fault: Exception) -> None:
        """Reads nothing more, and has `run` raise the fault after what was read is acked."""
        if self._fault is None:
            self._fault = fault
        if self._reader is not None and asyncio.current_task() is not self._reader:
            self._reader.cancel()
        self._wake.set()

    async def _write_responses(self, reader: asyncio.Task[None]) -> None:
        cut_at: float | None = None
        while True:
            why = self._why_to_leave()
            if why is not None and cut_at is None:
                cut_at = self._clock() + LEAVE_SECONDS
                go_away = wire.GoAway(message=why)
                await self._peer.write(wire.SubmitEventsResponse(go_away=go_away))
            if not reader.done() and self._fault is None:
                if self._drain.is_cut:
                    self._end(DrainingError())
                elif cut_at is not None and self._clock() >= cut_at:
                    self._end(StreamAgedError())
            if self._acks:
                # It stays in the queue until it is there, for `_abandon` to find.
                outcome = await self._acks[0]
                await self._write_ack(outcome)
            elif reader.done():
                return
            else:
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(cut_at or min(self._oldest, self._idle_end)):
                        await self._wake.wait()

    @property
    def _idle_end(self) -> float:
        return self._last_read + self._limits.max_stream_idle_seconds

    def _why_to_leave(self) -> str | None:
        """Returns why the client should go on with another stream, None while this one is good."""
        if self._drain.is_draining:
            return "the server is about to stop"
        now = self._clock()
        if now >= self._oldest:
            return "the stream is as old as one may become"
        if now >= self._idle_end and not self._acks:
            return "nothing came for a long time"
        return None

    async def _write_ack(self, outcome: Outcome) -> None:
        del self._acks[0]
        # Before it is sent: once the client has it, its next batch may be here at any moment.
        self._acked_count += 1
        ack = ack_message(outcome, sequence=self._acked_count)
        await self._peer.write(wire.SubmitEventsResponse(ack=ack))

    async def _abandon(self, reader: asyncio.Task[None]) -> None:
        """Ends what is under way; a batch whose commit has begun is committed all the same."""
        pending = [task for task in self._acks if isinstance(task, asyncio.Task)]
        for task in (reader, *pending):
            task.cancel()
        await asyncio.gather(reader, *pending, return_exceptions=True)
