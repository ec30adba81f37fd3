"""WatchFindings: every change to a finding, from a cursor on and without an end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol, TypeAlias

from amiguard.v1 import finding_service_pb2 as wire
from amiguard_service import calls
from amiguard_service.admission import Admission
from amiguard_service.convert import read_time
from amiguard_service.drain import Drain
from amiguard_service.feed import POLL_INTERVAL, Changed, ChangeFeed, ChangeLog
from amiguard_service.filters import Filter
from amiguard_service.limits import Limits
from amiguard_service.refusals import DrainingError, FieldInvalidError, StreamAgedError
from amiguard_service.store_calls import StoreCalls
from amiguard_service.tokens import PageTokenMismatch, PageTokens

Send: TypeAlias = Callable[[wire.WatchFindingsResponse], Awaitable[None]]
"""Sends a response; waits while the client does not read, which is all that holds a watcher up."""

HEARTBEAT_INTERVAL: Final = timedelta(seconds=15)
"""Half of what the contract allows, so that a late one is still in time."""
MAX_RESPONSE_BYTES: Final = 1024 * 1024
"""Past this a page is sent in parts: clients refuse messages of more than 4 MiB by default."""

_CALL: Final = "WatchFindings"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a quiet stream says so, and how often other processes' commits are looked for."""

    heartbeat_interval: timedelta = HEARTBEAT_INTERVAL
    poll_interval: timedelta = POLL_INTERVAL


class _View(NamedTuple):
    """Which findings a watcher asks for, and how they are shown."""

    condition: Filter
    include_ocsf: bool


class WatchedLog(ChangeLog, Protocol):
    """What is watched."""

    def cursor_at(self, time: datetime) -> int:
        """Returns the cursor before the first change at or after a time, or the last one."""

    def check_cursor(self, cursor: int) -> None:
        """Raises CursorExpiredError or CursorAheadError unless reading can go on from a cursor."""


class Watch:
    """Serves every WatchFindings stream of a process."""

    def __init__(
        self,
        log: WatchedLog,
        store: StoreCalls,
        *,
        tokens: PageTokens,
        drain: Drain,
        limits: Limits,
        pace: Pace,
    ) -> None:
        self._log = log
        self._store = store
        self._tokens = tokens
        self._drain = drain
        self._streams = Admission(
            limits.max_streams, name="watches", per_caller=limits.max_streams_per_principal
        )
        self._max_age = limits.max_stream_age_seconds
        self._feed = ChangeFeed(log, store, poll_interval=pace.poll_interval)
        self._heartbeat_seconds = pace.heartbeat_interval.total_seconds()

    async def run(
        self, request: wire.WatchFindingsRequest, condition: Filter, *, send: Send
    ) -> None:
        """Sends the changes that fulfil a condition, and heartbeats, until it is cancelled.

        The first heartbeat is sent at once. Raises DrainingError when the server is about to stop.
        Returns where the request asks to stop at the present.
        """
        if request.max_findings < 0:
            raise FieldInvalidError(
                "max_findings", got=str(request.max_findings), expected="0 or more"
            )
        wake = asyncio.Event()
        with self._streams.admit(), self._drain.watching(wake.set):
            cursor = await self._start(request)
            view = _View(condition, include_ocsf=request.include_ocsf)
            if request.stop_at_present:
                await self._send_until_present(
                    cursor, view, send=send, room=request.max_findings or None
                )
                return
            with self._feed.watching(wake):
                await self._send_changes(cursor, view, send=send, wake=wake)

    async def _send_changes(
        self, cursor: int, view: _View, *, send: Send, wake: asyncio.Event
    ) -> None:
        clock = asyncio.get_running_loop().time
        next_beat = clock()
        end = clock() + self._max_age
        while True:
            wake.clear()
            if self._drain.is_draining:
                raise DrainingError
            if clock() >= end:
                raise StreamAgedError
            if clock() >= next_beat:
                await send(self._response(cursor))
                next_beat = clock() + self._heartbeat_seconds
            if self._feed.has_after(cursor):
                page = await self._feed.read_after(
                    cursor, view.condition, include_ocsf=view.include_ocsf
                )
                for response in self._responses(page.cursor, page.changed):
                    await send(response)
                    next_beat = clock() + self._heartbeat_seconds
                cursor = page.cursor
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(next_beat, end)):
                    await wake.wait()

    async def _send_until_present(
        self, cursor: int, view: _View, *, send: Send, room: int | None
    ) -> None:
        end = await self._store.run(self._log.last_cursor)
        await send(self._response(cursor))
        while cursor < end and room != 0:
            if self._drain.is_draining:
                raise DrainingError
            page = await self._feed.read_after(
                cursor, view.condition, end=end, include_ocsf=view.include_ocsf
            )
            changed = page.changed[:room]
            is_whole = len(changed) == len(page.changed)
            cursor = page.cursor if is_whole else changed[-1].cursor
            for response in self._responses(cursor, changed):
                await send(response)
            if room is not None:
                room -= len(changed)
        # A page without a finding that fulfils the condition has told nobody of its cursor.
        await send(self._response(cursor))

    async def _start(self, request: wire.WatchFindingsRequest) -> int:
        if request.HasField("start_time"):
            time = read_time(request.start_time, field="start_time")
            return await self._store.run(lambda: self._log.cursor_at(time))
        if not request.cursor:
            return await self._store.run(self._log.last_cursor)
        cursor = self._open(request.cursor)
        await self._store.run(lambda: self._log.check_cursor(cursor))
        return cursor

    def _open(self, text: str) -> int:
        """Returns the cursor in a text; that of another service's database is not known here."""
        try:
            position = self._tokens.open(_CALL, b"", text)
        except PageTokenMismatch:
            position = ()
        match position:
            case (int(cursor),):
                return cursor
            case _:
                raise FieldInvalidError(
                    "cursor", got="another text", expected="a cursor from a former response"
                )

    def _responses(
        self, cursor: int, shown: Iterable[Changed]
    ) -> Iterator[wire.WatchFindingsResponse]:
        """Gives a page in parts of bounded size, each with the cursor to go on from."""
        part: list[Changed] = []
        byte_count = 0
        for changed in shown:
            byte_count += changed.finding.ByteSize()
            if part and byte_count > MAX_RESPONSE_BYTES:
                yield self._response(part[-1].cursor, part)
                part, byte_count = [], changed.finding.ByteSize()
            part.append(changed)
        if part:
            yield self._response(cursor, part)

    def _response(self, cursor: int, part: Sequence[Changed] = ()) -> wire.WatchFindingsResponse:
        calls.count(finding_count=len(part))
        return wire.WatchFindingsResponse(
            findings=(changed.finding for changed in part),
            cursor=self._tokens.seal(_CALL, b"", (cursor,)),
        )
