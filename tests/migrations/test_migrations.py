"""The schema's revisions, on every backend and with data in the tables."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread

import msgspec
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import (
    Engine,
    LargeBinary,
    MetaData,
    String,
    Table,
    column,
    inspect,
    select,
    table,
    text,
)

import amiguard_migrations as migrations
from amiguard_service.engine import Engine as AmiguardEngine
from amiguard_service.filters import MatchAll
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.store.engines import Database
from tests.store.values import batch, launch, origin, search

ROOT = Path(__file__).parents[2]
REVISIONS = [
    script.revision
    for script in ScriptDirectory.from_config(migrations._config(None)).walk_revisions()
][::-1]


@pytest.fixture
def make_engine(make_empty_database: Callable[[], str]) -> Iterator[Callable[[], Engine]]:
    """Makes engines on databases without tables."""
    opened: list[Database] = []

    def make() -> Engine:
        opened.append(Database(make_empty_database()))
        return opened[-1].engine

    yield make
    for database in opened:
        database.close()


def own_tables(engine: Engine) -> list[Table]:
    """Reflects the tables that hold data, partitions and alembic's own left out."""
    metadata = MetaData()
    names = [
        name
        for name in inspect(engine).get_table_names()
        if name != "alembic_version" and "_part_" not in name
    ]
    metadata.reflect(engine, only=names)
    return [metadata.tables[name] for name in names]


def fill(engine: Engine) -> dict[str, tuple[object, ...]]:
    """Puts one row into every table; returns the rows by table."""
    tables = own_tables(engine)
    with engine.begin() as connection:
        for table in tables:
            values: dict[str, object] = {}
            for column in table.columns:
                if isinstance(column.type, LargeBinary):
                    values[column.name] = b"{}"
                elif isinstance(column.type, String):
                    values[column.name] = f"{column.name}-1"
                else:
                    values[column.name] = 1
            connection.execute(table.insert(), values)
    return read(engine)


def read(engine: Engine) -> dict[str, tuple[object, ...]]:
    """Returns the one row of every table that has one."""
    tables = own_tables(engine)
    with engine.connect() as connection:
        found = {table.name: connection.execute(select(table)).one_or_none() for table in tables}
    return {name: tuple(row) for name, row in found.items() if row is not None}


def alembic_config(url: str) -> Config:
    """What whoever calls Alembic itself has to tell it."""
    config = Config()
    config.set_main_option("script_location", "amiguard_migrations:")
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def test_tables_and_migrations_agree(make_engine: Callable[[], Engine]) -> None:
    """A migrated database has just the tables that the program declares."""
    engine = make_engine()

    migrations.upgrade(engine)

    migrations.find_drift(engine)
    migrations.check(engine)


@pytest.mark.parametrize("revision", REVISIONS)
def test_data_survives_the_way_up(make_engine: Callable[[], Engine], revision: str) -> None:
    """What was stored under any revision is there, unchanged, under the present one."""
    engine = make_engine()
    migrations.upgrade(engine, revision)
    before = fill(engine)

    migrations.upgrade(engine)

    after = read(engine)
    assert {name: after[name][: len(row)] for name, row in before.items()} == before


@pytest.mark.parametrize(("lower", "higher"), list(pairwise(REVISIONS)))
def test_the_way_down_keeps_what_the_lower_revision_holds(
    make_engine: Callable[[], Engine], lower: str, higher: str
) -> None:
    """A step down and up again loses only what the lower revision has no place for."""
    engine = make_engine()
    migrations.upgrade(engine, lower)
    kept = fill(engine)
    migrations.upgrade(engine, higher)

    migrations.downgrade(engine, lower)
    down = read(engine)
    migrations.upgrade(engine)

    assert down == kept
    after = read(engine)
    assert {name: after[name][: len(row)] for name, row in kept.items()} == kept


@pytest.mark.parametrize("lower", ["0007", "0008"])
def test_the_way_down_leaves_records_as_the_lower_revision_reads_them(
    make_empty_database: Callable[[], str], lower: str
) -> None:
    """Below a revision that packs records they are JSON again; all count after the way up."""
    url = make_empty_database()
    opened = AmiguardEngine.open(url)
    records = [launch(origin(f"l{n:04}", n)) for n in range(1_100)]
    opened.commit([batch(search(origin("s")), *records)])
    (before,) = opened.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10)
    opened.close()
    database = Database(url)

    migrations.downgrade(database.engine, lower)

    stored = (("waiting_records", "body"), ("occurrences", "search"), ("occurrences", "launch"))
    with database.engine.connect() as connection:
        for name, documents in stored:
            every = select(column(documents, LargeBinary)).select_from(table(name))
            values = connection.execute(every).scalars()
            regions = {msgspec.json.decode(value)["origin"]["region"] for value in values}
            assert regions == {records[0].origin.region}
    migrations.upgrade(database.engine)
    database.close()
    opened = AmiguardEngine.open(url)
    (again,) = opened.commit([batch(search(origin("s")), *records)])
    assert again.duplicate_count == len(records) + 1
    (after,) = opened.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10)
    opened.close()
    assert after == before


def test_alembic_works_on_a_database_it_is_told(make_empty_database: Callable[[], str]) -> None:
    """Its own commands need a URL in the configuration, and no more."""
    config = alembic_config(make_empty_database())

    with pytest.raises(CommandError, match="not up to date"):
        command.check(config)
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "-1")
    with pytest.raises(CommandError, match="not up to date"):
        command.check(config)


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        (["-x", "database=sqlite:///told.db"], "No new upgrade operations detected"),
        (["-x", "database=oracle://host/told"], "wanted sqlite:///PATH or postgresql://"),
        (["-x", "database=postgresql://127.0.0.1:1/told"], "the database is unavailable"),
        (["-x", "database=sqlite:///not/there/told.db"], "the database is unavailable"),
        ([], "Wanted `-x database=URL`"),
    ],
)
def test_alembic_s_command_line_works_in_the_repository(
    tmp_path: Path, told: list[str], answer: str
) -> None:
    """What whoever writes a revision needs; an error is one line."""
    settings = tmp_path / "pyproject.toml"
    settings.write_bytes((ROOT / "pyproject.toml").read_bytes())
    AmiguardEngine.open(f"sqlite:///{tmp_path}/told.db").close()

    done = subprocess.run(
        [Path(sys.executable).parent / "alembic", *told, "check"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    said = done.stdout + done.stderr
    assert answer in said
    assert (done.returncode == 0) is ("No new" in answer)
    assert "Traceback" not in said


def test_the_way_down_to_nothing_leaves_nothing(make_engine: Callable[[], Engine]) -> None:
    """From the present revision to none and back, with data in every table."""
    engine = make_engine()
    migrations.upgrade(engine)
    fill(engine)

    migrations.downgrade(engine, "base")

    assert own_tables(engine) == []
    migrations.upgrade(engine)
    migrations.find_drift(engine)


def test_an_older_schema_is_refused_with_the_way_out(
    make_empty_database: Callable[[], str],
) -> None:
    """A server says which schema it found, which it works with, and what to run."""
    url = make_empty_database()
    database = Database(url)
    migrations.upgrade(database.engine, REVISIONS[0])

    with pytest.raises(migrations.SchemaError, match="amiguard-server migrate") as refused:
        AmiguardEngine.open(url)

    database.close()
    assert REVISIONS[0] in str(refused.value)
    assert REVISIONS[-1] in str(refused.value)


def test_an_unknown_schema_is_refused(make_empty_database: Callable[[], str]) -> None:
    """A database that a newer release migrated is not touched."""
    url = make_empty_database()
    AmiguardEngine.open(url).close()
    database = Database(url)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'future'"))

    with pytest.raises(migrations.SchemaError, match="does not know"):
        AmiguardEngine.open(url)
    with pytest.raises(migrations.SchemaError, match="does not know"):
        migrations.upgrade(database.engine)

    database.close()


def test_another_program_s_database_is_refused(make_empty_database: Callable[[], str]) -> None:
    """Tables without a revision are not ours to migrate."""
    url = make_empty_database()
    database = Database(url)
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER PRIMARY KEY)"))

    with pytest.raises(migrations.SchemaError, match="no amiguard schema"):
        AmiguardEngine.open(url)
    with pytest.raises(migrations.SchemaError, match="no amiguard schema"):
        migrations.upgrade(database.engine)
    with pytest.raises(CommandError, match="no amiguard schema"):
        command.upgrade(alembic_config(url), "head")

    tables = inspect(database.engine).get_table_names()
    database.close()
    assert tables == ["theirs"]


def test_servers_that_start_together_migrate_once(
    make_empty_database: Callable[[], str],
) -> None:
    """Several servers on one empty database all come up on the same schema."""
    url = make_empty_database()
    opened: list[AmiguardEngine] = []

    def start() -> None:
        opened.append(AmiguardEngine.open(url))

    threads = [Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    for engine in opened:
        engine.close()
    assert len(opened) == 4
