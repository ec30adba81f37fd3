"""Group commit: the batches of all streams that are ready share one transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

import structlog

from amiguard_service import logs
from amiguard_service.budget import Budget
from amiguard_service.intake import Batch, Outcome
from amiguard_service.store.errors import StoreUnavailableError

MAX_GROUP_BATCHES: Final = 64
"""Batches of one transaction: past this the cost of a transaction is spread thin enough."""
MAX_GROUP_ITEMS: Final = 10_000
"""Searches, launches and rejections of one transaction, which bounds how long it takes."""
COMMIT_INTERVAL: Final = timedelta(milliseconds=100)
"""From the start of one transaction to the next while batches keep coming: a transaction costs some
milliseconds however little is in it."""
QUIET_INTERVAL: Final = timedelta(milliseconds=10)
"""Without a new batch for so long, nobody is coming: whoever waits is not kept waiting."""
BUSY_INTERVAL: Final = timedelta(seconds=1)
"""How long after a batch the next one is expected: a forwarder sends several a second."""
MAX_WAITING_BYTES: Final = 128 * 1024 * 1024
"""Decoded batches that wait for a transaction; who brings more waits, and reads nothing then."""
_ITEM_BYTES: Final = 4_096
"""What a decoded search or launch takes, and a rejection besides its raw bytes; most take half."""


class Store(Protocol):
    """What makes batches durable."""

    @property
    def writer_count(self) -> int:
        """How many calls of `commit` can make progress side by side."""

    def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Makes batches durable together and returns what became of each."""

    def note(self, batch: Batch) -> None:
        """Counts a batch that brings nothing to store."""


@dataclass(frozen=True, slots=True)
class _Ticket:
    """One batch, and whom to tell what became of it."""

    batch: Batch
    outcome: asyncio.Future[Outcome]
    share: int

    @property
    def item_count(self) -> int:
        """What the batch makes the store write."""
        return self.batch.decoded.waiting_count + len(self.batch.decoded.rejections)


class Committer:
    """Takes decoded batches and commits them, several at once; used from one event loop.

    A transaction starts at once when the last one is long ago; while batches keep coming it waits a
    little for more of them. A batch that brings nothing to store needs no transaction.

    A transaction that fails for another reason than the store being lost is tried again batch by
    batch, so that one batch the store cannot take fails nobody else's.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        *,
        on_store_lost: Callable[[StoreUnavailableError], None],
    ) -> None:
        """Takes an executor with at least as many threads as the store has writers."""
        self._store = store
        self._executor = executor
        self._on_store_lost = on_store_lost
        self._waiting: deque[_Ticket] = deque()
        self._room = Budget(MAX_WAITING_BYTES)
        self._commits: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._last_start_at = float("-inf")
        self._last_arrival_at = float("-inf")
        self._is_closing = False
        self._log = structlog.get_logger()

    async def submit(self, batch: Batch) -> asyncio.Future[Outcome]:
        """Returns, as soon as the batch has its place in the queue, the future of its outcome."""
        outcome = asyncio.get_running_loop().create_future()
        decoded = batch.decoded
        if not decoded.waiting_count and not decoded.rejections:
            self._store.note(batch)
            outcome.set_result(
                Outcome(
                    accepted_count=decoded.record_count,
                    relevant_count=0,
                    duplicate_count=0,
                    rejections=(),
                    finding_ids=(),
                )
            )
            return outcome
        share = await self._room.take(_held_bytes(batch))
        self._waiting.append(_Ticket(batch, outcome, share))
        self._last_arrival_at = asyncio.get_running_loop().time()
        self._start_commits()
        return outcome

    @property
    def is_busy(self) -> bool:
        """Whether somebody commits, or has a moment ago."""
        since = asyncio.get_running_loop().time() - self._last_arrival_at
        return bool(self._commits) or since < BUSY_INTERVAL.total_seconds()

    async def close(self) -> None:
        """Returns once everything that was submitted is committed, or has failed."""
        self._is_closing = True
        self._start_commits()
        while self._commits:
            await asyncio.wait(self._commits)

    def _start_commits(self) -> None:
        """Starts the transactions that are due, and comes back for the next that will be."""
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._commits) < self._store.writer_count:
            now, due_at = loop.time(), self._due_at()
            if now < due_at:
                if self._timer is None:
                    self._timer = loop.call_at(due_at, self._come_back)
                return
            self._last_start_at = now
            commit = asyncio.create_task(self._commit(self._next_group()))
            self._commits.add(commit)
            commit.add_done_callback(self._finish)

    def _due_at(self) -> float:
        """Returns when the next transaction may start, in the time of the loop."""
        if self._is_closing or len(self._waiting) >= MAX_GROUP_BATCHES:
            return 0.0
        return min(
            self._last_start_at + COMMIT_INTERVAL.total_seconds(),
            self._last_arrival_at + QUIET_INTERVAL.total_seconds(),
        )

    def _come_back(self) -> None:
        self._timer = None
        self._start_commits()

    def _next_group(self) -> list[_Ticket]:
        group = [self._waiting.popleft()]
        item_count = group[0].item_count
        while self._waiting and len(group) < MAX_GROUP_BATCHES:
            item_count += self._waiting[0].item_count
            if item_count > MAX_GROUP_ITEMS:
                break
            group.append(self._waiting.popleft())
        return group

    def _finish(self, commit: asyncio.Task[None]) -> None:
        self._commits.discard(commit)
        self._start_commits()

    async def _commit(self, group: list[_Ticket]) -> None:
        try:
            await self._commit_together(group)
        finally:
            for ticket in group:
                self._room.give_back(ticket.share)
                # Whoever waits must not wait for ever, whatever happened to the commit.
                ticket.outcome.cancel()

    async def _commit_together(self, group: list[_Ticket]) -> None:
        loop = asyncio.get_running_loop()
        batches = [ticket.batch for ticket in group]
        try:
            outcomes = await loop.run_in_executor(self._executor, self._store.commit, batches)
        except StoreUnavailableError as error:
            self._on_store_lost(error)
            _fail(group, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the waiting callers' answer
            if len(group) == 1:
                _fail(group, error)
                return
            self._log.warning(logs.COMMIT_SPLIT, batch_count=len(group), exc_info=error)
            for ticket in group:
                await self._commit_together([ticket])
        else:
            for ticket, outcome in zip(group, outcomes, strict=True):
                if not ticket.outcome.done():
                    ticket.outcome.set_result(outcome)


def _held_bytes(batch: Batch) -> int:
    rejections = batch.decoded.rejections
    item_count = batch.decoded.waiting_count + len(rejections)
    return item_count * _ITEM_BYTES + sum(len(rejection.raw) for rejection in rejections)


def _fail(group: Sequence[_Ticket], error: Exception) -> None:
    for ticket in group:
        if not ticket.outcome.done():
            ticket.outcome.set_exception(error)
            # A caller that has gone will not ask; the others still get it.
            ticket.outcome.exception()
