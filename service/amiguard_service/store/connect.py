"""Connections: the URL of a database, its pool, and what each connection is set to."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy
from sqlalchemy import URL, Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from amiguard_service.store.errors import StoreError

POSTGRESQL: Final = "postgresql"
SQLITE: Final = "sqlite"

WRITING: Final = "READ COMMITTED"
"""The isolation on PostgreSQL of every transaction but those that only read, migrations included.
With a snapshot from before it waited for its lanes, a commit would miss what the other one wrote;
so the default of the database, its role or its configuration must not decide."""
READING: Final = "REPEATABLE READ"
"""The isolation on PostgreSQL of transactions that only read: each sees one state."""

_BUSY_TIMEOUT_MS: Final = 30_000
_IDLE_SECONDS: Final = 60
"""After so long without a statement PostgreSQL ends a transaction: a server that is frozen would
keep its locks, and every other one from the lanes, for as long as its connection stands."""

_CHECKPOINT_PAGES: Final = 4_000
"""So many pages are written to the log, 16 MiB of them, before SQLite folds it into the database: a
commit touches a page for each of its records, and those of the common indexes again and again."""


def parse_url(text: str) -> URL:
    """Returns the URL of a database with its driver; raises StoreError for any other text."""
    try:
        url = make_url(text)
        name = url.get_backend_name()
    except ArgumentError:
        raise StoreError(
            "database: got a text that is no URL, wanted sqlite:///PATH or postgresql://..."
        ) from None
    if name == POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if name == SQLITE:
        return url.set(drivername="sqlite+pysqlite")
    raise StoreError(f"database: got {name}://, wanted sqlite:///PATH or postgresql://...")


def make_engine(url: URL, pool_size: int) -> sqlalchemy.Engine:
    """Returns the pool of a database; raises StoreError where its driver is missing."""
    if url.get_backend_name() == POSTGRESQL:
        try:
            engine = sqlalchemy.create_engine(
                url,
                pool_size=pool_size,
                max_overflow=pool_size,
                pool_timeout=30,
                isolation_level=WRITING,
            )
        except (NoSuchModuleError, ImportError):
            raise StoreError(
                "database: PostgreSQL needs the driver psycopg; install amiguard[postgres]"
            ) from None
        event.listen(engine, "connect", _configure_postgresql)
        event.listen(engine, "checkout", _leave_to_postgresql)
        return engine
    if url.database in {None, "", ":memory:"}:
        engine = sqlalchemy.create_engine(
            url, poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
    else:
        engine = sqlalchemy.create_engine(url, pool_size=pool_size, max_overflow=pool_size)
    event.listen(engine, "connect", configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_postgresql(connection: DBAPIConnection, _record: object) -> None:
    """Keeps a transaction from outliving who works on it."""
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
    cursor.close()
    connection.commit()


def _leave_to_postgresql(connection: DBAPIConnection, _record: object, _connection: object) -> None:
    """Lets the database say whether a transaction may write, unless we do.

    After a transaction that only reads SQLAlchemy would have the next one write in any case, also
    where the database has been set to be read alone.
    """
    driver_connection: Any = connection
    if driver_connection.closed:
        # The pool makes another one.
        raise DisconnectionError
    driver_connection.read_only = None


def configure_sqlite(connection: DBAPIConnection, _record: object) -> None:
    """Sets a connection up to keep what it acknowledges, and hands transactions to us."""
    # The driver would begin a transaction as it sees fit; _begin_sqlite says which kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "cache_size = -65536",
        "temp_store = MEMORY",
        f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Begins to write at once: a read that turns into a write fails whatever the timeout."""
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get("amiguard_begin", "BEGIN IMMEDIATE"))
