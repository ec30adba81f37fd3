"""Laws of group commit, with a store that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import TypeVar

import pytest

from amiguard_core.decode import Decoded, Rejection, decode_records
from amiguard_service import committer as module
from amiguard_service.committer import Committer
from amiguard_service.intake import Batch, Outcome
from amiguard_service.store.errors import StoreConflictError, StoreUnavailableError
from tests.service.running import TIMEOUT
from tests.service.talking import PAIR
from tests.service.waiting import until

T = TypeVar("T")

NEEDS_A_COMMIT = Batch(decode_records(PAIR), "good")
POISON = Batch(decode_records(PAIR), "poison")
NOTHING_TO_STORE = Batch(Decoded(record_count=3), "good")


class Store:
    """Keeps what it is given, in as many transactions as it is given it in."""

    def __init__(self, *, writer_count: int = 1) -> None:
        self.writer_count = writer_count
        self.groups: list[list[Batch]] = []
        self.noted: list[Batch] = []
        self.most_at_once = 0
        self.may_commit = Event()
        self.may_commit.set()
        self._at_once = 0

    def note(self, batch: Batch) -> None:
        """Keeps a batch that needs no transaction."""
        self.noted.append(batch)

    def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Keeps batches, unless one of them is poison."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        self.groups.append(list(batches))
        assert self.may_commit.wait(TIMEOUT)
        self._at_once -= 1
        if POISON in batches:
            raise ValueError("poison")
        return [outcome_of(batch) for batch in batches]


def outcome_of(batch: Batch) -> Outcome:
    """Makes the outcome of a batch without any duplicate."""
    return Outcome(
        accepted_count=batch.decoded.record_count,
        relevant_count=batch.decoded.relevant_count,
        duplicate_count=0,
        rejections=tuple(batch.decoded.rejections),
        finding_ids=(),
    )


def run(
    store: Store,
    act: Callable[[Committer], Awaitable[T]],
    *,
    on_store_lost: Callable[[StoreUnavailableError], None] = lambda _: None,
) -> T:
    """Returns what `act` gives of a committer of the store."""

    async def serve() -> T:
        with ThreadPoolExecutor(store.writer_count) as executor:
            committer = Committer(store, executor, on_store_lost=on_store_lost)
            async with asyncio.timeout(TIMEOUT):
                given = await act(committer)
                await committer.close()
                return given

    return asyncio.run(serve())


async def submit_all(committer: Committer, batches: Sequence[Batch]) -> list[Outcome | Exception]:
    """Submits batches one after the other and waits for all of their outcomes."""
    outcomes = [await committer.submit(batch) for batch in batches]
    settled = await asyncio.gather(*outcomes, return_exceptions=True)
    assert all(isinstance(outcome, Outcome | Exception) for outcome in settled)
    return [outcome for outcome in settled if isinstance(outcome, Outcome | Exception)]


def test_each_batch_gets_its_own_outcome() -> None:
    """Whatever shares a transaction, each caller is told of its own batch."""
    batches = [
        Batch(Decoded(record_count=n, rejections=[Rejection(0, "$", "bad", b"")]), "good")
        for n in range(5)
    ]

    outcomes = run(Store(), lambda committer: submit_all(committer, batches))

    assert [outcome_of(batch) for batch in batches] == outcomes


def test_a_batch_with_nothing_to_store_needs_no_transaction() -> None:
    """What the rule has no interest in is noted, and acked without waiting for the store."""
    store = Store()

    outcomes = run(store, lambda committer: submit_all(committer, [NOTHING_TO_STORE]))

    assert [outcome_of(NOTHING_TO_STORE)] == outcomes
    assert (store.noted, store.groups) == ([NOTHING_TO_STORE], [])


def test_batches_that_wait_share_a_transaction() -> None:
    """What comes while a transaction runs is committed by the next one, all together."""
    store = Store()

    async def act(committer: Committer) -> list[Outcome | Exception]:
        store.may_commit.clear()
        first = await committer.submit(NEEDS_A_COMMIT)
        await until(lambda: store.groups)
        others = [await committer.submit(NEEDS_A_COMMIT) for _ in range(10)]
        store.may_commit.set()
        return await asyncio.gather(first, *others, return_exceptions=True)  # type: ignore[return-value]  # none is cancelled

    outcomes = run(store, act)

    assert [len(group) for group in store.groups] == [1, 10]
    assert len(outcomes) == 11


def test_batches_that_keep_coming_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one that came alone, a transaction waits until it is full while none is long ago."""
    monkeypatch.setattr(module, "COMMIT_INTERVAL", timedelta(hours=1))
    monkeypatch.setattr(module, "QUIET_INTERVAL", timedelta(hours=1))
    store = Store()

    async def act(committer: Committer) -> None:
        await (await committer.submit(NEEDS_A_COMMIT))
        await until(lambda: not committer._commits)
        others = [await committer.submit(NEEDS_A_COMMIT) for _ in range(module.MAX_GROUP_BATCHES)]
        await asyncio.gather(*others)

    run(store, act)

    assert [len(group) for group in store.groups] == [1, module.MAX_GROUP_BATCHES]


@pytest.mark.parametrize("over", ["COMMIT_INTERVAL", "QUIET_INTERVAL"])
def test_a_batch_is_kept_waiting_by_neither_interval_alone(
    monkeypatch: pytest.MonkeyPatch, over: str
) -> None:
    """Where the last transaction is long ago, or nobody comes any more, the next one starts."""
    for name in ("COMMIT_INTERVAL", "QUIET_INTERVAL"):
        monkeypatch.setattr(module, name, timedelta(hours=0 if name == over else 1))
    store = Store()

    async def act(committer: Committer) -> None:
        for _ in range(3):
            await (await committer.submit(NEEDS_A_COMMIT))

    run(store, act)

    assert [len(group) for group in store.groups] == [1, 1, 1]


def test_what_waits_for_more_is_committed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes is not kept waiting for batches that will not come."""
    monkeypatch.setattr(module, "COMMIT_INTERVAL", timedelta(hours=1))
    monkeypatch.setattr(module, "QUIET_INTERVAL", timedelta(hours=1))
    store = Store()

    async def act(committer: Committer) -> Sequence[asyncio.Future[Outcome]]:
        await (await committer.submit(NEEDS_A_COMMIT))
        await until(lambda: not committer._commits)
        return [await committer.submit(NEEDS_A_COMMIT) for _ in range(3)]

    waiting = run(store, act)

    assert [len(group) for group in store.groups] == [1, 3]
    assert all(outcome.done() for outcome in waiting)


def test_a_group_is_bounded() -> None:
    """No transaction takes more batches than the bound."""
    store = Store()

    async def act(committer: Committer) -> object:
        store.may_commit.clear()
        outcomes = [
            await committer.submit(NEEDS_A_COMMIT) for _ in range(2 * module.MAX_GROUP_BATCHES + 1)
        ]
        store.may_commit.set()
        return await asyncio.gather(*outcomes)

    run(store, act)

    assert max(map(len, store.groups)) <= module.MAX_GROUP_BATCHES
    assert sum(map(len, store.groups)) == 2 * module.MAX_GROUP_BATCHES + 1


def test_a_batch_of_any_size_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch over the bounds of a group, and of what may wait, is committed alone."""
    monkeypatch.setattr(module, "MAX_GROUP_ITEMS", 1)
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 1)
    store = Store()

    run(store, lambda committer: submit_all(committer, [NEEDS_A_COMMIT]))
    run(
        store,
        lambda committer: asyncio.gather(
            *(submit_all(committer, [NEEDS_A_COMMIT]) for _ in range(3))
        ),
    )

    assert [len(group) for group in store.groups] == [1, 1, 1, 1]


@pytest.mark.parametrize("writer_count", [1, 3])
def test_as_many_transactions_as_the_store_has_writers(
    writer_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transactions run side by side up to the writers of the store, never more."""
    monkeypatch.setattr(module, "MAX_GROUP_BATCHES", 1)
    store = Store(writer_count=writer_count)

    async def act(committer: Committer) -> object:
        store.may_commit.clear()
        outcomes = [await committer.submit(NEEDS_A_COMMIT) for _ in range(10)]
        await until(lambda: len(store.groups) >= writer_count)
        store.may_commit.set()
        return await asyncio.gather(*outcomes)

    run(store, act)

    assert writer_count == store.most_at_once


def test_one_batch_the_store_cannot_take_fails_nobody_elses() -> None:
    """A transaction that fails is tried again batch by batch."""
    store = Store()

    async def act(committer: Committer) -> list[Outcome | Exception]:
        store.may_commit.clear()
        first = await committer.submit(NEEDS_A_COMMIT)
        await until(lambda: store.groups)
        batches = [NEEDS_A_COMMIT, POISON, NOTHING_TO_STORE, NEEDS_A_COMMIT]
        others = [await committer.submit(batch) for batch in batches]
        store.may_commit.set()
        return await asyncio.gather(first, *others, return_exceptions=True)  # type: ignore[return-value]  # none is cancelled

    outcomes = run(store, act)

    assert [isinstance(o, Outcome) for o in outcomes] == [True, True, False, True, True]
    assert isinstance(outcomes[2], ValueError)


def test_a_conflict_is_tried_again_batch_by_batch() -> None:
    """A large transaction that keeps colliding is cut up before its callers are bothered."""

    class Colliding(Store):
        def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
            outcomes = super().commit(batches)
            if len(batches) > 1:
                raise StoreConflictError("large")
            return outcomes

    store = Colliding()

    outcomes = run(
        store,
        lambda committer: asyncio.gather(
            *(submit_all(committer, [NEEDS_A_COMMIT]) for _ in range(5))
        ),
    )

    assert [[outcome_of(NEEDS_A_COMMIT)]] * 5 == list(outcomes)


def test_a_lost_store_is_told_and_fails_who_waits() -> None:
    """Where the database is lost, whoever waits for it is told, and nothing is tried again."""

    class Lost(Store):
        def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
            super().commit(batches)
            raise StoreUnavailableError("gone")

    store, told = Lost(), []

    outcomes = run(
        store,
        lambda committer: submit_all(committer, [NEEDS_A_COMMIT]),
        on_store_lost=lambda _: told.append(True),
    )

    assert [StoreUnavailableError] == [type(outcome) for outcome in outcomes]
    assert told == [True]
    assert len(store.groups) == 1


def test_a_caller_that_goes_holds_nobody_up() -> None:
    """A batch whose caller has gone is committed all the same, and so are the others."""
    store = Store()

    async def act(committer: Committer) -> object:
        store.may_commit.clear()
        gone = await committer.submit(NEEDS_A_COMMIT)
        stays = await committer.submit(NEEDS_A_COMMIT)
        gone.cancel()
        store.may_commit.set()
        return await stays

    outcome = run(store, act)

    assert outcome_of(NEEDS_A_COMMIT) == outcome
    assert sum(map(len, store.groups)) == 2


def test_who_brings_more_than_may_wait_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound a batch gets its place only when another one is committed."""
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", module._held_bytes(NEEDS_A_COMMIT))
    store = Store()

    async def act(committer: Committer) -> tuple[bool, object]:
        store.may_commit.clear()
        first = await committer.submit(NEEDS_A_COMMIT)
        second = asyncio.create_task(committer.submit(NEEDS_A_COMMIT))
        await until(lambda: store.groups)
        was_taken = second.done()
        store.may_commit.set()
        await first
        return was_taken, await (await second)

    was_taken, outcome = run(store, act)

    assert not was_taken
    assert outcome_of(NEEDS_A_COMMIT) == outcome
