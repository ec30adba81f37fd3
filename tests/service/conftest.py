"""An engine on SQLite and a server of it, for the tests of what stands around the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amiguard_service.engine import Engine
from tests.service.running import Running, serving


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine on a migrated database without data."""
    opened = Engine.open(f"sqlite:///{tmp_path / 'amiguard.db'}")
    yield opened
    opened.close()


@pytest.fixture
def running(engine: Engine) -> Iterator[Running]:
    """A server of the engine."""
    with serving(engine) as started:
        yield started
