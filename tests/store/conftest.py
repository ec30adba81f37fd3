"""An engine on each kind of store, with a clock that moves when told to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amiguard_service.engine import Engine
from tests.store.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """The clock of `engine`."""
    return ManualClock()


@pytest.fixture
def engine(database_url: str, clock: ManualClock) -> Iterator[Engine]:
    """An engine on a migrated database without data."""
    opened = Engine.open(database_url, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def other(database_url: str, engine: Engine, clock: ManualClock) -> Iterator[Engine]:
    """An engine on the same database, as another server has it."""
    del engine
    opened = Engine.open(database_url, clock=clock)
    yield opened
    opened.close()
