"""Laws of how long a change waits for what is stored to follow it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta

import pytest

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_service import tuning_writes as module
from amiguard_service.engine import Engine
from amiguard_service.identity import ANONYMOUS, set_caller
from amiguard_service.limits import Limits
from amiguard_service.store.errors import StoreUnavailableError
from amiguard_service.store_calls import StoreCalls
from amiguard_service.tuned import PassProgress
from amiguard_service.tuning_writes import TuningWrites
from tests.service.operating import creation, entry, occur, score


@pytest.fixture
def executor() -> Iterator[Executor]:
    """Threads for the store."""
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def losses() -> list[str]:
    """How often the database was said to be lost."""
    return []


@pytest.fixture
def writes(engine: Engine, executor: Executor, losses: list[str]) -> TuningWrites:
    """The calls that change what is in force, without a server."""
    store = StoreCalls(executor, on_store_lost=lambda _: losses.append("lost"))
    return TuningWrites(engine, store, limits=Limits(max_calls=8))


def create(writes: TuningWrites, *numbers: int) -> list[str]:
    """Creates entries, one after the other; returns their names."""

    async def work() -> list[str]:
        set_caller(ANONYMOUS)
        made = []
        for number in numbers:
            request = creation(f"team-{number}", allowlist_entry=entry(f"acme-{number}-*"))
            made.append((await writes.create_entry(request)).allowlist_entry.name)
        return made

    return asyncio.run(work())


def test_change_waits_for_what_is_stored(engine: Engine, writes: TuningWrites) -> None:
    """With little stored, all of it has followed when the call returns."""
    finding_id = occur(engine, name="acme-1-*")

    create(writes, 1)

    assert score(engine, finding_id) == 10
    assert engine.passes.progress().scope is None


def test_change_waits_no_longer_than_it_should(
    engine: Engine, writes: TuningWrites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With much stored, the call returns in the middle of the pass."""
    monkeypatch.setattr(module, "SETTLE_TIME", timedelta(0))
    occur(engine, name="acme-1-*")

    create(writes, 1)

    assert engine.passes.progress().scope is not None


def test_changes_in_a_row_do_not_wait_each(
    engine: Engine, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once their patience is used up, changes return at once."""
    monkeypatch.setattr(module, "PATIENCE", timedelta(microseconds=1))
    monkeypatch.setattr(module, "PATIENCE_SHARE", 0)
    writes = TuningWrites(
        engine, StoreCalls(executor, on_store_lost=lambda _: None), limits=Limits(max_calls=8)
    )
    finding_ids = [occur(engine, number, name=f"acme-{number}-*") for number in (1, 2)]

    create(writes, 1, 2)

    assert [score(engine, finding_id) for finding_id in finding_ids] == [50, 50]
    assert engine.passes.progress().scope is not None


def test_change_that_is_made_is_answered(
    engine: Engine, writes: TuningWrites, losses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database lost after the commit makes the change no failure."""

    def step() -> PassProgress:
        raise StoreUnavailableError("lost")

    monkeypatch.setattr(engine.passes, "step", step)

    names = create(writes, 1)

    assert names == ["allowlistEntries/team-1"]
    assert engine.tuning.get_entry("team-1") is not None
    assert losses == ["lost"]


def test_settings_that_are_made_are_answered(
    engine: Engine, writes: TuningWrites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same where the process itself could not read what it put in force."""

    def refresh_policy() -> None:
        raise StoreUnavailableError("lost")

    monkeypatch.setattr(engine, "refresh_policy", refresh_policy)
    rule = engine.tuning.get_rule()
    assert rule is not None
    config = wire.RuleConfig(etag=rule.etag, mode=wire.RuleConfig.MODE_STRICT)

    async def work() -> int:
        set_caller(ANONYMOUS)
        request = wire.UpdateRuleConfigRequest(rule_config=config)
        return (await writes.update_rule(request)).rule_config.revision

    assert asyncio.run(work()) == 2
