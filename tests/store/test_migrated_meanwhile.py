"""Laws of a server whose database another release migrates while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import column, table, text, update
from sqlalchemy.sql import Executable

from amiguard_service.engine import Engine
from amiguard_service.filters import MatchAll
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.store.errors import SchemaChangedError
from tests.store.values import batch, launch, origin, search

UNREADABLE = update(table("waiting_records", column("body"))).values(body=b"new")


@pytest.fixture
def engine(make_empty_database: Callable[[], str]) -> Iterator[Engine]:
    """An engine on a database of its own, in which a search waits."""
    opened = Engine.open(make_empty_database())
    opened.commit([batch(search(origin("s")))])
    yield opened
    opened.close()


def execute(engine: Engine, *statements: Executable) -> None:
    """Does to the database what another program does."""
    with engine._database.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def migrate(engine: Engine, *statements: Executable) -> None:
    """Migrates to a schema that only a newer release knows."""
    execute(engine, *statements, text("UPDATE alembic_version SET version_num = 'newer'"))


def finding_count(engine: Engine) -> int:
    """How many findings are stored."""
    return len(engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10))


def test_what_a_newer_schema_takes_from_it_is_refused_with_the_reason(engine: Engine) -> None:
    """A batch is not taken, whoever sent it learns why, and sent again it lands later."""
    launched = batch(launch(origin("l", 10)))
    migrate(engine, text("ALTER TABLE waiting_records RENAME COLUMN body TO document"))

    with pytest.raises(SchemaChangedError, match="schema newer, which this program does not know"):
        engine.commit([launched])

    execute(engine, text("ALTER TABLE waiting_records RENAME COLUMN document TO body"))
    assert finding_count(engine) == 0
    engine.commit([launched])
    assert finding_count(engine) == 1


def test_what_it_cannot_read_is_refused_with_the_reason(engine: Engine) -> None:
    """What a newer release stored in a form of its own is no fault of this one."""
    migrate(engine, UNREADABLE)

    with pytest.raises(SchemaChangedError, match="newer"):
        engine.commit([batch(launch(origin("l", 10)))])


def test_what_a_newer_schema_leaves_to_it_goes_on_working(engine: Engine) -> None:
    """A schema that has more than this program knows is no reason to stop."""
    migrate(engine, text("ALTER TABLE findings ADD COLUMN novelty INTEGER"))

    engine.commit([batch(launch(origin("l", 10)))])

    assert finding_count(engine) == 1


def test_once_lost_it_stays_so_under_a_newer_schema(engine: Engine) -> None:
    """Calls then go to servers of the newer release, rather than to one that fails some."""
    migrate(engine)

    with pytest.raises(SchemaChangedError, match="newer"):
        engine.ping()


def test_a_fault_under_its_own_schema_stays_what_it_is(engine: Engine) -> None:
    """What cannot be read without a migration is told as the fault that it is."""
    execute(engine, UNREADABLE)

    with pytest.raises(ValueError, match="stored document"):
        engine.commit([batch(launch(origin("l", 10)))])
