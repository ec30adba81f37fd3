"""What a change of a finding sets on SQLite: of what is indexed only what gets another value.

PostgreSQL writes to every index anyway, so that there one statement sets all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from amiguard_service.engine import Engine
from amiguard_service.filters import MatchAll
from amiguard_service.lifecycle import Edit
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.store.schema import findings
from tests.store.clock import ManualClock
from tests.store.values import batch, launch, origin, search

INDEXED = {column.name for index in findings.indexes for column in index.columns}


@contextmanager
def indexed_columns_set(engine: Engine) -> Iterator[list[set[str]]]:
    """Gives, for each statement that updates findings, the indexed columns that it sets."""
    seen: list[set[str]] = []

    def listen(_c: Any, _cursor: Any, statement: str, _given: Any, _x: Any, _many: bool) -> None:  # noqa: FBT001 - as SQLAlchemy calls it
        if statement.startswith("UPDATE findings SET "):
            settings = statement.partition(" SET ")[2].partition(" WHERE ")[0].split(", ")
            seen.append(INDEXED & {setting.partition("=")[0] for setting in settings})

    event.listen(engine._database.engine, "before_cursor_execute", listen)
    yield seen
    event.remove(engine._database.engine, "before_cursor_execute", listen)


@pytest.fixture
def engine(tmp_path: Path, clock: ManualClock) -> Iterator[Engine]:
    """An engine on SQLite without data."""
    opened = Engine.open(f"sqlite:///{tmp_path / 'amiguard.db'}", clock=clock)
    yield opened
    opened.close()


def test_an_occurrence_sets_of_what_is_indexed_what_it_changes(
    engine: Engine, clock: ManualClock
) -> None:
    """Score, client and assignee stay; the time of the last launch, too, after an earlier one."""
    engine.commit([batch(search(origin("s")), launch(origin("l", 10)))])
    clock.now += timedelta(minutes=1)

    with indexed_columns_set(engine) as by_later:
        engine.commit([batch(launch(origin("later", 20)))])
    clock.now += timedelta(minutes=1)
    with indexed_columns_set(engine) as by_earlier:
        engine.commit([batch(launch(origin("earlier", 5)))])

    assert by_later == [{"update_time", "last_launch_time", "occurrence_count"}]
    assert by_earlier == [{"update_time", "occurrence_count"}]


def test_an_edit_sets_of_what_is_indexed_what_it_changes(
    engine: Engine, clock: ManualClock
) -> None:
    """Who is assigned a finding has nothing to do with when and how often it launched."""
    engine.commit([batch(search(origin("s")), launch(origin("l", 10)))])
    (found,) = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=1)
    clock.now += timedelta(minutes=1)

    with indexed_columns_set(engine) as seen:
        engine.update_finding(found.finding_id, Edit(assignee="alice"), etag=None, actor="tests")

    assert seen == [{"update_time", "assignee"}]
